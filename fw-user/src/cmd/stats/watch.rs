//! Reads the same filters again and again. Maps stay open, and rare changes are read rarely.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use fw_common::abi::map;
use fw_common::active::Active;

use crate::{
    cmd::{
        locked,
        select::attached,
        stats::{
            report::allowed_ports,
            screen::reading::{FilterReading, InterfaceReading, Port, Reading},
        },
    },
    error::{Error, KernelError, Result},
    host::interface,
    kernel::{
        attach::{follow, links, state},
        clock,
        maps::{
            counters::Reader,
            flows::Census,
            policy_map::PolicyMap,
            sources::{self, DropSource},
        },
        meta::{AttachmentRecord, Mode},
        pinned::inode,
        pins::Pins,
    },
};

/// A new policy shows in the map at once, except if two changes between two reads restore the same word.
const POLICY_LIFETIME: Duration = Duration::from_secs(10);

/// The filters that are shown.
pub(crate) struct Watch<'a> {
    pins: &'a Pins,
    named: Vec<String>,
    interfaces: BTreeMap<String, Result<Watched, String>>,
    census: Option<(u64, Census)>,
}

/// A filter whose maps are open.
struct Watched {
    generation: u64,
    mode: Mode,
    policy: PolicyMap,
    in_force: Active,
    read_at: Instant,
    open: BTreeSet<Port>,
    counters: Reader,
    knocks: sources::Reader,
    sources: Vec<DropSource>,
}

impl<'a> Watch<'a> {
    /// Watch the filters of the named interfaces, or of all interfaces, including future ones.
    pub(crate) fn new(pins: &'a Pins, named: &[String]) -> Self {
        Self { pins, named: named.to_vec(), interfaces: BTreeMap::new(), census: None }
    }

    /// Move the pins of renamed interfaces, and watch their filters under the new names. Returns whether there were any.
    pub(crate) fn follow(&mut self) -> Result<bool> {
        let is_renamed = !follow::renamed(self.pins)?.is_empty();
        if is_renamed {
            locked::follow(self.pins);
        }
        let present = self.pins.interfaces()?;
        let is_at = |name: &String, generation| inode(&self.pins.map(name, map::COUNTERS)) == Some(generation);
        let mut moved = Vec::new();
        for (from, watched) in &self.interfaces {
            let Ok(Watched { generation, .. }) = watched else { continue };
            if !is_at(from, *generation)
                && let Some(to) = present.iter().find(|name| is_at(name, *generation))
            {
                moved.push((from.clone(), to.clone()));
            }
        }
        // Interfaces may have exchanged their names.
        let filters: Vec<_> = moved.iter().map(|(from, _)| self.interfaces.remove(from)).collect();
        for ((from, to), filter) in moved.into_iter().zip(filters) {
            self.named.iter_mut().filter(|name| **name == from).for_each(|name| name.clone_from(&to));
            self.interfaces.extend(filter.map(|filter| (to, filter)));
        }
        Ok(is_renamed)
    }

    /// Read everything. A filter that is gone or cannot be read is part of the answer.
    pub(crate) fn read(&mut self) -> Result<Reading<'_>> {
        let mut names: BTreeSet<String> = self.interfaces.keys().chain(&self.named).cloned().collect();
        if self.named.is_empty() {
            names.extend(self.pins.interfaces()?);
        }
        for name in names {
            let known = self.interfaces.remove(&name).and_then(Result::ok);
            let now = self.look(&name, known).map_err(|error| error.to_string());
            self.interfaces.insert(name, now);
        }
        let at = Instant::now();
        let flows = self.count_flows();
        let interfaces = self.interfaces.iter().map(|(name, watched)| InterfaceReading {
            name,
            filter: watched.as_ref().map(Watched::reading).map_err(String::as_str),
        });
        Ok(Reading { at, flows, interfaces: interfaces.collect() })
    }

    fn look(&self, name: &str, known: Option<Watched>) -> Result<Watched> {
        let Some(generation) = inode(&self.pins.map(name, map::COUNTERS)) else {
            attached(self.pins, &[name.to_owned()])?;
            return Err(Error::Kernel(KernelError::NotAttached { name: name.to_owned() }));
        };
        if links::ingress_link(self.pins, name)?.is_none_or(|link| link.ifindex == 0) {
            let state = state::of(self.pins, name, interface::present(name)?.as_ref())?;
            return Err(Error::Kernel(KernelError::NotFiltering { name: name.to_owned(), state: state.words() }));
        }
        let mut watched = match known {
            Some(known) if known.generation == generation => known,
            _ => Watched::open(self.pins, name, generation)?,
        };
        watched.update()?;
        Ok(watched)
    }

    /// There are none where nothing is attached.
    fn count_flows(&mut self) -> Option<usize> {
        let generation = inode(&self.pins.shared_map(map::FLOWS4))?;
        let census = self.census.take().filter(|(known, _)| *known == generation);
        let census = match census {
            Some((_, mut census)) => census.go_on().map(|()| census),
            None => Census::take(self.pins),
        };
        let (_, census) = self.census.insert((generation, census.ok()?));
        Some(census.flows().all())
    }
}

impl Watched {
    fn open(pins: &Pins, name: &str, generation: u64) -> Result<Self> {
        let policy = PolicyMap::open(pins, name)?;
        let mut watched = Self {
            generation,
            mode: AttachmentRecord::read(pins, name)?.mode,
            in_force: policy.in_force()?,
            read_at: Instant::now(),
            open: BTreeSet::new(),
            policy,
            counters: Reader::open(pins, name)?,
            knocks: sources::Reader::open(pins, name)?,
            sources: Vec::new(),
        };
        watched.read_policy()?;
        Ok(watched)
    }

    fn update(&mut self) -> Result<()> {
        let in_force = self.policy.in_force()?;
        if in_force != self.in_force || self.read_at.elapsed() >= POLICY_LIFETIME {
            self.in_force = in_force;
            self.read_policy()?;
        }
        self.counters.read()?;
        self.sources = self.knocks.read()?;
        Ok(())
    }

    fn read_policy(&mut self) -> Result<()> {
        self.read_at = Instant::now();
        self.open = allowed_ports(&self.policy.read()?);
        Ok(())
    }

    fn reading(&self) -> FilterReading<'_> {
        FilterReading {
            generation: self.generation,
            mode: self.mode,
            monitors: self.in_force.monitors(),
            trial_ends_in: clock::left(self.in_force).ok().flatten().map(|left| left.as_secs()),
            open: &self.open,
            counters: self.counters.counters(),
            sources: &self.sources,
        }
    }
}
