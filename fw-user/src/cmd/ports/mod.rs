//! `fw-user allow`, `limit` and `deny`: put a changed policy in force with one write.

pub(crate) mod args;
pub(crate) mod in_file;
pub(crate) mod wording;

use std::path::Path;

use fw_common::{entry::Entry, grammar::Rule, policy::Policy};
use serde::Serialize;

use crate::{
    cmd::{
        boot::state::{AtBoot, AtBootJson, BootFiles},
        guard::Guard,
        locked::lock,
        ports::{
            args::{Change, ChangeArgs, Piece},
            in_file::InFile,
            wording::Meant,
        },
        running::running,
        select::{after_change, at_work},
        trial::{self, Trial},
        unfiltered::{self, UnfilteredJson},
    },
    config::edits::Edits,
    error::{Error, Result, UsageError},
    host::{class::Sides, interface, network::Network, privilege},
    kernel::{
        clock,
        maps::{
            policy_map::{self, PolicyMap, on_link},
            uppers,
        },
        pins::Pins,
    },
    lockout::{self, Outlook},
    output::{json, print},
    policy_text::{
        self,
        words::{self, PolicyJson},
    },
    report::{
        change,
        lockout::{self as lockout_report, Fix},
    },
};

#[derive(Serialize)]
struct PortsJson<'a> {
    interfaces: &'a [ChangedJson],
    unfiltered: Vec<UnfilteredJson<'a>>,
}

#[derive(Serialize)]
struct ChangedJson {
    name: String,
    changed: bool,
    in_file: Option<bool>,
    /// Seconds left to confirm the change, if it is on trial.
    confirm_within: Option<u64>,
    /// The effect of a reboot on the interface.
    boot: AtBootJson,
    cut: Vec<lockout_report::CutJson>,
    #[serde(flatten)]
    policy: PolicyJson,
}

pub(crate) async fn run(pins: &Pins, config: &Path, args: &ChangeArgs, change: &Change) -> Result<()> {
    let pieces = match change.read(&args.specs) {
        Ok(pieces) => pieces,
        Err(error) => return Err(meant(error, args, change)),
    };
    privilege::check()?;
    let lock = lock(pins)?;
    let deadline = trial::deadline(args.safeguards)?;
    let files = in_file::read(config, args)?;
    let network = Network::ask()?;
    let sides = Sides::of(&network);
    let mut edits = Edits::new(config, &files, &sides);
    // Everything that can be refused is refused before the first write.
    let names = at_work(pins, &args.interface)?;
    if args.save {
        in_file::check_siblings(pins, (&files, &sides), &names)?;
    }
    let mut planned = Vec::new();
    let mut in_files = Vec::new();
    let mut joins = Vec::new();
    for name in names {
        let map = PolicyMap::open(pins, &name)?;
        let before = map.read()?;
        let after = changed(&name, &before, &pieces, &args.specs, change)?;
        after.compile()?;
        if args.save {
            map.check_settled()?;
        }
        joins.push(after != before && map.active()?.deadline() != 0);
        in_files.push(in_file::plan(pins, &mut edits, &map, (&name, &after), (args, change, &pieces))?);
        planned.push((name, map, before, after));
    }
    let outlook = match change {
        Change::Allow { .. } => Outlook::default(),
        Change::Limit { .. } | Change::Deny => {
            let mut changes = Vec::new();
            for (name, map, before, after) in &planned {
                let drops = !map.active()?.monitors();
                let (before, after) = (Some(before.clone()), after.clone());
                changes.push(lockout::change::PolicyChange { interface: name.clone(), before, after, drops });
            }
            let guard = Guard { force: args.safeguards.force, as_json: args.json, fix: Fix::Keep };
            guard.look(&changes)?
        }
    };
    // The bridge or VLANs above an interface may have changed, and the networks on its link. A policy is written with the latter.
    planned.iter().try_for_each(|(name, ..)| uppers::note(pins, name))?;
    planned
        .iter()
        .filter(|(_, _, before, after)| before == after)
        .try_for_each(|(name, ..)| on_link::note(pins, name))?;
    let changing = planned.iter().filter(|(_, _, before, after)| before != after);
    trial::watch(pins, changing.filter_map(|_| deadline))?;
    let changes = planned.iter_mut().filter(|(_, _, before, after)| before != after);
    policy_map::change_all(changes.map(|(_, map, _, after)| (map, &*after)), |map, after| {
        map.write_or_join(after, deadline)
    })?;
    let is_changed = |(_, _, before, after): &&(String, PolicyMap, Policy, Policy)| before != after;
    let changed: Vec<String> = planned.iter().filter(is_changed).map(|(name, ..)| name.clone()).collect();
    // Write the file after the change is in force, never before.
    let saved = edits.write().map_err(|error| after_change(error, &changed, &[]))?;
    let trial = Trial::begin(pins, &changed, deadline, args.json);
    let left: Result<Vec<_>> = planned.iter().map(|(_, map, ..)| clock::left(map.active()?)).collect();
    drop(lock);
    let told = async {
        let mut outcomes = Vec::new();
        let mut boots = Vec::new();
        let boot_files = BootFiles::read(&network);
        let trials = joins.into_iter().zip(left?);
        for (((name, _, before, after), in_file), (joins, left)) in planned.into_iter().zip(&in_files).zip(trials) {
            let changed = after != before;
            let confirm_within = left.map(|left| left.as_secs());
            if !args.json {
                print(&change::text(&name, &after, changed))?;
                if let Some(left) = confirm_within.filter(|_| joins) {
                    print(&change::joins(&name, left, deadline.is_some()))?;
                }
            }
            let in_file = match in_file {
                InFile::Yes(_) => Some(true),
                InFile::No(_) => Some(false),
                InFile::NoFile | InFile::Unreadable(_) => None,
            };
            let cut = lockout_report::json(&outlook, &name);
            let at_boot = boot_files.at_boot(&name, running(pins, &name).ok().as_ref());
            let boot = at_boot.json();
            boots.push(at_boot);
            let policy = PolicyJson::new(&after);
            outcomes.push(ChangedJson { name, changed, in_file, confirm_within, boot, cut, policy });
        }
        let gaps = unfiltered::look(pins, config).await;
        if args.json {
            return print(&json(&PortsJson { interfaces: &outcomes, unfiltered: gaps.json() })?);
        }
        for ((outcome, in_file), at_boot) in outcomes.iter().zip(&in_files).zip(&boots) {
            print(&kept(outcome, in_file, at_boot, args.save))?;
        }
        print(&gaps.text())?;
        trial::wait(pins, trial?).await
    };
    told.await.map_err(|error| after_change(error, &changed, &saved))
}

/// Whether the change is in the interface's file, and the effect of a reboot. A change on trial reverts by itself.
fn kept(outcome: &ChangedJson, in_file: &InFile, at_boot: &AtBoot, is_saved: bool) -> String {
    let (name, on_trial) = (&outcome.name, outcome.confirm_within.is_some());
    let by_reboot = matches!(at_boot, AtBoot::Filtered { .. });
    let (text, tells_of_reboot) = match in_file {
        InFile::Yes(path) if is_saved => (change::saved(name, path), false),
        InFile::No(path) => (change::not_in_file(name, path, by_reboot, on_trial), by_reboot),
        InFile::Unreadable(why) => (change::unreadable(name, why), false),
        InFile::Yes(_) | InFile::NoFile => (String::new(), false),
    };
    if on_trial || tells_of_reboot { text } else { text + &wording::after_reboot(name, at_boot) }
}

/// The mistake in a list of ports, or the command that was probably meant.
fn meant(error: Error, args: &ChangeArgs, change: &Change) -> Error {
    let interfaces = interface::all().unwrap_or_default();
    let Some(meant) = Meant::read(&args.specs, |name| interfaces.iter().any(|one| one.name == name)) else {
        return error;
    };
    match policy_text::rules(&meant.specs) {
        Ok(_) => Error::Usage(UsageError::Usage(format!(
            "`{}` is not a list of ports; type: {}",
            args.specs.join(" "),
            meant.command(change.verb())
        ))),
        Err(error) => error,
    }
}

fn changed(name: &str, before: &Policy, pieces: &[Piece], specs: &[String], change: &Change) -> Result<Policy> {
    let entries = || pieces.iter().filter_map(Piece::entry);
    if matches!(change, Change::Allow { end: Some(_), .. })
        && let Some((entry, (typed, action))) = entries().find_map(|entry| Some((entry, before.lasting_action(entry)?)))
    {
        return Err(Error::Usage(UsageError::TimedOverLasting {
            rule: entry.to_string(),
            name: name.to_owned(),
            lasting: words::acting_rule(typed, action),
        }));
    }
    let mut after = before.clone();
    let is_any = change.make(&mut after, pieces);
    if *change != Change::Deny {
        // A rule that a refusal outweighs would look open.
        if let Some((entry, refusal)) = entries().find_map(|entry| Some((entry, after.refusal_around(entry)?))) {
            return Err(Error::Usage(UsageError::RefusedAround {
                rule: entry.to_string(),
                name: name.to_owned(),
                refusal: refusal.to_string(),
            }));
        }
        return Ok(after);
    }
    if is_any {
        return Ok(after);
    }
    let rules: Vec<Rule> = entries().flat_map(Entry::rules).collect();
    let narrower = narrower(before, &rules);
    if narrower.is_empty() {
        return Err(Error::Usage(UsageError::NotOpen { rule: specs.join(" "), name: name.to_owned() }));
    }
    Err(Error::Usage(UsageError::OpenToSome { rule: specs.join(" "), name: name.to_owned(), narrower }))
}

/// The rules that open some of the same ports to networks, as typed by a person.
fn narrower(before: &Policy, rules: &[Rule]) -> Vec<String> {
    let everyone: Vec<&Rule> = rules.iter().filter(|rule| rule.source.is_everyone()).collect();
    let meets = |open: &Rule, rule: &Rule| {
        open.protocol == rule.protocol
            && open.ports.first() <= rule.ports.last()
            && rule.ports.first() <= open.ports.last()
    };
    let open = before.rules();
    let found = open.iter().filter(|open| !open.source.is_everyone() && everyone.iter().any(|rule| meets(open, rule)));
    words::rule_words(&Policy::new(found.copied()))
}
