//! The demo shows what it claims: it checks each of its steps itself.

use std::process::Command;

#[test]
fn the_demo_shows_the_hole_and_closes_it() {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask-lab")).arg("demo").output().expect("the demo starts");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    // Not on a terminal: no colours.
    assert!(!told.contains('\u{1b}'), "{told:?}");
    let attach = told.find("fw-user attach eth0 --allow 22,80,443").expect("the README's command is shown");
    let (before, after) = told.split_at(attach);
    let says = |part: &str, words: [&str; 2]| part.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(says(before, ["192.0.2.1:9125", "WIDE OPEN"]), "{told}");
    assert!(says(after, ["192.0.2.1:9125", "closed"]), "{told}");
}
