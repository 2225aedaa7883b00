//! `fw-user attach`.

pub(crate) mod args;
mod at_once;
pub(crate) mod chosen;
pub(crate) mod report;

use std::{collections::BTreeSet, path::Path, time::Duration};

use aya_log::EbpfLogger;
use fw_common::policy::Policy;
use serde::Serialize;

use crate::{
    cmd::{
        attach::{args::AttachArgs, chosen::Chosen},
        boot::{
            service::Services,
            state::{AtBoot, AtBootJson, BootFiles},
        },
        guard::Guard,
        locked::turn,
        notes::notes,
        running::running,
        trial::{self, Trial},
        unfiltered::{self, Gaps, UnfilteredJson},
    },
    config::{Settings, difference::Difference, edits::Edits, folder},
    error::{Error, Result},
    host::{class::Sides, interface::Interface, network::Network, privilege},
    kernel::{
        attach::{
            attachment,
            egress::Hook,
            plan::{Attached, Plan},
            state::{self, State},
        },
        maps::policy_map::{PolicyMap, Terms},
        meta::AttachmentRecord,
        object,
        pins::Pins,
    },
    lockout::{Outlook, change::PolicyChange},
    output::{json, print},
    policy_text::{self, timeouts, words::PolicyJson},
    report::lockout::{self as lockout_report, Fix},
};

pub(crate) async fn run(pins: &Pins, config: &Path, args: &AttachArgs) -> Result<()> {
    let mut policy = Policy::of(policy_text::typed(&args.allow)?.into_iter().map(|entry| (entry, None)));
    policy.protocols = policy_text::protocols(&args.allow_proto)?;
    policy.forward = args.forward.clone();
    policy.refuse = args.refuse;
    policy.timeouts = timeouts::with(args.udp_timeout, None, None);
    policy.compile()?;
    privilege::check()?;
    object::kernel_version()?;
    chosen::check(args)?;
    let meant = chosen::choose(args)?;
    let services = match (args.boot, args.all) {
        (false, _) => None,
        (true, true) => Some(Services::plan_all(config)?),
        (true, false) => {
            let names: Vec<String> = meant.interfaces.into_iter().map(|one| one.name).collect();
            Some(Services::plan(config, &names)?)
        }
    };
    let turn = turn(pins)?;
    // Another command may have changed the interfaces while this one waited. The time to confirm starts now.
    let Chosen { interfaces, notes } = chosen::choose(args)?;
    let plan = Plan {
        policy,
        terms: Terms { monitors: args.monitor, deadline: trial::deadline(args.safeguards)? },
        mode: args.mode,
        flows: args.flows,
        replies: !args.no_replies,
        hook: Hook::default(),
        debug: args.debug,
        replace: args.replace,
        arrival: None,
    };
    let wishes: Vec<(Interface, Plan)> = interfaces.into_iter().map(|interface| (interface, plan.clone())).collect();
    let files = if args.boot { folder::read(config)? } else { Vec::new() };
    let sides = Sides::here()?;
    let mut edits = Edits::new(config, &files, &sides);
    if let Some(services) = &services {
        let typed = policy_text::entries(&args.allow);
        if args.all {
            edits.plan_all(&args.except, &settings(&plan), &typed)?;
        }
        // A file that names an interface has precedence over a pattern.
        let has_file = |interface: &Interface| !args.all || files.iter().any(|file| file.is_for(&interface.name));
        for (interface, plan) in wishes.iter().filter(|(interface, _)| has_file(interface)) {
            services.plan_file(&mut edits, &interface.name, &settings(plan), &typed)?;
        }
    }
    let before =
        wishes.iter().map(|(interface, plan)| difference(pins, interface, plan)).collect::<Result<Vec<_>>>()?;
    let guard = Guard { force: args.safeguards.force, as_json: args.json, fix: Fix::Allow };
    let (attached, outlook) = attach_all(pins, &wishes, Some(guard))?;
    let names: Vec<String> = attached.iter().map(|(name, _)| name.clone()).collect();
    // Still under the lock, so no other command came in between.
    let trial = Trial::begin(pins, &names, plan.terms.deadline, args.json);
    // Write the files after the change is in force, never before.
    let written = edits.write();
    let installed = match (&services, &written) {
        (Some(services), Ok(_)) => services.install().map(drop),
        _ => Ok(()),
    };
    turn.keep();
    let told = async {
        let started = match (&services, &written, &installed) {
            (Some(services), Ok(_), Ok(())) => services.start(&names),
            _ => Ok(()),
        };
        let gaps = unfiltered::look(pins, config).await.without(&args.except);
        tell(pins, args, &plan, (&attached, &before), &outlook, (&notes, &gaps))?;
        written?;
        installed?;
        started?;
        if args.debug {
            return follow(attached).await;
        }
        trial::wait(pins, trial?).await
    };
    told.await.map_err(|error| error.after(format!("attached to {}", names.join(", "))))
}

/// The outcome for one interface.
struct Told<'a> {
    attached: &'a Attached,
    /// The difference between the former filter, if any, and the command line.
    difference: Option<&'a Difference>,
    at_boot: AtBoot,
    notes: Vec<String>,
}

/// Print the result of an attachment.
fn tell(
    pins: &Pins,
    args: &AttachArgs,
    plan: &Plan,
    (attached, differences): (&[(String, Attached)], &[Option<Difference>]),
    outlook: &Outlook,
    (left_out, gaps): (&[String], &Gaps),
) -> Result<()> {
    let network = Network::ask()?;
    let all = &network.interfaces;
    let files = BootFiles::read(&network);
    let mut told = Vec::new();
    for ((name, outcome), difference) in attached.iter().zip(differences) {
        let mode = Some(outcome.record.mode);
        let notes = all.iter().find(|one| one.name == *name).map(|one| notes(one, all, mode));
        told.push((
            name,
            Told {
                attached: outcome,
                difference: difference.as_ref(),
                at_boot: files.at_boot(name, running(pins, name).ok().as_ref()),
                notes: notes.unwrap_or_default(),
            },
        ));
    }
    if args.json {
        let interfaces = told.into_iter().map(|(name, told)| AttachedJson::new(name, told, plan, outlook)).collect();
        return print(&json(&AttachJson { interfaces, notes: left_out, unfiltered: gaps.json() })?);
    }
    for (name, told) in &told {
        print(&report::head(name, told.attached, told.difference))?;
        told.notes.iter().try_for_each(|note| print(&format!("  note    {note}\n")))?;
    }
    // Print facts about all of them once.
    print(&report::policy(attached, plan))?;
    let boot = told.iter().filter_map(|(name, told)| report::boot(name, told.attached, plan, &told.at_boot, args.all));
    let boot: BTreeSet<String> = boot.collect();
    boot.iter().try_for_each(|line| print(&format!("{line}\n")))?;
    if args.all && args.boot {
        print("  later   an outside interface that appears later gets the same filter before it is configured\n")?;
    }
    left_out.iter().try_for_each(|note| print(&format!("  note    {note}\n")))?;
    print(&gaps.text())
}

/// The settings with which `apply` would do the same.
fn settings(plan: &Plan) -> Settings {
    Settings {
        policy: plan.policy.clone(),
        mode: plan.mode,
        flows: plan.flows,
        replies: plan.replies,
        monitor: plan.terms.monitors,
    }
}

/// The changes on an interface that has a filter.
fn difference(pins: &Pins, interface: &Interface, plan: &Plan) -> Result<Option<Difference>> {
    if state::of(pins, &interface.name, Some(interface))? != State::Ours {
        return Ok(None);
    }
    let running = running(pins, &interface.name)?;
    Ok(Some(Difference::new(Some(&running), &settings(plan), AttachmentRecord::VERSION)))
}

/// Attach to all of the interfaces, or change nothing. With a guard, also returns the connections that were cut. The caller holds the lock, and has
/// read the interfaces since.
pub(crate) fn attach_all(
    pins: &Pins,
    wishes: &[(Interface, Plan)],
    guard: Option<Guard>,
) -> Result<(Vec<(String, Attached)>, Outlook)> {
    for (interface, plan) in wishes {
        attachment::check(pins, interface, plan)?;
    }
    let changes = wishes.iter().map(|(interface, plan)| change(pins, interface, plan));
    let outlook = match guard {
        Some(guard) => guard.look(&changes.collect::<Result<Vec<_>>>()?)?,
        None => Outlook::default(),
    };
    trial::watch(pins, wishes.iter().filter_map(|(_, plan)| plan.terms.deadline))?;
    let mut attached = Vec::new();
    let mut failed = None;
    for (name, outcome) in at_once::attach_each(pins, wishes) {
        match outcome {
            Ok(outcome) => attached.push((name.to_owned(), outcome)),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    match failed {
        Some(error) => Err(undo(pins, &attached, error)),
        None => Ok((attached, outlook)),
    }
}

/// Undo the attachments that were made before one failed, and add to the error which of them stay.
fn undo(pins: &Pins, attached: &[(String, Attached)], error: Error) -> Error {
    let mut stay = Vec::new();
    for (name, outcome) in attached {
        if outcome.rebuilt || attachment::undo(pins, name, outcome).is_err() {
            stay.push(name.as_str());
        }
    }
    if stay.is_empty() { error } else { error.after(format!("attached to {} before that", stay.join(", "))) }
}

/// The effect of an attachment on open connections.
pub(crate) fn change(pins: &Pins, interface: &Interface, plan: &Plan) -> Result<PolicyChange> {
    let mut before = None;
    if state::of(pins, &interface.name, Some(interface))? == State::Ours {
        let map = PolicyMap::open(pins, &interface.name)?;
        if !map.active()?.monitors() {
            before = Some(map.read()?);
        }
    }
    let Plan { policy, terms, .. } = plan;
    Ok(PolicyChange { interface: interface.name.clone(), before, after: policy.clone(), drops: !terms.monitors })
}

#[derive(Serialize)]
struct AttachJson<'a> {
    interfaces: Vec<AttachedJson<'a>>,
    notes: &'a [String],
    unfiltered: Vec<UnfilteredJson<'a>>,
}

#[derive(Serialize)]
struct AttachedJson<'a> {
    name: &'a str,
    mode: &'static str,
    not_native: Option<String>,
    replaced: bool,
    monitor: bool,
    cut: Vec<lockout_report::CutJson>,
    notes: Vec<String>,
    boot: AtBootJson,
    /// The changes, if there was a filter.
    difference: Option<&'a Difference>,
    #[serde(flatten)]
    policy: PolicyJson,
}

impl<'a> AttachedJson<'a> {
    fn new(name: &'a str, told: Told<'a>, plan: &Plan, outlook: &Outlook) -> Self {
        let Told { attached: outcome, difference, at_boot, notes } = told;
        Self {
            name,
            mode: outcome.record.mode.name(),
            not_native: outcome.not_native.as_ref().map(ToString::to_string),
            replaced: outcome.before.is_some() || outcome.rebuilt,
            monitor: plan.terms.monitors,
            cut: lockout_report::json(outlook, name),
            notes,
            boot: at_boot.json(),
            difference,
            policy: PolicyJson::new(&plan.policy),
        }
    }
}

/// How often diagnostics are read from the kernel's buffer, which holds some thousand of them.
const READ_EVERY: Duration = Duration::from_millis(50);

/// Print what the programs say until Ctrl-C.
async fn follow(attached: Vec<(String, Attached)>) -> Result<()> {
    /// Print lines for people; nothing else in this process logs.
    struct Lines;
    impl log::Log for Lines {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, record: &log::Record<'_>) {
            // If nobody reads any more, nothing is lost.
            let _unused = print(&format!("{}\n", record.args()));
        }
        fn flush(&self) {}
    }
    static LINES: Lines = Lines;

    let failed =
        |error: Box<dyn std::error::Error + Send + Sync>| Error::refused("reading the filter's diagnostics", error);
    // The objects keep the buffers that are read.
    let mut objects = Vec::new();
    let mut loggers = Vec::new();
    for mut ebpf in attached.into_iter().filter_map(|(_, outcome)| outcome.ebpf) {
        loggers.push(EbpfLogger::init_with_logger(&mut ebpf, &LINES).map_err(|error| failed(error.into()))?);
        objects.push(ebpf);
    }
    let mut ticks = tokio::time::interval(READ_EVERY);
    loop {
        tokio::select! {
            _ = ticks.tick() => loggers.iter_mut().for_each(EbpfLogger::flush),
            result = tokio::signal::ctrl_c() => return result.map_err(|error| failed(error.into())),
        }
    }
}
