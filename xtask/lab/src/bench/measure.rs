//! Timing, by `BPF_PROG_TEST_RUN`, and what many samples say together.

use std::time::Instant;

use anyhow::Result;
use aya::programs::Xdp;
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};
use serde::Serialize;

use super::programs::judge;

/// How often a packet is judged for one sample: long enough that the system call does not count, short enough that most samples see no
/// interruption.
pub(super) const REPEAT: u32 = 5_000;

/// Statistics of many samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Measured {
    /// The middle one.
    pub(super) median: f64,
    /// Half of the distance between the quartiles: half of the samples are no farther from the middle than about this.
    pub(super) noise: f64,
}

impl Measured {
    /// Of at least one sample.
    pub(super) fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        let at = |quarter: usize| samples[(samples.len() - 1) * quarter / 4];
        Self { median: at(2), noise: (at(3) - at(1)) / 2.0 }
    }

    /// Of one number that nothing is known of besides.
    pub(super) fn exactly(median: f64) -> Self {
        Self { median, noise: 0.0 }
    }

    /// The differences between the first samples and the second ones, which were taken beside them, so that common disturbances cancel.
    pub(super) fn difference(above: &[f64], below: &[f64]) -> Self {
        Self::of(above.iter().zip(below).map(|(above, below)| above - below).collect())
    }
}

/// Nanoseconds a packet, for each program and its packet, a sample a round. In each round they are measured in turn, so that whatever
/// disturbs the machine disturbs all of them.
pub(super) fn race(contestants: &[(&Xdp, &[u8])], rounds: usize) -> Result<Vec<Vec<f64>>> {
    let _pinned = Pinned::here()?;
    let mut samples = vec![Vec::new(); contestants.len()];
    for _ in 0..rounds {
        for ((program, frame), samples) in contestants.iter().zip(&mut samples) {
            samples.push(sample(program, frame)?);
        }
    }
    Ok(samples)
}

/// The kernel's own answer is in whole nanoseconds, which is coarse for a program that takes ten.
fn sample(program: &Xdp, frame: &[u8]) -> Result<f64> {
    let start = Instant::now();
    judge(program, frame, REPEAT)?;
    Ok(start.elapsed().as_secs_f64() * 1e9 / f64::from(REPEAT))
}

/// The CPUs that this process may use, the last one first: it has the fewest interrupts, as a rule.
pub(super) fn cpus() -> Result<Vec<usize>> {
    let allowed = sched_getaffinity(Pid::from_raw(0))?;
    Ok((0..CpuSet::count()).rev().filter(|&cpu| allowed.is_set(cpu) == Ok(true)).collect())
}

/// Keep a thread, or with 0 the calling one, on one CPU.
pub(super) fn pin(thread: i32, cpu: usize) -> Result<()> {
    let mut one = CpuSet::new();
    one.set(cpu)?;
    Ok(sched_setaffinity(Pid::from_raw(thread), &one)?)
}

/// The calling thread on one CPU, until this is dropped.
struct Pinned {
    before: CpuSet,
}

impl Pinned {
    fn here() -> Result<Self> {
        let before = sched_getaffinity(Pid::from_raw(0))?;
        if let Some(&cpu) = cpus()?.first() {
            pin(0, cpu)?;
        }
        Ok(Self { before })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // It was allowed before.
        let _unused = sched_setaffinity(Pid::from_raw(0), &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_sample_whatever_the_outliers() {
        let Measured { median, noise } = Measured::of(vec![3.0, 1e9, 1.0, 2.0, 2.5]);
        assert!((median - 2.5).abs() < f64::EPSILON);
        assert!((noise - 0.5).abs() < f64::EPSILON);
    }

    #[test]
    fn what_disturbs_two_samples_alike_is_not_in_their_difference() {
        let Measured { median, noise } = Measured::difference(&[11.0, 91.0, 12.0], &[1.0, 81.0, 2.0]);
        assert!((median - 10.0).abs() < f64::EPSILON);
        assert!(noise.abs() < f64::EPSILON);
    }
}
