//! `fw-user doctor`.

pub(crate) mod checks;
pub(crate) mod report;

use std::path::Path;

use serde::Serialize;

use crate::{
    cmd::{
        args::InterfacesArgs,
        boot::state::BootFiles,
        doctor::checks::{Finding, Verdict, interfaces, machine, offloads},
        unfiltered::Gaps,
    },
    error::{Error, HostError, Result},
    host::{
        class::{Classes, Side},
        interface::{self, Interface},
        network::Network,
    },
    kernel::pins::Pins,
    output::{json, print},
};

#[derive(Serialize)]
struct DoctorJson<'a> {
    verdict: Verdict,
    interfaces: Vec<ClassJson<'a>>,
    findings: Vec<FindingJson<'a>>,
}

#[derive(Serialize)]
struct ClassJson<'a> {
    name: &'a str,
    class: &'static str,
    class_reason: String,
}

#[derive(Serialize)]
struct FindingJson<'a> {
    #[serde(flatten)]
    finding: &'a Finding,
    /// The former name of `fix`.
    cure: Option<&'a str>,
}

pub(crate) async fn run(pins: &Pins, config: &Path, args: &InterfacesArgs) -> Result<()> {
    let network = Network::ask()?;
    let all = &network.interfaces;
    let classes = Classes::of(&network);
    // If the folder is not readable, the line about the pins says so.
    let with_pins = pins.interfaces_of_all().unwrap_or_default();
    let names: Vec<String> = if args.interfaces.is_empty() {
        let is_of_interest =
            |one: &&Interface| classes.class(one).side != Side::Inside || with_pins.contains(&one.name);
        let mut names: Vec<String> = all.iter().filter(is_of_interest).map(|one| one.name.clone()).collect();
        names.extend(with_pins.iter().filter(|name| !all.iter().any(|one| one.name == **name)).cloned());
        names
    } else {
        args.interfaces.clone()
    };
    let mut findings = machine::examine(pins);
    let mut classed = Vec::new();
    let files = BootFiles::read(&network);
    for name in &names {
        match all.iter().find(|one| one.name == *name) {
            Some(found) => {
                let class = classes.class(found);
                findings.push(interfaces::class(found, &class));
                classed.push(ClassJson { name, class: class.side.name(), class_reason: class.why });
                if args.interfaces.is_empty() && found.check_can_be_filtered().is_err() {
                    continue;
                }
                findings.extend(interfaces::examine(pins, found, all));
                findings.push(offloads::examine(found).await);
                findings.extend(interfaces::boot(pins, &files, found));
            }
            None if with_pins.contains(name) => findings.push(interfaces::examine_gone(pins, name)),
            None => drop(interface::named(std::slice::from_ref(name))?),
        }
    }
    // Before the first attach an interface without a filter is not a problem.
    let verdict = if with_pins.is_empty() { Verdict::Ok } else { Verdict::Note };
    match Gaps::find(pins, config).await {
        Ok(gaps) => {
            let named = gaps.unfiltered.iter().filter(|one| names.contains(&one.name));
            findings.extend(named.map(|one| interfaces::unfiltered(one, gaps.fix(one), verdict)));
        }
        Err(error) if with_pins.is_empty() => drop(error),
        Err(error) => findings.push(machine::blind(&error)),
    }
    let verdict = findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok);
    if args.json {
        let findings = findings.iter().map(|finding| FindingJson { finding, cure: finding.fix.as_deref() }).collect();
        print(&json(&DoctorJson { verdict, interfaces: classed, findings })?)?;
    } else {
        print(&report::text(&findings))?;
    }
    match findings.iter().filter(|finding| finding.verdict == Verdict::Bad).count() {
        0 => Ok(()),
        count => Err(Error::Host(HostError::NotWell { count })),
    }
}
