//! The filter on an interface that `run` keeps as in its file.

use fw_common::active::Active;

use crate::{
    error::Result,
    host::interface::Interface,
    kernel::{
        attach::state::{self, State},
        maps::policy_map::{PolicyMap, on_link::OnLink},
        pins::Pins,
    },
};

/// An interface whose file was applied.
pub(crate) struct Settled {
    /// Its index at that time.
    pub(crate) index: u32,
    /// Whether the rules were changed since, for example by `allow`.
    pub(crate) is_changed: bool,
    /// Its link when that was last compared with what is noted of it.
    pub(crate) link: Option<OnLink>,
    active: Option<Active>,
}

impl Settled {
    /// An interface whose file was just applied.
    pub(crate) fn now(pins: &Pins, interface: &Interface) -> Self {
        Self { index: interface.index, is_changed: false, link: None, active: active(pins, &interface.name) }
    }

    /// Check whether other rules are in force; returns whether that is new. A second change may restore the same word with another policy, so the
    /// mark stays.
    pub(crate) fn notice_change(&mut self, pins: &Pins, name: &str) -> bool {
        let was_changed = self.is_changed;
        self.is_changed |= active(pins, name) != self.active;
        self.is_changed != was_changed
    }
}

/// The word that selects the policy in force.
fn active(pins: &Pins, name: &str) -> Option<Active> {
    PolicyMap::open(pins, name).and_then(|map| map.active()).ok()
}

/// The state of an interface without its complete filter, in words.
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
