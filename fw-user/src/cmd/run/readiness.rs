//! Programs that are ready for interfaces that appear later. A thread loads them, so that an interface that appears meanwhile can use those
//! that are ready.

use std::{
    panic,
    thread::{self, JoinHandle},
};

use crate::{
    error::Result,
    kernel::{attach::spare::Spare, pins::Pins},
    output::complain,
};

/// Loaded programs, and the thread that loads more.
#[derive(Default)]
pub(crate) struct Readiness {
    spare: Spare,
    preparation: Option<JoinHandle<Result<()>>>,
    /// Whether the last attempt to have some failed.
    is_refused: bool,
}

impl Readiness {
    /// The loaded programs.
    pub(crate) fn spare(&self) -> Spare {
        self.spare.clone()
    }

    /// Load missing programs. Without them an interface is closed a little later.
    pub(crate) fn keep_up(&mut self, pins: &Pins) {
        if self.preparation.as_ref().is_some_and(JoinHandle::is_finished) {
            self.end();
        }
        if self.preparation.is_none() && !self.is_refused && !self.spare.is_full() {
            let (spare, pins) = (self.spare(), pins.clone());
            self.preparation = Some(thread::spawn(move || spare.prepare(&pins)));
        }
    }

    /// Wait for the thread.
    pub(crate) fn end(&mut self) {
        let Some(preparation) = self.preparation.take() else { return };
        if let Err(error) = preparation.join().unwrap_or_else(|panic| panic::resume_unwind(panic)) {
            complain(&format!("fw-user: cannot prepare the filter for interfaces that appear later: {error}"));
            // If the kernel refuses once, it will refuse again. The next attachment shows whether it still does.
            self.is_refused = true;
        }
    }

    /// Try again after a refusal.
    pub(crate) fn retry(&mut self) {
        self.is_refused = false;
    }
}
