//! `fw-user monitor` and `fw-user enforce`: whether what is judged so is dropped, changed with one write.

use serde::Serialize;

use super::{attached, json, lock, print, trial};
use crate::{
    Result,
    bpf::{
        pins::Pins,
        policy_map::{self, PolicyMap, Terms},
    },
    cli::{EnforceArgs, InterfacesArgs},
    privilege, report,
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
}

pub(super) async fn monitor(pins: &Pins, args: &InterfacesArgs) -> Result<()> {
    run(pins, args, Terms { monitors: true, deadline: None }).await
}

pub(super) async fn enforce(pins: &Pins, args: &EnforceArgs) -> Result<()> {
    let deadline = trial::deadline(args.safeguards)?;
    run(pins, &args.of, Terms { monitors: false, deadline }).await
}

async fn run(pins: &Pins, args: &InterfacesArgs, terms: Terms) -> Result<()> {
    privilege::check()?;
    let lock = lock(pins).await?;
    let mut planned = Vec::new();
    for name in attached(pins, &args.interfaces)? {
        let map = PolicyMap::open(pins, &name)?;
        map.check_settled()?;
        planned.push((name, map));
    }
    let mut changing = Vec::new();
    for (name, map) in &planned {
        if map.active()?.monitors() != terms.monitors {
            changing.push(name.clone());
        }
    }
    trial::watch(pins, changing.iter().filter_map(|name| Some((name.as_str(), terms.deadline?))))?;
    let changes = planned.iter_mut().filter(|(name, _)| changing.contains(name));
    policy_map::change_all(changes.map(|(_, map)| (map, terms)), PolicyMap::set_terms)?;
    let mut outcomes = Vec::new();
    for (name, _) in planned {
        let changed = changing.contains(&name);
        if !args.json {
            print(&report::change::terms(&name, terms, changed))?;
        }
        outcomes.push(Outcome { name, monitor: terms.monitors, changed });
    }
    drop(lock);
    if args.json {
        print(&json(&Outcomes { interfaces: outcomes })?)?;
    }
    trial::wait(pins, &changing, terms.deadline, args.json).await
}
