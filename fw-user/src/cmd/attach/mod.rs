//! `fw-user attach`.

pub(crate) mod args;
pub(crate) mod report;

use std::time::Duration;

use aya_log::EbpfLogger;
use fw_common::policy::Policy;
use serde::Serialize;

use crate::{
    cmd::{
        attach::args::AttachArgs,
        guard::Guard,
        locked::turn,
        trial::{self, Trial},
    },
    error::{Error, Result},
    host::{
        bridge_ports,
        interface::{self, Interface},
        privilege,
    },
    kernel::{
        attach::{
            attachment,
            egress::Hook,
            plan::{Attached, Plan},
            state::{self, State},
        },
        maps::policy_map::{PolicyMap, Terms},
        object,
        pins::Pins,
    },
    lockout::{Outlook, change::PolicyChange},
    output::{json, print},
    policy_text::{self, timeouts, words::PolicyJson},
    report::lockout::{self as lockout_report, Cure},
};

pub(crate) async fn run(pins: &Pins, args: &AttachArgs) -> Result<()> {
    let mut policy = Policy::new(policy_text::rules(&args.allow)?);
    policy.protocols = policy_text::protocols(&args.allow_proto)?;
    policy.forward = args.forward();
    policy.timeouts = timeouts::with(args.udp_timeout, None, None);
    policy.compile()?;
    privilege::check()?;
    object::kernel_version()?;
    for interface in interface::named(&args.interfaces)? {
        interface.check_is_ethernet()?;
    }
    let turn = turn(pins)?;
    // Another command may have been at the interfaces while this one waited, and the time to confirm begins now.
    let interfaces = interface::named(&args.interfaces)?;
    let plan = Plan {
        policy,
        terms: Terms { monitors: args.monitor, deadline: trial::deadline(args.safeguards)? },
        mode: args.mode,
        flows: args.flows,
        replies: !args.no_replies,
        hook: Hook::default(),
        debug: args.debug,
        replace: args.replace,
    };
    let wishes: Vec<(Interface, Plan)> = interfaces.into_iter().map(|interface| (interface, plan.clone())).collect();
    let guard = Guard { force: args.safeguards.force, as_json: args.json, cure: Cure::Allow };
    let (attached, outlook) = attach_all(pins, &wishes, guard)?;
    let names: Vec<String> = attached.iter().map(|(name, _)| name.clone()).collect();
    // Under the lock still: nobody has come between.
    let trial = Trial::begin(pins, &names, plan.terms.deadline, args.json);
    turn.keep();
    let told = async {
        tell(args, &plan, &attached, &outlook)?;
        if args.debug {
            return follow(attached).await;
        }
        trial::wait(pins, trial?).await
    };
    told.await.map_err(|error| error.after(format!("attached to {}", names.join(", "))))
}

/// Print what an attachment came to.
fn tell(args: &AttachArgs, plan: &Plan, attached: &[(String, Attached)], outlook: &Outlook) -> Result<()> {
    let all = interface::all()?;
    let notes = |name: &str| {
        all.iter().find(|one| one.name == name).map(|one| bridge_ports::notes(one, &all)).unwrap_or_default()
    };
    if args.json {
        let interfaces: Vec<AttachedJson<'_>> = attached
            .iter()
            .map(|(name, outcome)| AttachedJson::new(name, outcome, plan, outlook, notes(name)))
            .collect();
        return print(&json(&AttachJson { interfaces })?);
    }
    for (name, outcome) in attached {
        print(&report::text(name, outcome, plan))?;
        notes(name).iter().try_for_each(|note| print(&format!("  note    {note}\n")))?;
    }
    Ok(())
}

/// Attach to all of the interfaces, or change nothing. Says also what was cut. Whoever calls this has the turn, and has looked at the interfaces
/// since.
pub(crate) fn attach_all(
    pins: &Pins,
    wishes: &[(Interface, Plan)],
    guard: Guard,
) -> Result<(Vec<(String, Attached)>, Outlook)> {
    for (interface, plan) in wishes {
        attachment::check(pins, interface, plan)?;
    }
    let changes = wishes.iter().map(|(interface, plan)| change(pins, interface, plan));
    let outlook = guard.look(&changes.collect::<Result<Vec<_>>>()?)?;
    let trials = wishes.iter().filter_map(|(interface, plan)| Some((interface.name.as_str(), plan.terms.deadline?)));
    trial::watch(pins, trials)?;
    let mut attached: Vec<(String, Attached)> = Vec::new();
    for (interface, plan) in wishes {
        match attachment::attach(pins, interface, plan) {
            Ok(outcome) => attached.push((interface.name.clone(), outcome)),
            Err(error) => return Err(undo(pins, &attached, error)),
        }
    }
    Ok((attached, outlook))
}

/// Undo the attachments that were made before another one failed, and say of the failure which of them stay.
fn undo(pins: &Pins, attached: &[(String, Attached)], error: Error) -> Error {
    let mut stay = Vec::new();
    for (name, outcome) in attached {
        if outcome.rebuilt || attachment::undo(pins, name, outcome).is_err() {
            stay.push(name.as_str());
        }
    }
    if stay.is_empty() { error } else { error.after(format!("attached to {} before that", stay.join(", "))) }
}

/// What an attachment changes for those who are inside.
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
    #[serde(flatten)]
    policy: PolicyJson,
}

impl<'a> AttachedJson<'a> {
    fn new(name: &'a str, outcome: &Attached, plan: &Plan, outlook: &Outlook, notes: Vec<String>) -> Self {
        Self {
            name,
            mode: outcome.record.mode.name(),
            not_native: outcome.not_native.as_ref().map(ToString::to_string),
            replaced: outcome.before.is_some() || outcome.rebuilt,
            monitor: plan.terms.monitors,
            cut: lockout_report::json(outlook, name),
            notes,
            policy: PolicyJson::new(&plan.policy),
        }
    }
}

/// How often diagnostics are taken from the kernel's buffer, which holds some thousand of them.
const READ_EVERY: Duration = Duration::from_millis(50);

/// Print what the programs say until Ctrl-C.
async fn follow(attached: Vec<(String, Attached)>) -> Result<()> {
    /// Lines for people who look on; nothing else in this process logs.
    struct Lines;
    impl log::Log for Lines {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, record: &log::Record<'_>) {
            // Where nobody reads any more, nothing is lost.
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
