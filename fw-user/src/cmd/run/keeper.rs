//! Applies the files, and reports each problem once. Whatever fails, the rules in force stay.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::watch;

use crate::{
    cmd::{
        apply::{
            self, Applied, How,
            report::{Action, text},
            wishes::{Meant, Wish, Wishes},
        },
        detach,
        guard::Guard,
        locked::lock,
        run::{
            files::Found,
            filter::{Settled, words},
            readiness::Readiness,
        },
    },
    config::{Applies, folder},
    error::{Error, Result},
    host::{
        interface::{self, Interface},
        network::Network,
    },
    kernel::{
        attach::{
            attachment,
            spare::Arrival,
            state::{self, State},
        },
        maps::{
            policy_map::on_link::{self, OnLink},
            uppers,
        },
        pins::Pins,
    },
    output::{complain, narrate},
    printable::printable,
};

/// The least time between two moves of a filter to the first place.
const FIRST_EVERY: Duration = Duration::from_mins(1);

/// Keeps interfaces as in their files.
pub(crate) struct Keeper<'a> {
    pins: &'a Pins,
    place: &'a Path,
    guard: Guard,
    /// The last files without a mistake.
    wishes: Wishes,
    /// Interfaces whose file was applied.
    settled: BTreeMap<String, Settled>,
    /// Present interfaces that differ from their file, with their state in words.
    amiss: BTreeMap<String, String>,
    /// When filters were last moved to the first place in TC's list.
    first: BTreeMap<String, Instant>,
    /// Programs for future interfaces.
    readiness: Readiness,
    /// Interfaces whose filter this process owns.
    own: BTreeSet<String>,
    /// Whether the files must still be applied.
    is_due: bool,
    /// The mistakes in the files.
    mistakes: Option<String>,
    /// Why the files could not be applied.
    failure: Option<String>,
    applies: watch::Sender<Applies>,
}

/// The result of a check of the filters.
struct Seen {
    /// Whether anything changed.
    is_news: bool,
    /// Whether a filter must be attached again.
    is_lost: bool,
}

impl<'a> Keeper<'a> {
    pub(crate) fn new(pins: &'a Pins, place: &'a Path, guard: Guard) -> Self {
        Self {
            pins,
            place,
            guard,
            wishes: Wishes::default(),
            settled: BTreeMap::new(),
            amiss: BTreeMap::new(),
            first: BTreeMap::new(),
            readiness: Readiness::default(),
            own: BTreeSet::new(),
            is_due: false,
            mistakes: None,
            failure: None,
            applies: watch::Sender::new(Applies { is_good: false, last_success: SystemTime::UNIX_EPOCH }),
        }
    }

    /// The results, for the metrics.
    #[cfg(feature = "metrics")]
    pub(crate) fn applies(&self) -> watch::Receiver<Applies> {
        self.applies.subscribe()
    }

    /// The first application: somebody reads the errors, and nothing is in force yet that must be kept.
    pub(crate) fn start(&mut self, wishes: Wishes) -> Result<()> {
        self.wishes = wishes;
        let applied = self.apply_all()?;
        self.settle(&applied, true);
        tell_notes(&applied);
        for name in &applied.missing {
            narrate(&format!("{name}  is not here; its file is applied when it appears\n"));
        }
        self.judge();
        Ok(())
    }

    /// The files changed, or cannot be read.
    pub(crate) fn take(&mut self, found: Found) {
        let read = found
            .map(folder::parse)
            .and_then(|files| Wishes::new(self.place, files, &[]).map_err(|error| error.to_string()));
        match read {
            Ok(wishes) => {
                self.mistakes = None;
                self.wishes = wishes;
                self.is_due = true;
                self.retry();
                self.tell_of_orphans();
            }
            Err(words) => {
                complain(&format!("fw-user: {words}\nthe rules in force stay"));
                self.mistakes = Some(words);
                self.judge();
            }
        }
    }

    /// Apply what failed before, or was not applied yet.
    pub(crate) fn retry(&mut self) {
        let mut outcome = Ok(());
        if self.is_due {
            let applied = self.apply_all();
            self.is_due = applied.is_err();
            outcome = applied.map(|applied| {
                self.settle(&applied, false);
                tell_notes(&applied);
            });
        }
        let arrivals = self.close_arrivals();
        self.note(outcome.and(arrivals));
    }

    fn apply_all(&self) -> Result<Applied> {
        apply::apply(self.pins, || self.wishes.find(&Network::ask()?), self.how(None))
    }

    fn how(&self, arrival: Option<Arrival>) -> How {
        How { safeguards: None, dry_run: false, guard: self.guard, arrival }
    }

    /// Load programs for the next interfaces that appear.
    pub(crate) fn get_ready(&mut self) {
        if !self.settled.is_empty() {
            self.readiness.keep_up(self.pins);
        }
    }

    /// Interfaces may have appeared, disappeared or changed their class, or their filters may have changed. A new interface is closed before anything
    /// else is checked.
    pub(crate) fn follow(&mut self) {
        self.close();
        match self.examine() {
            Ok(Seen { is_lost: true, .. }) => self.close(),
            Ok(_) => {}
            Err(error) => self.note(Err(error)),
        }
    }

    fn close(&mut self) {
        let outcome = self.close_arrivals();
        // The next attempt reports other problems.
        if !self.is_due {
            self.note(outcome);
        }
    }

    /// Check whether the filters are still active, and attach those again that are not. Returns whether anything was wrong.
    pub(crate) fn watch(&mut self) -> bool {
        if !self.settled.is_empty() && !self.pins.is_on_bpffs() {
            let place = self.pins.bpffs().display();
            complain(&format!(
                "the BPF file system at {place} is gone, and every filter with it; fw-user mounts one again"
            ));
        }
        match self.examine() {
            Ok(Seen { is_lost: true, .. }) => {
                self.close();
                true
            }
            Ok(Seen { is_news, .. }) => is_news,
            Err(error) => {
                self.note(Err(error));
                true
            }
        }
    }

    /// Check the interfaces whose file was applied, and report those that changed. An interface that has lost its filter counts as new, and so does
    /// one whose state changed since its file could not be applied.
    fn examine(&mut self) -> Result<Seen> {
        let here = interface::all()?;
        let mut seen = Seen { is_news: false, is_lost: false };
        for interface in &here {
            let name = &interface.name;
            let is_settled = self.settled.get(name).is_some_and(|settled| settled.index == interface.index);
            if !is_settled && !self.amiss.contains_key(name) {
                continue;
            }
            let state = state::of(self.pins, name, Some(interface));
            if is_settled && matches!(state, Ok(State::Ours)) {
                uppers::note_among(self.pins, name, &here)?;
                let settled = self.settled.get_mut(name);
                let is_changed = settled.is_some_and(|settled| settled.notice_change(self.pins, name));
                seen.is_news |= self.amiss.remove(name).is_some() || is_changed;
                seen.is_news |= self.put_first(interface)?;
                continue;
            }
            let words = words(self.pins, interface, &state);
            if self.amiss.get(name) == Some(&words) {
                continue;
            }
            seen.is_news = true;
            if matches!(state, Ok(State::OtherAbi(_))) {
                // It filters. Two versions that replace each other again and again would help nobody.
                complain(&format!("{name}  {words}; fw-user run leaves it so until the files change"));
            } else {
                complain(&format!("{name}  {words}; its file is applied again"));
                self.settled.remove(name);
                seen.is_lost = true;
            }
            self.amiss.insert(name.clone(), words);
        }
        self.judge();
        Ok(seen)
    }

    /// If another program was put before a filter in TC's list, put the filter first again; returns whether it was. Two programs that replace each
    /// other again and again would help nobody.
    fn put_first(&mut self, interface: &Interface) -> Result<bool> {
        let name = &interface.name;
        let ahead = state::listed_ahead(self.pins, interface)?;
        let is_too_soon = self.first.get(name).is_some_and(|at| at.elapsed() < FIRST_EVERY);
        let Some(other) = ahead.first().filter(|_| !is_too_soon) else { return Ok(false) };
        complain(&format!(
            "{name}  the program {other} was put before the filter at TC ingress; the filter is first again"
        ));
        self.first.insert(name.clone(), Instant::now());
        let _lock = lock(self.pins)?;
        attachment::go_first(self.pins, interface)?;
        Ok(true)
    }

    /// An interface that is new or has lost its filter is closed separately, even if the other files cannot be applied.
    fn close_arrivals(&mut self) -> Result<()> {
        let network = Network::ask()?;
        let index = |name: &str| network.index(name);
        let gone = self.settled.keys().filter(|name| index(name).is_none()).cloned().collect::<Vec<_>>();
        for name in gone {
            narrate(&format!("{name}  is gone; its file is applied when it comes back\n"));
            self.settled.remove(&name);
        }
        let Meant { here, .. } = self.wishes.find(&network)?;
        self.amiss.retain(|name, _| here.iter().any(|(interface, _)| interface.name == *name));
        let has_come = |(interface, _): &(Interface, Wish)| {
            self.settled.get(&interface.name).map(|settled| settled.index) != Some(interface.index)
        };
        let come: Vec<(Interface, Wish)> = here.into_iter().filter(has_come).collect();
        let mut outcome = Ok(());
        for (interface, wish) in come {
            let name = interface.name;
            let again = || {
                let here = interface::present(&name)?.map(|interface| (interface, wish.clone()));
                Ok(Meant { here: here.into_iter().collect(), ..Meant::default() })
            };
            let how =
                self.how(Some(Arrival { spare: self.readiness.spare(), is_fresh: network.is_unused(interface.index) }));
            let applied = apply::apply(self.pins, again, how);
            if applied.is_err()
                && let Some(interface) = interface::present(&name)?
            {
                let state = state::of(self.pins, &name, Some(&interface));
                if !matches!(state, Ok(State::Ours)) {
                    self.amiss.insert(name, words(self.pins, &interface, &state));
                }
            }
            outcome = outcome.and(applied.map(|applied| self.settle(&applied, false)));
        }
        outcome.and(self.follow_links(&network))
    }

    /// Bring what is noted of the links up to date. A policy with very many networks takes a while to read, so only a link that differs is compared.
    fn follow_links(&mut self, network: &Network) -> Result<()> {
        let mut outcome = Ok(());
        for (name, settled) in &mut self.settled {
            let here = OnLink::of(network, name);
            if settled.link.as_ref() == Some(&here) {
                continue;
            }
            let followed = on_link::is_behind(self.pins, name, &here).and_then(|is_behind| {
                let _lock = if is_behind { lock(self.pins)? } else { return Ok(()) };
                on_link::note(self.pins, name)
            });
            settled.link = followed.is_ok().then_some(here);
            outcome = outcome.and(followed);
        }
        outcome
    }

    /// Take off every filter that this process owns.
    pub(crate) fn detach(&mut self) -> Result<()> {
        // It would pin the shared maps again.
        self.readiness.end();
        let is_own =
            |with_filter: &[String]| Ok(with_filter.iter().filter(|name| self.own.contains(*name)).cloned().collect());
        detach::take_off(self.pins, false, is_own)?.tell(false)
    }

    /// The status in one line.
    pub(crate) fn status(&self) -> String {
        let wrong = self.mistakes.as_ref().or(self.failure.as_ref());
        let first_line = |words: &String| printable(words.lines().next().unwrap_or_default());
        match wrong {
            Some(words) => format!("{}: {}", self.meanwhile(), first_line(words)),
            None if !self.amiss.is_empty() => self.meanwhile(),
            None if self.settled.is_empty() => "waits for an interface".to_owned(),
            None => {
                let names = |is_changed: bool| {
                    let of_kind = self.settled.iter().filter(move |(_, settled)| settled.is_changed == is_changed);
                    of_kind.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
                };
                let parts = [("matches the files", names(false)), ("changed by hand since", names(true))];
                let parts = parts.into_iter().filter(|(_, names)| !names.is_empty());
                parts.map(|(what, names)| format!("{what}: {names}")).collect::<Vec<_>>().join("; ")
            }
        }
    }

    /// The state while something is wrong.
    fn meanwhile(&self) -> String {
        if self.amiss.is_empty() {
            return "the rules in force stay".to_owned();
        }
        let amiss: Vec<String> = self.amiss.iter().map(|(name, words)| format!("{name} {words}")).collect();
        amiss.join("; ")
    }

    /// Remember what was done, and print what changed.
    fn settle(&mut self, applied: &Applied, tell_all: bool) {
        self.readiness.retry();
        for interface in &applied.interfaces {
            self.settled.insert(interface.name.clone(), Settled::now(self.pins, interface));
            self.own.insert(interface.name.clone());
            self.amiss.remove(&interface.name);
        }
        self.applies.send_modify(|applies| applies.last_success = SystemTime::now());
        let of_interest = applied.outcomes.iter().filter(|outcome| tell_all || outcome.action != Action::None);
        of_interest.for_each(|outcome| narrate(&text(outcome)));
    }

    /// Report an error, but not the same one again and again.
    fn note(&mut self, outcome: Result<()>) {
        let failure = outcome.err().map(|error: Error| error.to_string());
        if let Some(words) = failure.as_ref().filter(|words| self.failure.as_ref() != Some(*words)) {
            complain(&format!(
                "fw-user: {words}\n{}; this is tried again every {} s",
                self.meanwhile(),
                super::RETRY_EVERY.as_secs()
            ));
        }
        self.failure = failure;
        self.judge();
    }

    fn judge(&self) {
        let is_good = self.mistakes.is_none() && self.failure.is_none() && self.amiss.is_empty();
        self.applies.send_modify(|applies| applies.is_good = is_good);
    }

    /// Interfaces without a file keep their filter: deleting a file must not open ports.
    fn tell_of_orphans(&mut self) {
        let wishes = &self.wishes;
        self.settled.retain(|name, _| {
            let is_wished = wishes.may_be_for(name);
            if !is_wished {
                complain(&format!("{name}  the file is gone; the filter stays until `fw-user detach {name}`"));
            }
            is_wished
        });
    }
}

/// Print the notes on patterns that have no effect.
fn tell_notes(applied: &Applied) {
    applied.notes.iter().for_each(|note| narrate(&format!("note: {note}\n")));
}
