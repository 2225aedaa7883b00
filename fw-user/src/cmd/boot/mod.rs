//! `fw-user enable` and `fw-user disable`: whether the filters are there after a reboot.

pub(crate) mod args;
pub(crate) mod service;
pub(crate) mod state;

use std::path::Path;

use crate::{
    cmd::{
        boot::{
            args::{DisableArgs, EnableArgs},
            service::{Services, check_folder, check_is_root},
            state::BootFiles,
        },
        locked::lock,
        running::running,
        save,
        select::after_change,
    },
    config::{File, edits::Edits, folder},
    error::{ConfigError, Error, KernelError, Result},
    host::{
        interface, privilege,
        systemd::{self, Service},
    },
    kernel::{
        attach::{links, state as filter_state},
        maps::policy_map::PolicyMap,
        pins::Pins,
    },
    output::print,
};

pub(crate) fn enable(pins: &Pins, folder: &Path, args: &EnableArgs) -> Result<()> {
    privilege::check()?;
    let lock = lock(pins)?;
    let files = folder::read(folder)?;
    let names = chosen(pins, &files, &args.interfaces)?;
    let services = Services::plan(folder, &names)?;
    let mut edits = Edits::new(folder, &files);
    let mut at_work = Vec::new();
    for name in &names {
        if links::ingress_link(pins, name)?.is_some_and(|link| link.ifindex != 0) {
            let map = PolicyMap::open(pins, name)?;
            map.check_settled()?;
            let says = edits.file(name)?.map(|(_, says)| says);
            let wanted = save::settings(pins, name, map.read()?, map.active()?.monitors(), says)?;
            services.plan_file(&mut edits, name, &wanted, &[])?;
            at_work.push(name.clone());
        } else if edits.file(name)?.is_none() {
            // A filter that does not work is no reason to write what it said.
            let has_pins = pins.interfaces()?.contains(name);
            return Err(if has_pins {
                let state = filter_state::of(pins, name, interface::present(name)?.as_ref())?.words();
                Error::Kernel(KernelError::NotFiltering { name: name.clone(), state })
            } else {
                Error::Config(ConfigError::NoFile { name: name.clone(), folder: folder.to_owned() })
            });
        }
    }
    let written = edits.write()?;
    let changed = services.install().map_err(|error| after_change(error, &[], &written))?;
    drop(lock);
    let tell = || {
        services.start(&at_work)?;
        let files = BootFiles::read();
        for name in &names {
            let is_at_work = at_work.contains(name);
            let running = running(pins, name).ok().filter(|_| is_at_work);
            let is_new = changed.contains(name) || !written.is_empty();
            let note = if is_new { "" } else { " (as before)" };
            print(&format!("{name}  after a reboot: {}{note}\n", files.at_boot(name, running.as_ref()).words(name)))?;
            if !is_at_work {
                print(&format!("  no filter now: fw-user apply {name} attaches it\n"))?;
            }
        }
        Ok(())
    };
    let enabled: Vec<String> = changed.iter().map(|name| format!("the boot service of {name}")).collect();
    tell().map_err(|error: Error| after_change(error, &enabled, &written))
}

/// The interfaces that were named; else those with a filter; else those with a file.
fn chosen(pins: &Pins, files: &[File], named: &[String]) -> Result<Vec<String>> {
    if !named.is_empty() {
        return Ok(interface::once_each(named).cloned().collect());
    }
    let mut names = pins.interfaces()?;
    if names.is_empty() {
        names = files.iter().flat_map(|file| &file.interfaces).map(|name| name.get_ref().clone()).collect();
    }
    if names.is_empty() { Err(Error::Kernel(KernelError::NothingAttached)) } else { Ok(names) }
}

pub(crate) fn disable(pins: &Pins, folder: &Path, args: &DisableArgs) -> Result<()> {
    check_folder(folder)?;
    check_is_root()?;
    let _lock = pins.lock()?;
    let enabled = systemd::enabled_interfaces()?;
    let names: Vec<String> =
        if args.interfaces.is_empty() { enabled } else { interface::once_each(&args.interfaces).cloned().collect() };
    if names.is_empty() {
        return print("no boot service is installed; nothing was changed\n");
    }
    for (at, name) in names.iter().enumerate() {
        let service = Service::of(name)?;
        let is_installed = service.is_installed()?;
        let disable = || {
            if is_installed { service.remove() } else { Ok(()) }
        };
        disable().map_err(
            |error| if at == 0 { error } else { error.after(format!("disabled {}", names[..at].join(", "))) },
        )?;
        let note = if is_installed { "" } else { " (as before)" };
        let filter = if pins.interfaces_of_all()?.contains(name) {
            format!("; the filter stays until `fw-user detach {name}` or a reboot")
        } else {
            String::new()
        };
        print(&format!("{name}  not attached at boot{note}{filter}\n"))
            .map_err(|error| error.after(format!("disabled {}", names[..=at].join(", "))))?;
    }
    Ok(())
}
