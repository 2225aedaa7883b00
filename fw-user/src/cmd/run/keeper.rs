//! What the files say is put in force, and what went wrong is told once. Whatever goes wrong, what was in force stays.

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
            spare::Spare,
            state::{self, State},
        },
        maps::uppers,
        pins::Pins,
    },
    output::{complain, narrate},
    printable::printable,
};

/// How often a filter goes first again at most.
const FIRST_EVERY: Duration = Duration::from_mins(1);

/// Keeps interfaces as their files say.
pub(crate) struct Keeper<'a> {
    pins: &'a Pins,
    place: &'a Path,
    guard: Guard,
    /// What the files said when they had no mistake last.
    wishes: Wishes,
    /// Interfaces that were made so.
    settled: BTreeMap<String, Settled>,
    /// Interfaces that are here and not as their file says, and in words what is on them instead.
    amiss: BTreeMap<String, String>,
    /// When filters were put first in TC's list last.
    first: BTreeMap<String, Instant>,
    /// Programs for an interface to come.
    spare: Spare,
    /// Whether the last attempt to have some failed.
    cannot_be_ready: bool,
    /// Interfaces whose filter this process answers for.
    own: BTreeSet<String>,
    /// Whether the wishes are still to be put in force.
    is_due: bool,
    /// What is wrong with the files.
    mistakes: Option<String>,
    /// Why wishes could not be put in force.
    failure: Option<String>,
    applies: watch::Sender<Applies>,
}

/// What a look at the filters came to.
struct Seen {
    /// Whether something is otherwise than before.
    is_news: bool,
    /// Whether a filter is to be put back.
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
            spare: Spare::default(),
            cannot_be_ready: false,
            own: BTreeSet::new(),
            is_due: false,
            mistakes: None,
            failure: None,
            applies: watch::Sender::new(Applies { is_good: false, last_success: SystemTime::UNIX_EPOCH }),
        }
    }

    /// How it goes, for the metrics.
    #[cfg(feature = "metrics")]
    pub(crate) fn applies(&self) -> watch::Receiver<Applies> {
        self.applies.subscribe()
    }

    /// The first time: somebody is there to read what goes wrong, and nothing is kept that would have to stay.
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

    /// The files say something else, or cannot be read.
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
                complain(&format!("fw-user: {words}\nwhat is in force stays"));
                self.mistakes = Some(words);
                self.judge();
            }
        }
    }

    /// Put in force what could not be, or was not yet.
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

    fn how(&self, fresh: Option<Spare>) -> How {
        How { safeguards: None, dry_run: false, guard: self.guard, fresh }
    }

    /// Have programs ready for the next interface that appears. Without them it is closed as well, some moments later.
    pub(crate) fn get_ready(&mut self) {
        if self.cannot_be_ready {
            return;
        }
        if let Err(error) = self.spare.prepare(self.pins) {
            complain(&format!("fw-user: no programs are ready for an interface that appears: {error}"));
            // What the kernel refuses once it refuses again; the next attachment shows whether it still does.
            self.cannot_be_ready = true;
        }
    }

    /// Interfaces may have come or gone, or lead elsewhere, or something has happened to what is on them. What has come is closed before
    /// anything else is looked at.
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
        // What else is wrong is told by the next attempt.
        if !self.is_due {
            self.note(outcome);
        }
    }

    /// Look whether the filters are at work still, and put back those that are not. Says whether anything was amiss.
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

    /// What is on the interfaces that were made as their files say, told where it is something else. One that has lost its filter counts
    /// as one that has come, and so does one on which something else is than when its file could not be applied.
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
                // It filters. Two versions that took it from each other again and again would help nobody.
                complain(&format!("{name}  {words}; it is left to that until the files change"));
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

    /// Put a filter first in TC's list again, where another program was put before it; says whether it was. Two that took the place from each
    /// other again and again would help nobody.
    fn put_first(&mut self, interface: &Interface) -> Result<bool> {
        let name = &interface.name;
        let ahead = state::listed_ahead(self.pins, interface)?;
        let is_too_soon = self.first.get(name).is_some_and(|at| at.elapsed() < FIRST_EVERY);
        let Some(other) = ahead.first().filter(|_| !is_too_soon) else { return Ok(false) };
        complain(&format!(
            "{name}  the program {other} was put before the filter at TC ingress; the filter goes first again"
        ));
        self.first.insert(name.clone(), Instant::now());
        let _lock = lock(self.pins)?;
        attachment::go_first(self.pins, interface)?;
        Ok(true)
    }

    /// An interface that has come, or has lost its filter, is closed by itself, whatever keeps the others from what their files say.
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
            let fresh = network.is_unused(interface.index).then(|| self.spare.clone());
            let applied = apply::apply(self.pins, again, self.how(fresh));
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
        outcome
    }

    /// Take every filter off that this process answers for.
    pub(crate) fn detach(&self) -> Result<()> {
        let is_own =
            |with_filter: &[String]| Ok(with_filter.iter().filter(|name| self.own.contains(*name)).cloned().collect());
        detach::take_off(self.pins, false, is_own)?.tell(false)
    }

    /// How things are, in a line.
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
                let parts = [("as the files say", names(false)), ("changed by hand since", names(true))];
                let parts = parts.into_iter().filter(|(_, names)| !names.is_empty());
                parts.map(|(what, names)| format!("{what}: {names}")).collect::<Vec<_>>().join("; ")
            }
        }
    }

    /// What holds while something is wrong.
    fn meanwhile(&self) -> String {
        if self.amiss.is_empty() {
            return "what is in force stays".to_owned();
        }
        let amiss: Vec<String> = self.amiss.iter().map(|(name, words)| format!("{name} {words}")).collect();
        amiss.join("; ")
    }

    /// Remember what was done, and print what changed.
    fn settle(&mut self, applied: &Applied, tell_all: bool) {
        self.cannot_be_ready = false;
        for interface in &applied.interfaces {
            self.settled.insert(interface.name.clone(), Settled::now(self.pins, interface));
            self.own.insert(interface.name.clone());
            self.amiss.remove(&interface.name);
        }
        self.applies.send_modify(|applies| applies.last_success = SystemTime::now());
        let of_interest = applied.outcomes.iter().filter(|outcome| tell_all || outcome.action != Action::None);
        of_interest.for_each(|outcome| narrate(&text(outcome)));
    }

    /// Complain, but not of the same again and again.
    fn note(&mut self, outcome: Result<()>) {
        let failure = outcome.err().map(|error: Error| error.to_string());
        if let Some(words) = failure.as_ref().filter(|words| self.failure.as_ref() != Some(*words)) {
            complain(&format!(
                "fw-user: {words}\n{}; it is tried again every {} s",
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

    /// Interfaces that no file is for any more keep their filter: an open port by a deleted file would be a poor surprise.
    fn tell_of_orphans(&mut self) {
        let wishes = &self.wishes;
        self.settled.retain(|name, _| {
            let is_wished = wishes.may_be_for(name);
            if !is_wished {
                complain(&format!("{name}  has no file any more; its filter stays until `fw-user detach {name}`"));
            }
            is_wished
        });
    }
}

/// What patterns do not do that they could be thought to.
fn tell_notes(applied: &Applied) {
    applied.notes.iter().for_each(|note| narrate(&format!("note: {note}\n")));
}
