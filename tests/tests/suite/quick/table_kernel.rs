//! The case table through the loaded programs, on real maps and with real routes.

use std::thread;

use anyhow::Result;
use fw_common::policy::Forward;
use fw_tests::{
    cases,
    kernel::{Force, Kernel, LEAST_FRAME, Namespace},
    model::Model,
    report::Failures,
    row::Row,
};

/// Rows that only the host can play.
const TOO_SHORT_FOR_THE_KERNEL: [&str; 3] = [
    "an empty frame is truncated",
    "a frame of one byte is truncated",
    "an Ethernet header without its last byte is truncated",
];

#[test]
fn every_row_is_judged_as_the_table_and_the_host_say() {
    play(Force::ForGood);
}

#[test]
fn every_row_is_judged_and_counted_the_same_while_nothing_is_dropped() {
    play(Force::Monitor);
}

#[test]
fn every_row_is_judged_by_the_policy_on_trial_before_the_deadline() {
    play(Force::OnTrial);
}

#[test]
fn every_row_is_judged_by_the_policy_before_the_trial_after_the_deadline() {
    play(Force::AfterTrial);
}

fn play(force: Force) {
    // A thread of its own, because it moves into namespaces of its own.
    thread::spawn(move || play_all(force)).join().expect("the thread ends").expect("the kernel plays along");
}

/// Whether it matters if the packet would be routed on.
fn hangs_on_its_route(row: &Row) -> bool {
    let decision = |row: &Row| Model::play(row).map(|outcome| outcome.decision).ok();
    let mut forwarding = row.clone();
    forwarding.policy.forward = Forward::Pass;
    decision(row) != decision(&forwarding)
}

fn play_all(force: Force) -> Result<()> {
    let (rows, too_short): (Vec<Row>, Vec<Row>) =
        cases::all().into_iter().partition(|row| row.frame.len() >= LEAST_FRAME);
    let too_short: Vec<_> = too_short.into_iter().map(|row| row.name).collect();
    assert_eq!(too_short, TOO_SHORT_FOR_THE_KERNEL);

    // Policies take longest to write; rows do not depend on their order.
    let mut rows = rows;
    rows.sort_by_cached_key(|row| format!("{:?}", row.policy));

    let mut kernel = Kernel::load(Namespace::enter()?, force)?;
    if !kernel.knows_interface() {
        let all = rows.len();
        rows.retain(|row| !hangs_on_its_route(row));
        println!("noted: {} rows hang on a route, of which this kernel asks for another interface", all - rows.len());
    }
    let mut failures = Failures::default();
    for row in &rows {
        let (outcome, took) = match kernel.play(row) {
            Ok(played) => played,
            Err(error) => {
                failures.add(row, &format!("the kernel fails: {error:#}"));
                continue;
            }
        };
        failures.compare(row, "the kernel", &outcome);
        let host = Model::play(row)?;
        if let Some(difference) = host.difference(&outcome, took) {
            failures.add(row, &format!("the kernel and the host differ: {difference}"));
        }
    }
    failures.panic_if_any();
    kernel.check_rest()?;
    println!("{} rows", rows.len());
    Ok(())
}
