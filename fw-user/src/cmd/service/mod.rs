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
    host::systemd::Service,
    kernel::pins::Pins,
    output::print,
};

pub(crate) fn run(pins: &Pins, folder: &Path, args: &ServiceArgs) -> Result<()> {
    check_folder(folder)?;
    match &args.action {
        ServiceAction::Install { interfaces } => install(pins, folder, interfaces),
        ServiceAction::Remove { interfaces } => remove(pins, folder, interfaces),
        ServiceAction::Show { interfaces, json } => show::run(folder, interfaces, *json),
    }
}

fn install(pins: &Pins, folder: &Path, interfaces: &[String]) -> Result<()> {
    let files = interfaces.iter().map(|interface| file::of(folder, interface)).collect::<Result<Vec<_>>>()?;
    // What goes with the last service must not go while another one is installed.
    let services = Services::plan(folder, interfaces)?;
    let _lock = pins.lock()?;
    let changed = services.install()?;
    let tell = || {
        for (service, file) in services.services().iter().zip(&files) {
            let interface = service.interface();
            let note = if changed.iter().any(|name| name == interface) { "" } else { " (as before)" };
            print(&format!(
                "{interface}  at every boot, before any address is configured: {}{note}\n",
                file.display()
            ))?;
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
fn remove(pins: &Pins, folder: &Path, interfaces: &[String]) -> Result<()> {
    for interface in interfaces {
        if !Service::of(interface)?.is_installed()? {
            return Err(Error::Host(HostError::NoService { name: interface.clone() }));
        }
    }
    boot::disable(pins, folder, &DisableArgs { interfaces: interfaces.to_vec() })
}
