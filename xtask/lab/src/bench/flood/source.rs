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
use fw_common::PortProtocol;
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

/// What the LAN's machine sends to the host.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// UDP datagrams to a port, each from another port.
    Udp(u16),
    /// TCP SYNs to a port, each from another port.
    Syn(u16),
    /// SCTP packets, each to another port.
    Sctp,
}

/// A flood.
pub(super) struct Source<'a> {
    object: Ebpf,
    stand: &'a Stand,
}

impl<'a> Source<'a> {
    /// Load the program that sends.
    pub(super) fn new(stand: &'a Stand, kind: Kind, rate: Rate) -> Result<Self> {
        let (frame, random, interval) = (words(&kind.frame()), words(&kind.random()), rate.interval_ns());
        let mut object = stand.lab.lan.enter(|| {
            let interface = if_nametoindex(INTERFACE)?;
            let mut loader = EbpfLoader::new();
            loader.override_global("INTERFACE", &interface, true);
            loader.override_global("INTERVAL", &interval, true);
            loader.override_global("FRAME", &frame[..], true);
            loader.override_global("RANDOM", &random[..], true);
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

/// Bytes of the smallest frame of Ethernet, without its checksum.
const FRAME: usize = 60;
/// Where an IPv4 header without options has the source port behind it, and the destination port.
const SOURCE_PORT: usize = 34;
const DESTINATION_PORT: usize = 36;

impl Kind {
    /// The smallest frame. Checksums over its ports are wrong, or left out where the protocol allows that.
    fn frame(self) -> Vec<u8> {
        let packet = eth().from(LAN_MAC).to(HOST_MAC).ipv4().from(FROM).to("192.0.2.1");
        let mut frame = match self {
            Self::Udp(port) => packet.udp(0, port).payload(&[0; 18]).build(),
            Self::Syn(port) => packet.tcp(0, port).syn().payload(&[0; 6]).build(),
            Self::Sctp => packet.raw(PortProtocol::Sctp.number(), &[0; 26]).build(),
        };
        if let Self::Udp(_) = self {
            frame[40..42].fill(0);
        }
        frame
    }

    /// Its random bits.
    fn random(self) -> Vec<u8> {
        let port = match self {
            Self::Udp(_) | Self::Syn(_) => SOURCE_PORT,
            Self::Sctp => DESTINATION_PORT,
        };
        let mut bits = vec![0; FRAME];
        bits[port..port + 2].fill(0xff);
        bits
    }
}

/// The bytes of a frame as words of this machine's byte order.
fn words(frame: &[u8]) -> [u32; FRAME / 4] {
    let words: Vec<u32> = frame.as_chunks().0.iter().map(|&word| u32::from_ne_bytes(word)).collect();
    words.try_into().expect("a frame of the smallest size")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gigabit_carries_1_488_095_of_the_smallest_frames_a_second() {
        assert_eq!(1_000_000_000 / Rate::Gigabit.interval_ns(), 1_488_095);
    }

    #[test]
    fn frames_are_addressed_to_the_host_and_differ_in_one_port() {
        for (kind, protocol, port) in
            [(Kind::Udp(9125), 17, SOURCE_PORT), (Kind::Syn(9125), 6, SOURCE_PORT), (Kind::Sctp, 132, DESTINATION_PORT)]
        {
            let frame = kind.frame();
            assert_eq!((frame.len(), &frame[..6], frame[23]), (FRAME, &HOST_MAC[..], protocol));
            if port == SOURCE_PORT {
                assert_eq!(frame[DESTINATION_PORT..][..2], 9125_u16.to_be_bytes());
            }
            let random = kind.random();
            assert_eq!(
                (random.iter().filter(|&&bits| bits != 0).count(), &random[port..port + 2]),
                (2, &[0xff, 0xff][..])
            );
            assert_eq!(words(&frame).map(u32::to_ne_bytes).concat(), frame);
        }
        assert_eq!(Kind::Udp(9125).frame()[40..42], [0, 0], "no checksum over the port");
    }
}
