//! `fw-user monitor` and `fw-user enforce`: whether what is judged so is dropped, changed with one write.

use serde::Serialize;

use super::{
    at_work,
    guard::Guard,
    json, lock, print,
    trial::{self, Trial},
};
use crate::{
    Result,
    bpf::{
        pins::Pins,
        policy_map::{self, PolicyMap, Terms},
    },
    cli::{EnforceArgs, InterfacesArgs, Safeguards},
    lockout::{Change, Outlook},
    privilege, report,
    report::lockout::Cure,
};

#[derive(Serialize)]
struct Outcomes {
    interfaces: Vec<Outcome>,
}

#[derive(Serialize)]
struct Outcome {
    name: String,
    monitor: bool,
    changed: bool,
    cut: Vec<report::lockout::CutJson>,
}

pub(super) async fn monitor(pins: &Pins, args: &InterfacesArgs) -> Result<()> {
    run(pins, args, None).await
}

pub(super) async fn enforce(pins: &Pins, args: &EnforceArgs) -> Result<()> {
    run(pins, &args.of, Some(args.safeguards)).await
}

/// Enforce with safeguards; monitor without, since that cuts nobody.
async fn run(pins: &Pins, args: &InterfacesArgs, enforce: Option<Safeguards>) -> Result<()> {
    privilege::check()?;
    let lock = lock(pins).await?;
    let deadline = enforce.map(trial::deadline).transpose()?.flatten();
    let terms = Terms { monitors: enforce.is_none(), deadline };
    let mut planned = Vec::new();
    for name in at_work(pins, &args.interfaces).await? {
        let map = PolicyMap::open(pins, &name)?;
        map.check_settled()?;
        planned.push((name, map));
    }
    let (mut changing, mut changes) = (Vec::new(), Vec::new());
    for (name, map) in &planned {
        if map.active()?.monitors() != terms.monitors {
            changing.push(name.clone());
            changes.push(Change { interface: name.clone(), before: None, after: map.read()?, drops: true });
        }
    }
    let outlook = match enforce {
        Some(Safeguards { force, .. }) => {
            Guard { force, as_json: args.json, cure: Cure::AllowFirst }.look(&changes).await?
        }
        None => Outlook::default(),
    };
    trial::watch(pins, changing.iter().filter_map(|name| Some((name.as_str(), terms.deadline?))))?;
    let changes = planned.iter_mut().filter(|(name, _)| changing.contains(name));
    policy_map::change_all(changes.map(|(_, map)| (map, terms)), PolicyMap::set_terms)?;
    let trial = Trial::begin(pins, &changing, deadline, args.json);
    drop(lock);
    let told = async {
        let mut outcomes = Vec::new();
        for (name, _) in planned {
            let changed = changing.contains(&name);
            if !args.json {
                print(&report::change::terms(&name, terms, changed))?;
            }
            let cut = report::lockout::json(&outlook, &name);
            outcomes.push(Outcome { name, monitor: terms.monitors, changed, cut });
        }
        if args.json {
            print(&json(&Outcomes { interfaces: outcomes })?)?;
        }
        trial::wait(pins, trial?).await
    };
    told.await.map_err(|error| {
        if changing.is_empty() { error } else { error.after(format!("changed {}", changing.join(", "))) }
    })
}
