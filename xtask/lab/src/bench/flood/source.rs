//! The source of a flood: live frames of `BPF_PROG_TEST_RUN`, sent without a system call for each.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, EbpfLoader,
    programs::{TestRun as _, TestRunAttrs, TestRunOptions, Xdp, XdpMode},
};
use fw_tests::packet::eth;
use nix::net::if_::if_nametoindex;

use crate::bench::{
    filters::object_path,
    measure::pin,
    stand::{HOST_MAC, INTERFACE, LAN_MAC, Stand},
};

/// Frames of one system call: some 30 ms, for so long nobody can stop it.
const FRAMES: u32 = 1 << 18;
/// Frames that are handed over at a time.
const BATCH: u32 = 64;

/// The source address of a flood. It differs from that of the requests beside it, whose flows connection tracking knows.
pub(super) const FROM: &str = "192.0.2.66";

/// How many frames are sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rate {
    /// As many as a CPU can send.
    Unlimited,
    /// As many of the smallest frames as a wire of 1 Gbit/s carries: 84 bytes each with preamble and gap.
    Gigabit,
}

impl Rate {
    fn interval_ns(self) -> u64 {
        match self {
            Self::Unlimited => 0,
            Self::Gigabit => 84 * 8,
        }
    }
}

/// A flood of UDP datagrams at a port of the host, each from another port of the LAN's machine.
pub(super) struct Source<'a> {
    object: Ebpf,
    stand: &'a Stand,
}

impl<'a> Source<'a> {
    /// Load the program that sends.
    pub(super) fn new(stand: &'a Stand, port: u16, rate: Rate) -> Result<Self> {
        let (frame, interval) = (frame(port), rate.interval_ns());
        let mut object = stand.lab.lan.enter(|| {
            let interface = if_nametoindex(INTERFACE)?;
            let mut loader = EbpfLoader::new();
            loader.override_global("INTERFACE", &interface, true);
            loader.override_global("INTERVAL", &interval, true);
            loader.override_global("FRAME", &frame[..], true);
            loader.load_file(object_path()).with_context(|| format!("cannot load {}", object_path().display()))
        })?;
        let program: &mut Xdp = object.program_mut("flood").context("the object has no program flood")?.try_into()?;
        program.load()?;
        // One that is attached somewhere runs at once; for others each run waits until every CPU has passed a quiet moment.
        stand.lab.lan.enter(|| program.attach("lo", XdpMode::Skb))?;
        Ok(Self { object, stand })
    }

    /// Flood while something is done.
    pub(super) fn during<T>(&self, action: impl FnOnce() -> Result<T>) -> Result<T> {
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let flooding = scope.spawn(|| self.stand.lab.lan.enter(|| self.send_until(&over)));
            let done = action();
            over.store(true, Relaxed);
            flooding.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            done
        })
    }

    fn send_until(&self, over: &AtomicBool) -> Result<()> {
        pin(0, self.stand.cpus.lan)?;
        let program: &Xdp = self.object.program("flood").context("the object has no program flood")?.try_into()?;
        let space = [0; 60];
        while !over.load(Relaxed) {
            let attrs = TestRunAttrs::new().xdp_live_frames(BATCH);
            let options = TestRunOptions { data_in: Some(&space), repeat: FRAMES, attrs, ..TestRunOptions::new() };
            program.test_run(options)?;
        }
        Ok(())
    }
}

/// The smallest frame with a datagram, as words of this machine's byte order. Without a UDP checksum, as IPv4 allows: the source port
/// changes.
fn frame(port: u16) -> [u32; 15] {
    let datagram = eth().from(LAN_MAC).to(HOST_MAC).ipv4().from(FROM).to("192.0.2.1").udp(0, port);
    let mut frame = datagram.payload(&[0; 18]).build();
    frame[40..42].fill(0);
    let words: Vec<u32> = frame.as_chunks().0.iter().map(|&word| u32::from_ne_bytes(word)).collect();
    words.try_into().expect("14, 20, 8 and 18 bytes are 15 words")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gigabit_carries_1_488_095_of_the_smallest_frames_a_second() {
        assert_eq!(1_000_000_000 / Rate::Gigabit.interval_ns(), 1_488_095);
    }

    #[test]
    fn the_frame_is_addressed_to_the_hosts_port_and_has_no_checksum_over_it() {
        let bytes: Vec<u8> = frame(9125).iter().flat_map(|word| word.to_ne_bytes()).collect();
        assert_eq!(bytes.len(), 60);
        assert_eq!(bytes[..6], HOST_MAC);
        assert_eq!(bytes[36..38], 9125_u16.to_be_bytes());
        assert_eq!(bytes[40..42], [0, 0]);
    }
}
