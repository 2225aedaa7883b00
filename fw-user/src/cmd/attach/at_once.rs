//! Attaches to many interfaces at the same time. The verifier takes most of the time, and works on as many processors as there are.

use std::{
    panic,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use crate::{
    error::Result,
    host::interface::Interface,
    kernel::{
        attach::{
            attachment,
            plan::{Attached, Plan},
        },
        pins::Pins,
    },
};

/// Threads for each processor: an attachment also waits until packets that are on their way have been judged.
const THREADS_A_PROCESSOR: usize = 2;

/// Attach to each of the interfaces, until one fails. Returns the outcomes in the order of the interfaces, without those that were not begun.
pub(super) fn attach_each<'a>(pins: &Pins, wishes: &'a [(Interface, Plan)]) -> Vec<(&'a str, Result<Attached>)> {
    let has_failed = AtomicBool::new(false);
    let attach = |(interface, plan): &'a (Interface, Plan)| {
        let outcome = attachment::attach(pins, interface, plan);
        has_failed.fetch_or(outcome.is_err(), Ordering::Relaxed);
        (interface.name.as_str(), outcome)
    };
    let Some((first, others)) = wishes.split_first() else { return Vec::new() };
    // It makes the maps that all share.
    let mut outcomes = vec![attach(first)];
    let waiting = Mutex::new(others.iter().enumerate());
    let take = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        let mut done = Vec::new();
        while !has_failed.load(Ordering::Relaxed)
            && let Some((place, wish)) = take()
        {
            done.push((place, attach(wish)));
        }
        done
    };
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let threads = others.len().min(processors * THREADS_A_PROCESSOR);
    let mut done = thread::scope(|scope| {
        // Without other threads this one does it all.
        let spawn = |_| thread::Builder::new().spawn_scoped(scope, work).ok();
        let helpers: Vec<_> = (1..threads).map_while(spawn).collect();
        let mut done = work();
        for helper in helpers {
            done.extend(helper.join().unwrap_or_else(|panic| panic::resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|&(place, _)| place);
    outcomes.extend(done.into_iter().map(|(_, outcome)| outcome));
    outcomes
}
