//! `fw-user service`: the filter at every boot.

pub(crate) mod args;

use std::{
    fs,
    path::{Path, PathBuf},
    slice,
};

use nix::unistd::Uid;

use crate::{
    cmd::{
        apply,
        service::args::{ServiceAction, ServiceArgs},
    },
    config::{DEFAULT_FOLDER, folder},
    error::{ConfigError, Error, HostError, Result, UsageError},
    host::systemd::{Service, files},
    kernel::pins::Pins,
    output::print,
};

pub(crate) fn run(pins: &Pins, folder: &Path, args: &ServiceArgs) -> Result<()> {
    // All services share one unit, which looks there.
    if folder != Path::new(DEFAULT_FOLDER) {
        return Err(Error::Usage(UsageError::OtherFolder { folder: folder.to_owned() }));
    }
    match &args.action {
        ServiceAction::Install { interface } => install(pins, folder, interface),
        ServiceAction::Remove { interface } => remove(pins, interface),
        ServiceAction::Show { interface } => show(folder, interface),
    }
}

/// The file that says what may come in. One with a mistake is none: at boot nobody would be there to read of it.
fn file(folder: &Path, interface: &String) -> Result<PathBuf> {
    let wishes = apply::wishes(folder, folder::read(folder)?, slice::from_ref(interface))?;
    let file = wishes.into_iter().map(|wish| wish.file).next();
    file.ok_or_else(|| Error::Config(ConfigError::NoFile { name: interface.clone(), folder: folder.to_owned() }))
}

/// What changes files below `/etc` and talks to systemd is root's.
fn check_is_root() -> Result<()> {
    if Uid::effective().is_root() {
        Ok(())
    } else {
        Err(Error::Host(HostError::Privilege { missing: "root".to_owned() }))
    }
}

fn install(pins: &Pins, folder: &Path, interface: &String) -> Result<()> {
    let file = file(folder, interface)?;
    check_is_root()?;
    // What goes with the last service must not go while another one is installed.
    let _lock = pins.lock()?;
    let service = Service::of(interface)?;
    let was_enabled = service.state()?.is_enabled;
    let is_changed = service.install()? || !was_enabled;
    let note = if is_changed { "" } else { " (as before)" };
    let tell = || {
        print(&format!("{interface}  at every boot, before any address is configured: {}{note}\n", file.display()))?;
        if service.state()?.active != "active" {
            print(&format!("  from the next boot on; now: systemctl start {}\n", service.unit()))?;
        }
        Ok(())
    };
    tell().map_err(|error: Error| if is_changed { error.after(format!("enabled {}", service.unit())) } else { error })
}

fn remove(pins: &Pins, interface: &str) -> Result<()> {
    check_is_root()?;
    let _lock = pins.lock()?;
    let service = Service::of(interface)?;
    service.remove()?;
    let told = print(&format!(
        "{interface}  not attached at boot any more; a filter that is on it stays until `fw-user detach {interface}`\n"
    ));
    told.map_err(|error| error.after(format!("disabled {}", service.unit())))
}

fn show(folder: &Path, interface: &String) -> Result<()> {
    let service = Service::of(interface)?;
    let state = service.state()?;
    let enabled = if state.is_enabled { "enabled" } else { "not enabled" };
    print(&format!("{interface}  {enabled}, {}: {}\n", state.active, service.unit()))?;
    match file(folder, interface) {
        Ok(file) => print(&format!("  applies  {}\n", file.display()))?,
        Err(error) => print(&format!("  applies  nothing: {error}\n"))?,
    }
    let unit = files::template_path();
    match fs::read_to_string(&unit) {
        Ok(text) => print(&format!("  unit     {}\n\n{text}", unit.display())),
        Err(_) => print(&format!("  unit     none; fw-user service install {interface}\n")),
    }
}
