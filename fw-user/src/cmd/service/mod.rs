//! `fw-user service`: the filter at every boot.

pub(crate) mod args;
pub(crate) mod file;
pub(crate) mod show;

use std::path::Path;

use crate::{
    cmd::{
        boot::{
            self,
            args::DisableArgs,
            service::{Services, check_folder},
        },
        service::args::{ServiceAction, ServiceArgs},
    },
    error::{Error, HostError, Result},
    host::systemd::{self, Service},
    kernel::pins::Pins,
    output::print,
};

pub(crate) fn run(pins: &Pins, folder: &Path, args: &ServiceArgs) -> Result<()> {
    check_folder(folder)?;
    match &args.action {
        ServiceAction::Install { interfaces, all } => install(pins, folder, interfaces, *all),
        ServiceAction::Remove { interfaces, all } => remove(pins, folder, interfaces, *all),
        ServiceAction::Show { interfaces, json } => show::run(folder, interfaces, *json),
    }
}

fn install(pins: &Pins, folder: &Path, interfaces: &[String], all: bool) -> Result<()> {
    let (services, files) = if all {
        let files = file::of_all()?.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ");
        (Services::plan_all(folder)?, vec![files])
    } else {
        let files = interfaces.iter().map(|interface| file::of(folder, interface)).collect::<Result<Vec<_>>>()?;
        (Services::plan(folder, interfaces)?, files.iter().map(|file| file.display().to_string()).collect())
    };
    // Files that all services share must stay while another service is installed.
    let _lock = pins.lock()?;
    let changed = services.install()?;
    let tell = || {
        for (service, file) in services.services().iter().zip(&files) {
            let interface = service.name();
            let note = if changed.iter().any(|name| name == interface) { "" } else { " (as before)" };
            print(&format!("{interface}  at every boot, before any address is configured: {file}{note}\n"))?;
            if service.state()?.active != "active" {
                print(&format!("  from the next boot on; now: systemctl start {}\n", service.unit()))?;
            }
        }
        Ok(())
    };
    tell().map_err(|error: Error| {
        if changed.is_empty() {
            error
        } else {
            error.after(format!("enabled the boot service of {}", changed.join(", ")))
        }
    })
}

/// As `disable`, but a service that is not installed is a mistake.
fn remove(pins: &Pins, folder: &Path, interfaces: &[String], all: bool) -> Result<()> {
    if all && !systemd::is_all_enabled()? && systemd::enabled_interfaces()?.is_empty() {
        return Err(Error::Host(HostError::NoService { name: Service::of_all()?.name().to_owned() }));
    }
    for interface in interfaces {
        if !Service::of(interface)?.is_installed()? {
            return Err(Error::Host(HostError::NoService { name: interface.clone() }));
        }
    }
    boot::disable(pins, folder, &DisableArgs { interfaces: interfaces.to_vec(), all })
}
