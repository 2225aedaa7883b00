//! `fw-user service show`: three lines for each interface, or JSON.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::{
    cmd::service::file,
    error::Result,
    host::systemd::{self, Service, boot},
    output::{json, print},
};

#[derive(Serialize)]
struct Shown {
    services: Vec<One>,
}

#[derive(Serialize)]
struct One {
    /// Nothing for every outside interface.
    interface: Option<String>,
    unit: String,
    enabled: bool,
    /// systemd's word: `active`, `inactive`, `failed`.
    active: String,
    file: Option<PathBuf>,
    /// Why no file would be applied.
    problem: Option<String>,
    unit_file: Option<PathBuf>,
    program: Option<String>,
}

pub(crate) fn run(folder: &Path, interfaces: &[String], as_json: bool) -> Result<()> {
    let names = if interfaces.is_empty() { systemd::enabled_interfaces()? } else { interfaces.to_vec() };
    let of_all = (interfaces.is_empty() && systemd::is_all_enabled()?).then_some(None);
    let subjects = of_all.into_iter().chain(names.iter().map(Some));
    let services = subjects.map(|interface| look(folder, interface)).collect::<Result<Vec<_>>>()?;
    if as_json {
        return print(&json(&Shown { services })?);
    }
    if services.is_empty() {
        return print("no boot service is installed; fw-user enable installs it for every attached interface\n");
    }
    services.iter().try_for_each(|one| print(&text(one)))
}

fn look(folder: &Path, interface: Option<&String>) -> Result<One> {
    let service = interface.map_or_else(Service::of_all, |name| Service::of(name))?;
    let state = service.state()?;
    let file = match interface {
        Some(interface) => file::of(folder, interface).map(Some),
        // There are several; `check` lists them.
        None => file::of_all().map(|_| Some(folder.to_owned())),
    };
    let (file, problem) = match file {
        Ok(file) => (file, None),
        Err(error) => (None, Some(error.to_string())),
    };
    let path = service.unit_file();
    let unit = fs::read_to_string(&path).ok();
    Ok(One {
        interface: interface.cloned(),
        unit: service.unit().to_owned(),
        enabled: state.is_enabled,
        active: state.active,
        file,
        problem,
        program: unit.as_deref().and_then(boot::program).map(ToOwned::to_owned),
        unit_file: unit.map(|_| path),
    })
}

fn text(one: &One) -> String {
    let One { interface, unit, enabled, active, file, problem, unit_file, program } = one;
    let enabled = if *enabled { "enabled" } else { "not enabled" };
    let applies = match (file, problem) {
        (Some(file), _) => file.display().to_string(),
        (None, why) => format!("nothing: {}", why.as_deref().unwrap_or_default()),
    };
    let (name, option) = match interface {
        Some(interface) => (interface.as_str(), interface.as_str()),
        None => ("every outside interface", "--all"),
    };
    let starts = match (unit_file, program) {
        (Some(path), Some(program)) => format!("{}, starts {program}", path.display()),
        (Some(path), None) => format!("{}, does not start `fw-user apply`", path.display()),
        (None, _) => format!("none; fw-user service install {option}"),
    };
    format!("{name}  {enabled}, {active}: {unit}\n  applies  {applies}\n  unit     {starts}\n")
}
