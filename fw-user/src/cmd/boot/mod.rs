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
        select::{self, after_change},
    },
    config::{File, Settings, edits::Edits, folder},
    error::{ConfigError, Error, HostError, KernelError, Result, UsageError},
    host::{
        class::{Classes, Sides},
        interface,
        network::Network,
        privilege,
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
    let network = Network::ask()?;
    let sides = Sides::of(&network);
    // Files with patterns also apply to future interfaces.
    let is_all = args.all || (args.interfaces.is_empty() && files.iter().any(|file| !file.patterns.is_empty()));
    let names = chosen(pins, &files, &args.interfaces, &sides)?;
    let services = if is_all { Services::plan_all(folder)? } else { Services::plan(folder, &names)? };
    let mut edits = Edits::new(folder, &files, &sides);
    let mut at_work = Vec::new();
    if args.all {
        let (wanted, except) = in_force_on_all(pins, &network, &files)?;
        edits.plan_all(&except, &wanted, &[])?;
    }
    // The file of an interface is known only after all files are.
    let is_planned = |name: &str| args.all && !files.iter().any(|file| file.is_for(name)) && sides.leads_outside(name);
    for name in &names {
        let is_at_work = links::ingress_link(pins, name)?.is_some_and(|link| link.ifindex != 0);
        if is_planned(name) {
            at_work.extend(is_at_work.then(|| name.clone()));
        } else if is_at_work {
            let map = PolicyMap::open(pins, name)?;
            map.check_settled()?;
            let says = edits.file(name)?.map(|(_, says)| says);
            let wanted = save::settings(pins, name, map.read()?, map.active()?.monitors(), says)?;
            services.plan_file(&mut edits, name, &wanted, &[])?;
            at_work.push(name.clone());
        } else if edits.file(name)?.is_none() {
            // Do not save the rules of a filter that does not work.
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
        let files = BootFiles::read(&network);
        for name in &names {
            let is_at_work = at_work.contains(name);
            let running = running(pins, name).ok().filter(|_| is_at_work);
            let is_new = !changed.is_empty() || !written.is_empty();
            let note = if is_new { "" } else { " (as before)" };
            print(&format!("{name}  after a reboot: {}{note}\n", files.at_boot(name, running.as_ref()).words(name)))?;
            if !is_at_work && sides.has(name) {
                print(&format!("  no filter now: fw-user apply {name} attaches it\n"))?;
            }
        }
        Ok(())
    };
    let enabled: Vec<String> = changed.iter().map(|name| format!("the boot service of {name}")).collect();
    tell().map_err(|error: Error| after_change(error, &enabled, &written))
}

/// The settings in force on the outside interfaces, which must agree, and the names of those without a filter.
fn in_force_on_all(pins: &Pins, network: &Network, files: &[File]) -> Result<(Settings, Vec<String>)> {
    let classes = Classes::of(network);
    let mut found: Option<(String, Settings)> = None;
    let mut except = Vec::new();
    for interface in classes.outside().filter(|one| !files.iter().any(|file| file.is_for(&one.name))) {
        let name = &interface.name;
        if links::ingress_link(pins, name)?.is_none_or(|link| link.ifindex == 0) {
            except.push(name.clone());
            continue;
        }
        let map = PolicyMap::open(pins, name)?;
        map.check_settled()?;
        let says = files.iter().find(|file| file.takes(name)).and_then(|file| file.settings.as_ref());
        let wanted = save::settings(pins, name, map.read()?, map.active()?.monitors(), says)?;
        match &found {
            Some((other, settings))
                if !settings.policy.means_the_same_as(&wanted.policy) || settings.monitor != wanted.monitor =>
            {
                return Err(Error::Usage(UsageError::Usage(format!(
                    "{other} and {name} have different rules; give {name} its own file with `fw-user save {name}`, then repeat this command"
                ))));
            }
            Some(_) => {}
            None => found = Some((name.clone(), wanted)),
        }
    }
    found.map(|(_, settings)| (settings, except)).ok_or(Error::Kernel(KernelError::NothingAttached))
}

/// The named interfaces, or else those with a filter, or else those with a file. An interface that is gone, and has no file, has left only its
/// pins.
fn chosen(pins: &Pins, files: &[File], named: &[String], sides: &Sides) -> Result<Vec<String>> {
    if !named.is_empty() {
        return Ok(interface::once_each(named).cloned().collect());
    }
    let mut names = pins.interfaces()?;
    names.retain(|name| sides.has(name) || files.iter().any(|file| file.is_for(name) || file.takes(name)));
    if names.is_empty() {
        names = files.iter().flat_map(|file| &file.interfaces).map(|name| name.get_ref().clone()).collect();
    }
    if names.is_empty() { Err(Error::Kernel(KernelError::NothingAttached)) } else { Ok(names) }
}

pub(crate) fn disable(pins: &Pins, folder: &Path, args: &DisableArgs) -> Result<()> {
    check_folder(folder)?;
    check_is_root()?;
    let _lock = pins.lock()?;
    let is_all_enabled = systemd::is_all_enabled()?;
    let enabled = systemd::enabled_interfaces()?;
    let mut services = Vec::new();
    if args.all || args.interfaces.is_empty() {
        services.extend(is_all_enabled.then(Service::of_all).transpose()?);
        services.extend(enabled.iter().map(|name| Service::of(name)).collect::<Result<Vec<_>>>()?);
    } else {
        if let Some(name) = args.interfaces.iter().find(|name| is_all_enabled && !enabled.contains(name)) {
            return Err(Error::Host(HostError::ServiceForAll { name: name.clone() }));
        }
        for name in interface::once_each(&args.interfaces) {
            services.push(Service::of(name)?);
        }
    }
    if services.is_empty() {
        return print("no boot service is installed; nothing was changed\n");
    }
    let filtered = select::filtered(pins)?;
    let names: Vec<&str> = services.iter().map(Service::name).collect();
    for (at, service) in services.iter().enumerate() {
        let is_installed = service.is_installed()?;
        let disable = || if is_installed { service.remove() } else { Ok(()) };
        disable().map_err(
            |error| if at == 0 { error } else { error.after(format!("disabled {}", names[..at].join(", "))) },
        )?;
        let note = if is_installed { "" } else { " (as before)" };
        let stay: Vec<&str> = filtered.iter().map(String::as_str).filter(|name| service.is_for(name)).collect();
        let filter = if stay.is_empty() {
            String::new()
        } else {
            format!("; the filter stays until `fw-user detach {}` or a reboot", stay.join(" "))
        };
        print(&format!("{}  not attached at boot{note}{filter}\n", service.name()))
            .map_err(|error| error.after(format!("disabled {}", names[..=at].join(", "))))?;
    }
    Ok(())
}
