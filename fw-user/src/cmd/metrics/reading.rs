//! All measurements, read at once.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use fw_common::policy::Policy;
use tokio::sync::watch;

use crate::{
    bans::store,
    cmd::locked,
    config::{Applies, folder},
    error::Result,
    host::interface::{self, Interface},
    kernel::{
        attach::{
            foreign,
            state::{self, State},
        },
        clock,
        maps::{
            counters::Counters,
            flows::{self, Flows},
            policy_map::PolicyMap,
        },
        meta::AttachmentRecord,
        pins::Pins,
        shape,
    },
};

/// Everything that is measured.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// Interfaces that have a filter, remains of one, or a file, by name.
    pub interfaces: Vec<InterfaceMetrics>,
    /// Entries of the flow tables; nothing where there are none.
    pub flows: Option<Flows>,
    /// The capacity of each of the two tables.
    pub flow_capacity: Option<u32>,
    /// How many networks are banned; nothing where the ledger cannot be read.
    pub bans: Option<usize>,
    /// Mistakes in the files, as they are now.
    pub mistakes: usize,
    /// How applying the files went, where this process does that.
    pub applies: Option<Applies>,
    /// How long it took to ask.
    pub took: Duration,
}

/// The measurements of an interface.
#[derive(Debug)]
pub(crate) struct InterfaceMetrics {
    /// The name.
    pub name: String,
    /// Whether there is an interface of that name.
    pub is_present: bool,
    /// Whether an active filter of fw-user is on it.
    pub is_attached: bool,
    /// Whether that filter is of this version and complete.
    pub is_up: bool,
    /// How many programs see packets before it and could pass them all.
    pub ahead: usize,
    /// The filter's state; `None` if there is none, or its maps cannot be read.
    pub filter: Option<FilterMetrics>,
}

/// The contents of a filter's maps.
#[derive(Debug)]
pub(crate) struct FilterMetrics {
    /// The record of the attachment.
    pub record: AttachmentRecord,
    /// The policy.
    pub policy: Policy,
    /// Whether nothing is dropped.
    pub monitors: bool,
    /// When the last change reverts, if it waits to be confirmed.
    pub trial_ends: Option<SystemTime>,
    /// The counters.
    pub counters: Counters,
}

/// Where readings come from.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The pins.
    pub pins: Pins,
    /// The folder of the files, or the only file.
    pub config: PathBuf,
    /// The results of the process that applies the files.
    pub applies: Option<watch::Receiver<Applies>>,
}

impl Source {
    /// Read everything. An unreadable interface does not hide the others.
    pub(crate) fn read(&self) -> Result<Metrics> {
        let start = Instant::now();
        locked::follow(&self.pins);
        let here = interface::all()?;
        let (in_files, mistakes) = files(&self.config);
        let mut names: BTreeSet<String> =
            self.pins.interfaces_of_all()?.into_iter().chain(in_files.iter().cloned()).collect();
        let unpinned = here.iter().filter(|interface| foreign::is_unpinned_filter(&self.pins, interface));
        names.extend(unpinned.map(|interface| interface.name.clone()));
        let find = |name: &String| here.iter().find(|interface| interface.name == *name);
        let interfaces: Vec<InterfaceMetrics> =
            names.into_iter().map(|name| examine(&self.pins, find(&name), name)).collect();
        // A filter that was just taken off is not active, even if the process that watches it has not noticed.
        let is_in_force = |one: &InterfaceMetrics| one.is_up || !one.is_present || !in_files.contains(&one.name);
        let all_in_force = interfaces.iter().all(is_in_force);
        Ok(Metrics {
            interfaces,
            flows: flows::count(&self.pins).ok(),
            flow_capacity: shape::capacity(&self.pins),
            bans: store::standing(&self.pins).ok().map(|standing| standing.count),
            mistakes,
            applies: self.applies.as_ref().map(|applies| {
                let applies = *applies.borrow();
                Applies { is_good: applies.is_good && all_in_force, ..applies }
            }),
            took: start.elapsed(),
        })
    }
}

/// The interfaces that files are for, and how many mistakes are in the files. One that cannot be read counts as a mistake.
fn files(config: &Path) -> (Vec<String>, usize) {
    let Ok(texts) = folder::texts(config) else { return (Vec::new(), 1) };
    let files = folder::parse(texts);
    let mistakes = files.iter().map(|file| file.mistakes.len()).sum();
    let names = files.into_iter().flat_map(|file| file.interfaces).map(toml::Spanned::into_inner).collect();
    (names, mistakes)
}

fn examine(pins: &Pins, present: Option<&Interface>, name: String) -> InterfaceMetrics {
    let state = state::of(pins, &name, present).ok();
    let is_ours = matches!(state, Some(State::Ours | State::Damaged));
    let is_attached = is_ours
        || matches!(state, Some(State::OtherAbi(_)))
        || present.is_some_and(|interface| foreign::is_unpinned_filter(pins, interface));
    let filter = if is_ours { read_filter(pins, &name).ok() } else { None };
    let is_up = state == Some(State::Ours) && filter.is_some();
    let ahead =
        present.map_or(Ok(Vec::new()), |interface| state::ahead(pins, interface)).map_or(0, |ahead| ahead.len());
    InterfaceMetrics { name, is_present: present.is_some(), is_attached, is_up, ahead, filter }
}

fn read_filter(pins: &Pins, name: &str) -> Result<FilterMetrics> {
    let map = PolicyMap::open(pins, name)?;
    let active = map.in_force()?;
    Ok(FilterMetrics {
        record: AttachmentRecord::read(pins, name)?,
        policy: map.read()?,
        monitors: active.monitors(),
        trial_ends: clock::left(active)?.map(|left| SystemTime::now() + left),
        counters: Counters::read(pins, name)?,
    })
}
