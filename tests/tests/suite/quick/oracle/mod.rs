//! Random frames through `decide()`, through the loaded program and past an independent reading: hosts that no row of the case table
//! describes, with packets that nobody would think of.

mod faults;
mod frames;
mod headers;
mod situations;

use std::{cell::RefCell, collections::BTreeMap, env, thread};

use anyhow::{Context as _, Result};
use fw_common::{
    Decision, PortProtocol, Reason, Verdict,
    abi::{COUNTED_PROTOCOLS, PortCounter},
};
use fw_tests::{
    kernel::{Force, Kernel, LEAST_FRAME, Namespace, Ports},
    oracle::Situation,
};
use proptest::{
    collection::vec,
    strategy::Strategy as _,
    test_runner::{Config, RngSeed, TestCaseError, TestRunner},
};

use self::frames::Frame;

/// How many come in one after the other at a host, at the most.
const TOGETHER: usize = 1_000;
/// The variable that repeats a run.
const SEED: &str = "FW_ORACLE_SEED";

#[test]
fn host_and_kernel_and_another_parser_agree_on_random_frames() {
    agree_on(60_000);
}

/// Compare so many frames, and panic where they are not judged alike.
pub(crate) fn agree_on(frames: usize) {
    // A separate thread, because it moves into other namespaces.
    thread::spawn(move || play(frames)).join().expect("the thread ends").expect("the kernel plays along");
}

fn play(frames: usize) -> Result<()> {
    let seed = match env::var(SEED) {
        Ok(seed) => seed.parse().with_context(|| format!("{SEED} is a number"))?,
        Err(_) => random_seed(),
    };
    println!("to see this run again: {SEED}={seed}");
    let config = Config {
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        // First frames are left out one by one, then the last one is made simple.
        max_shrink_iters: 20_000,
        max_shrink_time: 120_000,
        ..Config::default()
    };
    let mut runner = TestRunner::new(config);
    let strategy = (situations::any(), vec(frames::any(), 1..=TOGETHER));
    let kernel = RefCell::new(Kernel::load(Namespace::enter()?, Force::ForGood)?);
    let tally = RefCell::new(Tally::default());
    while tally.borrow().frames < frames {
        let case = strategy.new_tree(&mut runner).map_err(|error| anyhow::anyhow!("{error}"))?;
        let outcome = runner.run_one(case, |(situation, frames)| {
            let decisions = compare(&situation, &frames, &mut kernel.borrow_mut())?;
            tally.borrow_mut().add(&decisions);
            Ok(())
        });
        if let Err(error) = outcome {
            panic!("{error}\nto see this again: {SEED}={seed}");
        }
    }
    let tally = tally.into_inner();
    println!("{} frames, by reason: {:?}", tally.frames, tally.reasons);
    tally.check(frames / 5_000);
    Ok(())
}

/// A number that nothing else depends on.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0)
}

/// The results for the frames of a run.
#[derive(Default)]
struct Tally {
    frames: usize,
    reasons: BTreeMap<&'static str, usize>,
}

impl Tally {
    fn add(&mut self, decisions: &[Decision]) {
        self.frames += decisions.len();
        for decision in decisions {
            *self.reasons.entry(decision.reason().name()).or_default() += 1;
        }
    }

    /// A generator that misses a branch of the decision compares nothing there: each reason must be met so often.
    fn check(&self, least: usize) {
        // What exceeds a limit depends on the frames before.
        let rare: Vec<_> = fw_tests::cases::reasons()
            .filter(|reason| *reason != Reason::Limited)
            .map(|reason| (reason.name(), self.reasons.get(reason.name()).copied().unwrap_or(0)))
            .filter(|&(_, count)| count < least)
            .collect();
        assert!(rare.is_empty(), "reasons that hardly any frame met: {rare:?}");
    }
}

/// Compare the verdicts on frames: the host's with the oracle's, and the kernel's with the host's.
fn compare(situation: &Situation, frames: &[Frame], kernel: &mut Kernel) -> Result<Vec<Decision>, TestCaseError> {
    let fail = |frame: &Frame, what: String| TestCaseError::fail(format!("{what}\n{frame:?}"));
    let model = situation.model().map_err(|error| TestCaseError::fail(error.to_string()))?;
    let mut decisions = Vec::new();
    for frame in frames {
        decisions.push(situation.judge(&model, &frame.0).map_err(|what| fail(frame, what))?);
    }
    let refused = |error: anyhow::Error| TestCaseError::fail(format!("the kernel fails: {error:#}"));
    let (long, judged): (Vec<&Frame>, Vec<Decision>) =
        frames.iter().zip(decisions.iter().copied()).filter(|(frame, _)| frame.0.len() >= LEAST_FRAME).unzip();
    kernel.enter(situation).map_err(refused)?;
    let received = kernel.receive_all(&long).map_err(refused)?;
    for ((frame, decision), reason) in long.into_iter().zip(&judged).zip(&received.reasons) {
        if decision.reason() != *reason {
            return Err(fail(frame, format!("the host says {}, the kernel {reason}", decision.reason())));
        }
    }
    let expected = ports(judged.into_iter());
    if expected != received.ports {
        return Err(TestCaseError::fail(format!(
            "ports of the host: {expected:?}, the kernel's: {:?}",
            received.ports
        )));
    }
    Ok(decisions)
}

/// The expected counters of TCP and UDP ports.
fn ports(decisions: impl Iterator<Item = Decision>) -> Ports {
    let mut ports: BTreeMap<(PortProtocol, u16), PortCounter> = BTreeMap::new();
    for decision in decisions {
        let Some(port) = decision.port().filter(|(protocol, _)| (*protocol as u32) < COUNTED_PROTOCOLS) else {
            continue;
        };
        let counter = ports.entry(port).or_default();
        match decision.verdict() {
            Verdict::Pass => counter.passed += 1,
            Verdict::Drop => counter.dropped += 1,
        }
    }
    ports
}
