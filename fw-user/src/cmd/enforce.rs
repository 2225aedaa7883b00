//! `fw-user monitor` and `fw-user enforce`: switch between counting drops and dropping, with one write.

use serde::Serialize;

use clap::Args;

use crate::{
    cmd::{
        args::{InterfacesArgs, Safeguards},
        guard::Guard,
        locked::lock,
        select::at_work,
        trial::{self, Trial},
    },
    error::Result,
    host::privilege,
    kernel::{
        maps::policy_map::{self, PolicyMap, Terms},
        pins::Pins,
    },
    lockout::{Outlook, change::PolicyChange},
    output::{json, print},
    report::{
        change,
        lockout::{self as lockout_report, Fix},
    },
};

/// Arguments of `enforce`.
#[derive(Debug, Args)]
pub struct EnforceArgs {
    /// Which interfaces, and how to print.
    #[command(flatten)]
    pub of: InterfacesArgs,
    /// Safeguards against locking yourself out.
    #[command(flatten)]
    pub safeguards: Safeguards,
}

#[derive(Serialize)]
struct EnforceJson {
    interfaces: Vec<EnforcedJson>,
}

#[derive(Serialize)]
struct EnforcedJson {
    name: String,
    monitor: bool,
    changed: bool,
    cut: Vec<lockout_report::CutJson>,
}

pub(crate) async fn monitor(pins: &Pins, args: &InterfacesArgs) -> Result<()> {
    run(pins, args, None).await
}

pub(crate) async fn enforce(pins: &Pins, args: &EnforceArgs) -> Result<()> {
    run(pins, &args.of, Some(args.safeguards)).await
}

/// `enforce` has safeguards; `monitor` needs none, because it cuts nobody.
async fn run(pins: &Pins, args: &InterfacesArgs, enforce: Option<Safeguards>) -> Result<()> {
    privilege::check()?;
    let lock = lock(pins)?;
    let deadline = enforce.map(trial::deadline).transpose()?.flatten();
    let terms = Terms { monitors: enforce.is_none(), deadline };
    let mut planned = Vec::new();
    for name in at_work(pins, &args.interfaces)? {
        let map = PolicyMap::open(pins, &name)?;
        map.check_settled()?;
        planned.push((name, map));
    }
    let (mut changing, mut changes) = (Vec::new(), Vec::new());
    for (name, map) in &planned {
        if map.active()?.monitors() != terms.monitors {
            changing.push(name.clone());
            changes.push(PolicyChange { interface: name.clone(), before: None, after: map.read()?, drops: true });
        }
    }
    let outlook = match enforce {
        Some(Safeguards { force, .. }) => Guard { force, as_json: args.json, fix: Fix::AllowFirst }.look(&changes)?,
        None => Outlook::default(),
    };
    trial::watch(pins, changing.iter().filter_map(|_| terms.deadline))?;
    let changes = planned.iter_mut().filter(|(name, _)| changing.contains(name));
    policy_map::change_all(changes.map(|(_, map)| (map, terms)), PolicyMap::set_terms)?;
    let trial = Trial::begin(pins, &changing, deadline, args.json);
    drop(lock);
    let told = async {
        let mut outcomes = Vec::new();
        for (name, _) in planned {
            let changed = changing.contains(&name);
            if !args.json {
                print(&change::terms(&name, terms, changed))?;
            }
            let cut = lockout_report::json(&outlook, &name);
            outcomes.push(EnforcedJson { name, monitor: terms.monitors, changed, cut });
        }
        if args.json {
            print(&json(&EnforceJson { interfaces: outcomes })?)?;
        }
        trial::wait(pins, trial?).await
    };
    told.await.map_err(|error| {
        if changing.is_empty() { error } else { error.after(format!("changed {}", changing.join(", "))) }
    })
}
