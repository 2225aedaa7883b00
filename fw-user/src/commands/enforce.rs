//! `fw-user monitor` and `fw-user enforce`: whether what is judged so is dropped, changed with one write.

use serde::Serialize;

use super::{at_work, guard::Guard, json, lock, print, trial};
use crate::{
    Result,
    bpf::{
        pins::Pins,
        policy_map::{self, PolicyMap, Terms},
    },
    cli::{EnforceArgs, InterfacesArgs},
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
    run(pins, args, Terms { monitors: true, deadline: None }, None).await
}

pub(super) async fn enforce(pins: &Pins, args: &EnforceArgs) -> Result<()> {
    let deadline = trial::deadline(args.safeguards)?;
    let guard = Guard { force: args.safeguards.force, as_json: args.of.json, cure: Cure::AllowFirst };
    run(pins, &args.of, Terms { monitors: false, deadline }, Some(guard)).await
}

async fn run(pins: &Pins, args: &InterfacesArgs, terms: Terms, guard: Option<Guard>) -> Result<()> {
    privilege::check()?;
    let lock = lock(pins).await?;
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
    let outlook = match guard {
        Some(guard) => guard.look(&changes).await?,
        None => Outlook::default(),
    };
    trial::watch(pins, changing.iter().filter_map(|name| Some((name.as_str(), terms.deadline?))))?;
    let changes = planned.iter_mut().filter(|(name, _)| changing.contains(name));
    policy_map::change_all(changes.map(|(_, map)| (map, terms)), PolicyMap::set_terms)?;
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
        trial::wait(pins, &changing, terms.deadline, args.json).await
    };
    told.await.map_err(|error| {
        if changing.is_empty() { error } else { error.after(format!("changed {}", changing.join(", "))) }
    })
}
