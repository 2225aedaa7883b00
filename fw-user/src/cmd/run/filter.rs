//! What is on an interface that is kept as its file says.

use fw_common::abi::Active;

use crate::{
    error::Result,
    host::interface::Interface,
    kernel::{
        attach::state::{self, State},
        maps::policy_map::PolicyMap,
        pins::Pins,
    },
};

/// An interface that was made as its file says.
pub(crate) struct Settled {
    /// The index that it had.
    pub(crate) index: u32,
    /// Whether something else was put in force since, by `allow` for one.
    pub(crate) is_changed: bool,
    active: Option<Active>,
}

impl Settled {
    /// An interface that was made so a moment ago.
    pub(crate) fn now(pins: &Pins, interface: &Interface) -> Self {
        Self { index: interface.index, is_changed: false, active: active(pins, &interface.name) }
    }

    /// Look whether something else is in force. Says whether that is news. A second change may bring the same word back, the policy with
    /// it or not; so it stays changed.
    pub(crate) fn notice_change(&mut self, pins: &Pins, name: &str) -> bool {
        let was_changed = self.is_changed;
        self.is_changed |= active(pins, name) != self.active;
        self.is_changed != was_changed
    }
}

/// The word that says which policy is in force.
fn active(pins: &Pins, name: &str) -> Option<Active> {
    PolicyMap::open(pins, name).and_then(|map| map.active()).ok()
}

/// What is on an interface instead of its whole filter, in words.
pub(crate) fn words(pins: &Pins, interface: &Interface, state: &Result<State>) -> String {
    match state {
        Ok(State::Free) => "has no filter".to_owned(),
        Ok(State::Damaged) => {
            let damages = state::damages(pins, interface).unwrap_or_default();
            let list: Vec<String> = damages.iter().map(ToString::to_string).collect();
            format!("{}: {}", State::Damaged.words(), list.join("; "))
        }
        Ok(state) => state.words(),
        Err(error) => error.to_string(),
    }
}
