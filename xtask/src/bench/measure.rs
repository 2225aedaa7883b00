//! Timing, by `BPF_PROG_TEST_RUN`.

use std::time::Instant;

use anyhow::{Result, ensure};
use aya::programs::Xdp;
use fw_common::Verdict;
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};
use serde::Serialize;

use super::{
    packets::{Goal, Packet},
    programs::{Programs, judge},
};

/// Rounds, in each of which every program judges every packet.
const ROUNDS: usize = 101;
/// How often a packet is judged for one sample: long enough that the system call does not count, short enough that most samples see no
/// interruption.
const REPEAT: u32 = 20_000;

/// What a decision costs, in nanoseconds: the empty program's whole call, the others above it.
#[derive(Serialize)]
pub(super) struct Decision {
    pub(super) packet: &'static str,
    pub(super) verdict: &'static str,
    pub(super) empty_ns: f64,
    pub(super) fw_ns: f64,
    pub(super) xdp_filter_ns: f64,
    /// `fw_ns` by `xdp_filter_ns`.
    pub(super) ratio: f64,
    /// The largest ratio that issue 2 allows.
    pub(super) goal: Option<f64>,
}

impl Decision {
    /// Whether the goal is met; nothing where there is none.
    pub(super) fn met(&self) -> Option<bool> {
        self.goal.map(|goal| self.ratio <= goal)
    }
}

/// Measure every packet with every program, in turn, so that whatever disturbs the machine disturbs all of them.
pub(super) fn run(programs: &Programs, packets: &[Packet]) -> Result<Vec<Decision>> {
    stay_on_one_cpu()?;
    for request in packets.iter().filter_map(|packet| packet.request.as_ref()) {
        programs.send(request)?;
    }
    let contestants = [programs.floor()?, programs.fw()?, programs.xdp_filter()];
    for packet in packets {
        let expected = [Verdict::Drop, packet.verdict, packet.xdp_filter];
        for ((program, expected), name) in contestants.into_iter().zip(expected).zip(["empty", "fw", "xdp-filter"]) {
            let verdict = judge(program, &packet.frame, REPEAT)?;
            ensure!(verdict == expected, "{}: {name} says {verdict:?}, not {expected:?}", packet.name);
        }
    }
    let mut samples = vec![[const { Vec::new() }; 3]; packets.len()];
    for _ in 0..ROUNDS {
        for (packet, samples) in packets.iter().zip(&mut samples) {
            for (program, samples) in contestants.into_iter().zip(samples) {
                samples.push(sample(program, packet)?);
            }
        }
    }
    Ok(packets.iter().zip(samples).map(|(packet, samples)| decision(packet, samples.map(median))).collect())
}

/// Nanoseconds for one packet. The kernel's own answer is in whole nanoseconds, which is coarse for a program that takes ten.
fn sample(program: &Xdp, packet: &Packet) -> Result<f64> {
    let start = Instant::now();
    judge(program, &packet.frame, REPEAT)?;
    Ok(start.elapsed().as_secs_f64() * 1e9 / f64::from(REPEAT))
}

fn decision(packet: &Packet, [empty, fw, xdp_filter]: [f64; 3]) -> Decision {
    let (fw, xdp_filter) = (fw - empty, xdp_filter - empty);
    Decision {
        packet: packet.name,
        verdict: match packet.verdict {
            Verdict::Pass => "pass",
            Verdict::Drop => "drop",
        },
        empty_ns: empty,
        fw_ns: fw,
        xdp_filter_ns: xdp_filter,
        ratio: fw / xdp_filter,
        goal: match packet.goal {
            Goal::None => None,
            Goal::AtMost(part) => Some(part),
        },
    }
}

/// The middle one of an odd number of samples.
pub(super) fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

fn stay_on_one_cpu() -> Result<()> {
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this)?;
    let mut one = CpuSet::new();
    // The last one has the fewest interrupts, as a rule.
    if let Some(cpu) = (0..CpuSet::count()).rev().find(|&cpu| allowed.is_set(cpu) == Ok(true)) {
        one.set(cpu)?;
        sched_setaffinity(this, &one)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_sample_whatever_the_outliers() {
        assert!((median(vec![3.0, 1e9, 1.0, 2.0, 2.5]) - 2.5).abs() < f64::EPSILON);
    }
}
