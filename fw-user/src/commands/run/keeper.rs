//! What the files say is put in force, and what went wrong is told once. Whatever goes wrong, what was in force stays.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::SystemTime,
};

use tokio::sync::watch;

use super::{
    super::{
        apply::{self, Applied, Wish},
        complain, detach,
        guard::Guard,
        print,
    },
    files::Found,
};
use crate::{
    Error, Result,
    bpf::pins::Pins,
    cli::DetachArgs,
    config::{Applies, folder},
    interface,
    report::apply::{Action, text},
};

/// Keeps interfaces as their files say.
pub(super) struct Keeper<'a> {
    pins: &'a Pins,
    place: &'a Path,
    guard: Guard,
    /// What the files said when they had no mistake last.
    wishes: Vec<Wish>,
    /// Interfaces that were made so, and the index that they had.
    settled: BTreeMap<String, u32>,
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

impl<'a> Keeper<'a> {
    pub(super) fn new(pins: &'a Pins, place: &'a Path, guard: Guard) -> Self {
        Self {
            pins,
            place,
            guard,
            wishes: Vec::new(),
            settled: BTreeMap::new(),
            own: BTreeSet::new(),
            is_due: false,
            mistakes: None,
            failure: None,
            applies: watch::Sender::new(Applies { is_good: false, last_success: SystemTime::UNIX_EPOCH }),
        }
    }

    /// How it goes, for the metrics.
    #[cfg(feature = "metrics")]
    pub(super) fn applies(&self) -> watch::Receiver<Applies> {
        self.applies.subscribe()
    }

    /// The first time: somebody is there to read what goes wrong, and nothing is kept that would have to stay.
    pub(super) async fn start(&mut self, wishes: Vec<Wish>) -> Result<()> {
        self.wishes = wishes;
        let applied = apply::apply(self.pins, self.wishes.clone(), None, false, self.guard).await?;
        self.settle(&applied, true)?;
        for name in &applied.missing {
            print(&format!("{name}  is not here; its file is applied when it appears\n"))?;
        }
        self.judge();
        Ok(())
    }

    /// The files say something else, or cannot be read.
    pub(super) async fn take(&mut self, found: Found) {
        let read = found
            .map(folder::parse)
            .and_then(|files| apply::wishes(self.place, files, &[]).map_err(|error| error.to_string()));
        match read {
            Ok(wishes) => {
                self.mistakes = None;
                self.wishes = wishes;
                self.is_due = true;
                self.retry().await;
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
    pub(super) async fn retry(&mut self) {
        let mut outcome = Ok(());
        if self.is_due {
            let applied = apply::apply(self.pins, self.wishes.clone(), None, false, self.guard).await;
            self.is_due = applied.is_err();
            outcome = applied.and_then(|applied| self.settle(&applied, false));
        }
        let arrivals = self.close_arrivals().await;
        self.note(outcome.and(arrivals));
    }

    /// Interfaces may have come or gone.
    pub(super) async fn follow(&mut self) {
        let outcome = self.close_arrivals().await;
        // What else is wrong is told by the next attempt.
        if !self.is_due {
            self.note(outcome);
        }
    }

    /// An interface that has come is closed by itself, whatever keeps the others from what their files say.
    async fn close_arrivals(&mut self) -> Result<()> {
        let here = interface::all().await?;
        let index = |name: &str| here.iter().find(|interface| interface.name == name).map(|interface| interface.index);
        let gone = self.settled.keys().filter(|name| index(name).is_none()).cloned().collect::<Vec<_>>();
        for name in gone {
            print(&format!("{name}  is gone; its file is applied when it comes back\n"))?;
            self.settled.remove(&name);
        }
        let has_come = |wish: &&Wish| {
            let index = index(&wish.interface);
            index.is_some() && self.settled.get(&wish.interface).copied() != index
        };
        let come: Vec<Wish> = self.wishes.iter().filter(has_come).cloned().collect();
        let mut outcome = Ok(());
        for wish in come {
            let applied = apply::apply(self.pins, vec![wish], None, false, self.guard).await;
            outcome = outcome.and(applied.and_then(|applied| self.settle(&applied, false)));
        }
        outcome
    }

    /// Take every filter off that this process answers for.
    pub(super) async fn detach(&self) -> Result<()> {
        let with_filter = self.pins.interfaces_of_all()?;
        let interfaces: Vec<String> = self.own.iter().filter(|name| with_filter.contains(name)).cloned().collect();
        if interfaces.is_empty() {
            return Ok(());
        }
        detach::run(self.pins, &DetachArgs { interfaces, all: false, json: false }).await
    }

    /// How things are, in a line.
    pub(super) fn status(&self) -> String {
        let wrong = self.mistakes.as_ref().or(self.failure.as_ref());
        let first_line = |words: &String| words.lines().next().unwrap_or_default().to_owned();
        match wrong {
            Some(words) => format!("what is in force stays: {}", first_line(words)),
            None if self.settled.is_empty() => "waits for an interface".to_owned(),
            None => {
                let names: Vec<&str> = self.settled.keys().map(String::as_str).collect();
                format!("as the files say: {}", names.join(", "))
            }
        }
    }

    /// Remember what was done, and print what changed.
    fn settle(&mut self, applied: &Applied, tell_all: bool) -> Result<()> {
        for interface in &applied.interfaces {
            self.settled.insert(interface.name.clone(), interface.index);
            self.own.insert(interface.name.clone());
        }
        self.applies.send_modify(|applies| applies.last_success = SystemTime::now());
        let of_interest = applied.outcomes.iter().filter(|outcome| tell_all || outcome.action != Action::None);
        of_interest.map(text).try_for_each(|text| print(&text))
    }

    /// Complain, but not of the same again and again.
    fn note(&mut self, outcome: Result<()>) {
        let failure = outcome.err().map(|error: Error| error.to_string());
        if let Some(words) = failure.as_ref().filter(|words| self.failure.as_ref() != Some(*words)) {
            complain(&format!(
                "fw-user: {words}\nwhat is in force stays; it is tried again every {} s",
                super::RETRY_EVERY.as_secs()
            ));
        }
        self.failure = failure;
        self.judge();
    }

    fn judge(&self) {
        let is_good = self.mistakes.is_none() && self.failure.is_none();
        self.applies.send_modify(|applies| applies.is_good = is_good);
    }

    /// Interfaces that no file is for any more keep their filter: an open port by a deleted file would be a poor surprise.
    fn tell_of_orphans(&mut self) {
        let wishes = &self.wishes;
        self.settled.retain(|name, _| {
            let is_wished = wishes.iter().any(|wish| wish.interface == *name);
            if !is_wished {
                complain(&format!("{name}  has no file any more; its filter stays until `fw-user detach {name}`"));
            }
            is_wished
        });
    }
}
