//! `fw-user save`: writes the settings in force to files.

use std::path::{Path, PathBuf};

use fw_common::{abi::DEFAULT_FLOWS, policy::Policy};
use serde::Serialize;

use clap::Args;

use crate::{
    cmd::{
        args::parse_name,
        locked::lock,
        select::{after_change, at_work},
    },
    config::{File, Settings, edits::Edits, file_for, folder},
    error::Result,
    host::{class::Sides, privilege},
    kernel::{
        attach::ingress::ModeChoice,
        maps::policy_map::PolicyMap,
        meta::{AttachmentRecord, Egress, Mode},
        pins::Pins,
        shape,
    },
    output::{json, print},
    report::change,
};

/// Arguments of `save`.
#[derive(Debug, Args)]
pub struct SaveArgs {
    /// Interfaces to save [default: all attached].
    #[arg(value_name = "INTERFACE", value_parser = parse_name)]
    pub interfaces: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Serialize)]
struct SaveJson {
    interfaces: Vec<SavedJson>,
}

#[derive(Serialize)]
struct SavedJson {
    name: String,
    file: PathBuf,
    changed: bool,
}

pub(crate) fn run(pins: &Pins, config: &Path, args: &SaveArgs) -> Result<()> {
    privilege::check()?;
    let _lock = lock(pins)?;
    let files = folder::read(config)?;
    let sides = Sides::here()?;
    let mut edits = Edits::new(config, &files, &sides);
    let mut outcomes = Vec::new();
    for name in with_siblings(pins, (&files, &sides), at_work(pins, &args.interfaces)?)? {
        let map = PolicyMap::open(pins, &name)?;
        map.check_settled()?;
        let says = edits.file(&name)?.map(|(_, says)| says);
        let wanted = settings(pins, &name, map.read()?, map.active()?.monitors(), says)?;
        let (file, changed) = edits.plan(&name, &wanted, &[])?;
        outcomes.push(SavedJson { name, file, changed });
    }
    let written = edits.write()?;
    let told = if args.json {
        json(&SaveJson { interfaces: outcomes }).and_then(|json| print(&json))
    } else {
        outcomes.iter().try_for_each(|SavedJson { name, file, changed }| {
            print(&if *changed {
                change::saved(name, file)
            } else {
                format!("{name}  {} says so already\n", file.display())
            })
        })
    };
    told.map_err(|error| after_change(error, &[], &written))
}

/// The same interfaces, plus those with a filter that share their files, because the written text applies to them too.
pub(crate) fn with_siblings(
    pins: &Pins,
    (files, sides): (&[File], &Sides),
    mut names: Vec<String>,
) -> Result<Vec<String>> {
    let path = |name: &str| file_for(files, name, sides).map(|file| &file.path);
    for sibling in pins.interfaces()? {
        let shares = |name: &String| path(name).is_some_and(|of_name| path(&sibling) == Some(of_name));
        if !names.contains(&sibling) && names.iter().any(shares) {
            names.push(sibling);
        }
    }
    Ok(names)
}

/// The settings of a file for an interface that has a filter, with this policy. Settings of the file that are true already stay.
pub(crate) fn settings(
    pins: &Pins,
    name: &str,
    policy: Policy,
    monitor: bool,
    says: Option<&Settings>,
) -> Result<Settings> {
    let record = AttachmentRecord::read(pins, name)?;
    let flows =
        shape::capacity(pins).filter(|&flows| flows != DEFAULT_FLOWS || says.is_some_and(|says| says.flows.is_some()));
    Ok(Settings {
        policy: policy.lasting(),
        mode: match (says.map_or(ModeChoice::Auto, |says| says.mode), record.mode) {
            (ModeChoice::Native, Mode::Native) => ModeChoice::Native,
            // These modes may be the driver's or the owner's choice. A file with `auto` keeps it.
            (ModeChoice::Auto, Mode::Generic | Mode::Tc) if says.is_some() => ModeChoice::Auto,
            (_, Mode::Generic) => ModeChoice::Generic,
            (_, Mode::Tc) => ModeChoice::Tc,
            (_, Mode::Native) => ModeChoice::Auto,
        },
        flows,
        replies: record.egress != Egress::None,
        monitor,
    })
}
