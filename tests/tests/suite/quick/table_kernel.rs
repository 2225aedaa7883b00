//! The case table through the loaded programs, on real maps and with real routes.

use std::thread;

use anyhow::Result;
use fw_common::forward::Forward;
use fw_tests::{
    cases,
    kernel::{Force, Kernel, LEAST_FRAME, Namespace, Place},
    model::Model,
    report::Failures,
    row::Row,
};
use fw_user::testing::object::has_xdp_frags;

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

/// Rows that only XDP can play: `BPF_PROG_TEST_RUN` makes no socket buffer without the whole of the IP header that its `EtherType` announces
/// (`bpf_prog_test_run_skb`, `net/bpf/test_run.c`).
const TOO_SHORT_FOR_A_SOCKET_BUFFER: [&str; 4] = [
    "an IP EtherType without a header is truncated (IPv4)",
    "an IP EtherType without a header is truncated (IPv6)",
    "an IP header without its last byte is truncated (IPv4)",
    "an IP header without its last byte is truncated (IPv6)",
];

/// Rows for which a MAC address says that a datagram goes to everyone.
const KNOWN_BY_MAC_ADDRESS: [&str; 2] = [
    "a subnet's broadcast is known by its MAC address, and answered by everyone",
    "an answer to a subnet's broadcast from another port is a reply",
];

#[test]
fn every_row_is_judged_the_same_where_frames_may_have_fragments() {
    in_a_thread(|| {
        if has_xdp_frags()? {
            play_rows(rows(), Force::ForGood, Place::XdpFrag)
        } else {
            println!("noted: this kernel has no frames with fragments");
            Ok(())
        }
    });
}

#[test]
fn every_row_is_judged_the_same_at_tc() {
    in_a_thread(|| {
        let (rows, refused): (Vec<Row>, Vec<Row>) = rows().into_iter().partition(|row| is_whole(&row.frame));
        assert_eq!(names(&refused), TOO_SHORT_FOR_A_SOCKET_BUFFER);
        play_rows(rows, Force::ForGood, Place::Tc)
    });
}

#[test]
fn every_row_of_untagged_packets_is_judged_the_same_without_ethernet_headers() {
    in_a_thread(|| {
        let is_bare = |frame: &[u8]| is_whole(frame) && matches!(frame[12..14], [0x08, 0x00] | [0x86, 0xdd]);
        let mut rows = rows();
        rows.retain(|row| !KNOWN_BY_MAC_ADDRESS.contains(&row.name.as_str()));
        rows.retain(|row| {
            row.earlier.iter().map(|earlier| &earlier.frame).chain([&row.frame]).all(|frame| is_bare(frame))
        });
        play_rows(rows, Force::ForGood, Place::Bare)
    });
}

fn is_whole(frame: &[u8]) -> bool {
    match frame[12..] {
        [0x08, 0x00, ref packet @ ..] => packet.len() >= 20,
        [0x86, 0xdd, ref packet @ ..] => packet.len() >= 40,
        _ => true,
    }
}

fn names(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|row| row.name.as_str()).collect()
}

fn play(force: Force) {
    in_a_thread(move || play_rows(rows(), force, Place::Xdp));
}

/// A separate thread, because it moves into other namespaces.
fn in_a_thread(play: impl FnOnce() -> Result<()> + Send + 'static) {
    thread::spawn(play).join().expect("the thread ends").expect("the kernel plays along");
}

/// Whether it matters which interface the packet comes in by: it may be routed on, or answer what was sent to many by that interface.
fn hangs_on_its_interface(row: &Row) -> bool {
    let outcome = |row: &Row| Model::play(row).expect("policies of rows are small");
    let mut forwarding = row.clone();
    forwarding.policy.forward = Forward::Pass;
    let played = outcome(row);
    let was_sent_to_many = played.flows.sent.values().any(|&(_, to_many)| to_many != 0);
    was_sent_to_many || played.decision != outcome(&forwarding).decision
}

/// Those that the kernel can play.
fn rows() -> Vec<Row> {
    let (rows, too_short): (Vec<Row>, Vec<Row>) =
        cases::all().into_iter().partition(|row| row.frame.len() >= LEAST_FRAME);
    assert_eq!(names(&too_short), TOO_SHORT_FOR_THE_KERNEL);
    rows
}

fn play_rows(mut rows: Vec<Row>, force: Force, place: Place) -> Result<()> {
    // Policies take longest to write; rows do not depend on their order.
    rows.sort_by_cached_key(|row| format!("{:?}", row.policy));
    let mut kernel = Kernel::load_at(Namespace::enter()?, force, place)?;
    if !kernel.knows_interface() {
        let all = rows.len();
        rows.retain(|row| !hangs_on_its_interface(row));
        println!("noted: {} rows hang on the interface, for which this kernel takes another one", all - rows.len());
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
        let host = if place == Place::Bare { Model::play_bare(row)? } else { Model::play(row)? };
        if let Some(difference) = host.difference(&outcome, took) {
            failures.add(row, &format!("the kernel and the host differ: {difference}"));
        }
    }
    failures.panic_if_any();
    kernel.check_rest()?;
    println!("{} rows", rows.len());
    Ok(())
}
