//! Which drops are recorded, and what is known of those that are not.

use bytemuck::Zeroable as _;
use fw_common::{
    Decision, PortProtocol, Reason,
    abi::{PortDrops, RECORD_KINDS, RECORD_WINDOW, RECORDS_PER_CPU, RECORDS_PER_WINDOW},
    record::{Dropped, Recorder, source},
};

const WINDOW: u64 = 1 << RECORD_WINDOW;

/// The kernel side's treatment of a drop at a port.
fn drop_one(drops: &mut PortDrops, ticks: u64) -> bool {
    let is_first = drops.count(ticks, 1);
    if is_first {
        drops.mark(ticks);
    }
    is_first
}

#[test]
fn the_first_drop_of_a_window_is_recorded_and_every_one_is_counted() {
    let mut drops = PortDrops(0);
    let recorded: Vec<u64> = (100 * WINDOW..103 * WINDOW).filter(|&ticks| drop_one(&mut drops, ticks)).collect();
    assert_eq!(recorded, [100 * WINDOW, 101 * WINDOW, 102 * WINDOW]);
    assert_eq!(drops.packets(), 3 * WINDOW);
}

/// The numbers of windows come round every 2^15 windows; the kernel's ticks reach a multiple of that 300 s after each boot.
#[test]
fn the_first_drop_at_a_port_is_recorded_at_any_time() {
    for window in [0, 1, 0x7fff, 0x8000, 0xffff, 0x1_0000, 1 << 32 >> RECORD_WINDOW] {
        for ticks in [window * WINDOW, window * WINDOW + WINDOW - 1] {
            assert!(drop_one(&mut PortDrops(0), ticks), "at {ticks}");
            assert!(drop_one(&mut PortDrops(7), ticks), "at {ticks}");
        }
    }
}

#[test]
fn a_port_is_recorded_again_after_the_lower_bits_of_the_window_came_round() {
    let mut drops = PortDrops(0);
    let start = 0x7fff * WINDOW;
    assert!(drop_one(&mut drops, start));
    assert!(!drop_one(&mut drops, start + WINDOW - 1));
    assert!(drop_one(&mut drops, start + WINDOW));
    assert!(!drop_one(&mut drops, start + WINDOW));
    assert_eq!(drops.packets(), 4);
}

#[test]
fn many_ports_at_once_fill_their_share_and_leave_the_other_reasons_theirs() {
    let mut recorder = Recorder::zeroed();
    let mut admits = |reason: Reason, ticks| {
        recorder.drop.reason = reason as u8;
        recorder.admits(ticks)
    };
    let ticks = 7 * WINDOW;
    let closed = (0..1000).filter(|_| admits(Reason::ClosedPort, ticks)).count();
    assert_eq!(closed, RECORDS_PER_WINDOW as usize);
    assert!(admits(Reason::Malformed, ticks));
    assert!(!admits(Reason::ClosedPort, ticks + WINDOW - 1));
    assert!(admits(Reason::ClosedPort, ticks + WINDOW));
}

#[test]
fn a_window_with_every_reason_fits_what_a_cpu_keeps() {
    let dropping = Reason::ALL.iter().filter(|reason| reason.verdict() == fw_common::Verdict::Drop).count();
    assert!(dropping * RECORDS_PER_WINDOW as usize <= RECORDS_PER_CPU as usize);
}

#[test]
fn a_record_knows_how_many_of_its_kind_were_left_out_before_it() {
    let mut recorder = Recorder::zeroed();
    let of = |port| Decision::new(Reason::ClosedPort, Some((PortProtocol::Tcp, port))).kind();
    let mut left_out = |kind, drops| {
        recorder.drop = Dropped { kind, drops, ..Dropped::default() };
        recorder.left_out()
    };
    assert_eq!(left_out(of(9125), 500), 0, "what was before the first record is not known");
    assert_eq!(left_out(of(9125), 501), 0);
    assert_eq!(left_out(of(22), 1), 0);
    assert_eq!(left_out(of(9125), 601), 99);
    let same_place = of(9125 + RECORD_KINDS as u16);
    assert_eq!(left_out(same_place, 5), 0);
    assert_eq!(left_out(of(9125), 701), 0, "another kind took its place");
}

#[test]
fn kinds_differ_by_reason_transport_and_port() {
    let kinds = [
        Decision::new(Reason::ClosedPort, Some((PortProtocol::Tcp, 0))).kind(),
        Decision::new(Reason::ClosedPort, Some((PortProtocol::Udp, 0))).kind(),
        Decision::new(Reason::ClosedPort, Some((PortProtocol::Tcp, 1))).kind(),
        Decision::new(Reason::Forwarded, Some((PortProtocol::Tcp, 1))).kind(),
        Decision::new(Reason::Malformed, None).kind(),
        Decision::new(Reason::Truncated, None).kind(),
    ];
    for (index, kind) in kinds.iter().enumerate() {
        assert_ne!(*kind, 0, "a zeroed recorder knows no kind");
        assert!(!kinds[..index].contains(kind), "{kinds:x?}");
    }
}

#[test]
fn the_source_of_a_frame_is_read_behind_tags_and_whatever_else_is_wrong() {
    let mut ipv4 = [0_u8; 40];
    ipv4[12..14].copy_from_slice(&[0x08, 0x00]);
    ipv4[14] = 0x10; // A version and a length that are none.
    ipv4[26..30].copy_from_slice(&[192, 0, 2, 10]);
    let mapped = [0, 0, u32::from_ne_bytes([0, 0, 0xff, 0xff]), u32::from_ne_bytes([192, 0, 2, 10])];
    assert_eq!(source(&ipv4[..]), Some(mapped));
    assert_eq!(source(&ipv4[..33]), None, "the addresses are not whole");
    let mut tagged = ipv4[..12].to_vec();
    tagged.extend([0x81, 0x00, 0x00, 0x07]);
    tagged.extend(&ipv4[12..]);
    assert_eq!(source(&tagged[..]), Some(mapped));
    let mut ipv6 = [0_u8; 60];
    ipv6[12..14].copy_from_slice(&[0x86, 0xdd]);
    ipv6[22..38].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
    let words = [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16]].map(u32::from_ne_bytes);
    assert_eq!(source(&ipv6[..]), Some(words));
    let arp = [0_u8; 60];
    assert_eq!(source(&arp[..]), None);
}
