//! Lists of bans that fill several pages, in the kernel.

use std::thread;

use anyhow::{Result, ensure};
use fw_common::Reason;
use fw_tests::{
    kernel::{Force, Kernel, Namespace},
    packet::eth,
    row::{Row, row},
};

/// How many networks of a family: those of IPv6 fill more pages.
const COUNT: u32 = 1000;

#[test]
fn of_a_thousand_networks_each_bans_its_own_senders_and_nobody_else() {
    // A separate thread, because it moves into other namespaces.
    thread::spawn(play).join().expect("the thread ends").expect("the kernel plays along");
}

/// The sender before, the first and the last one of a network, and the one behind.
fn senders(number: u32) -> [(String, bool); 4] {
    let v4 = |last: u32| format!("203.{}.{}.{last}", number >> 8, number & 255);
    [(v4(63), false), (v4(64), true), (v4(127), true), (v4(128), false)]
}

/// The same of IPv6.
fn senders6(number: u32) -> [(String, bool); 4] {
    let around = |fourth: &str, last: &str| format!("2001:db8:{number:x}:{fourth}:{last}");
    [
        (around("fff", "ffff:ffff:ffff:ffff"), false),
        (around("1000", ":"), true),
        (around("1fff", "ffff:ffff:ffff:ffff"), true),
        (around("2000", ":"), false),
    ]
}

fn play() -> Result<()> {
    let mut scene = row("a sender of a thousand networks").allow("22");
    for number in 0..COUNT {
        scene = scene.bans(&format!("203.{}.{}.64/26", number >> 8, number & 255));
        scene = scene.bans(&format!("2001:db8:{number:x}:1000::/52"));
    }
    let mut kernel = Kernel::load(Namespace::enter()?, Force::ForGood)?;
    let mut row: Row = scene.receives(Vec::new(), Reason::Allowed);
    // All on some pages, and those at the ends.
    for number in (0..20).chain(90..110).chain(240..260).chain(COUNT - 10..COUNT) {
        let of_v4 = senders(number).map(|(from, is_banned)| {
            let frame = eth().ipv4().from(&from).tcp(40_000, 22).syn().build();
            (from, frame, is_banned)
        });
        let of_v6 = senders6(number).map(|(from, is_banned)| {
            let frame = eth().ipv6().from(&from).tcp(40_000, 22).syn().build();
            (from, frame, is_banned)
        });
        for (from, frame, is_banned) in of_v4.into_iter().chain(of_v6) {
            row.frame = frame;
            let reason = kernel.play(&row)?.0.decision.reason();
            let expected = if is_banned { Reason::Banned } else { Reason::Allowed };
            ensure!(reason == expected, "{from}: {reason}, not {expected}");
        }
    }
    Ok(())
}
