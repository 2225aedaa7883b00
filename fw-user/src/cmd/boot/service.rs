//! The boot services of some interfaces: everything is checked before anything is written.

use std::{collections::BTreeSet, path::Path};

use nix::unistd::Uid;

use crate::{
    config::{DEFAULT_FOLDER, Settings, edits::Edits},
    error::{ConfigError, Error, HostError, Result, UsageError},
    host::systemd::{Service, boot, files},
    kernel::trust,
    output::complain,
};

/// The services of some interfaces, ready to be installed.
pub(crate) struct Services {
    program: String,
    services: Vec<Service>,
}

/// All services share one unit, which reads one folder.
pub(crate) fn check_folder(folder: &Path) -> Result<()> {
    if folder == Path::new(DEFAULT_FOLDER) {
        return Ok(());
    }
    Err(Error::Usage(UsageError::OtherFolder { folder: folder.to_owned() }))
}

/// Changes below `/etc` and requests to systemd need root.
pub(crate) fn check_is_root() -> Result<()> {
    if Uid::effective().is_root() {
        Ok(())
    } else {
        Err(Error::Host(HostError::Privilege { missing: "root".to_owned() }))
    }
}

impl Services {
    /// The services of these interfaces. Refuses everything that [`Services::install`] would refuse, and writes nothing.
    pub(crate) fn plan(folder: &Path, names: &[String]) -> Result<Self> {
        Self::check(folder, names.iter().map(|name| Service::of(name)).collect::<Result<_>>()?)
    }

    /// The service for every outside interface, present and future; otherwise like [`Services::plan`].
    pub(crate) fn plan_all(folder: &Path) -> Result<Self> {
        Self::check(folder, vec![Service::of_all()?])
    }

    fn check(folder: &Path, services: Vec<Service>) -> Result<Self> {
        check_folder(folder)?;
        check_is_root()?;
        if !boot::shares_network_with_systemd() {
            return Err(Error::Host(HostError::OtherNetwork));
        }
        let program = files::program()?;
        if let Some(why) = trust::why_not(Path::new(&program))? {
            return Err(Error::Host(HostError::ProgramNotRoots { path: program.into(), why }));
        }
        services.iter().try_for_each(|service| service.check(&program))?;
        Ok(Self { program, services })
    }

    /// Plan the change of an interface's file to the wanted settings. Refuses to change other interfaces of the same file.
    pub(crate) fn plan_file(
        &self,
        edits: &mut Edits<'_>,
        name: &str,
        wanted: &Settings,
        typed: &[String],
    ) -> Result<()> {
        let others: Vec<String> = edits.file(name)?.map_or_else(Vec::new, |(file, _)| {
            let names = file.interfaces.iter().map(toml::Spanned::get_ref);
            names.filter(|other| !self.services.iter().any(|one| one.is_for(other))).cloned().collect()
        });
        let (path, changes) = edits.plan(name, wanted, typed)?;
        if changes && !others.is_empty() {
            let why =
                format!("it is also for {}; name that interface too, or give each its own file", others.join(", "));
            return Err(Error::Config(ConfigError::NotSaved { path, why }));
        }
        Ok(())
    }

    /// Install and enable them, without touching what is right already. Returns those that changed.
    pub(crate) fn install(&self) -> Result<Vec<String>> {
        self.tell_of_another_installation();
        let mut changed = Vec::new();
        for service in &self.services {
            let install = || {
                let was_enabled = service.state()?.is_enabled;
                Ok(service.install(&self.program)? || !was_enabled)
            };
            match install() {
                Ok(true) => changed.push(service.name().to_owned()),
                Ok(false) => {}
                Err(error) if changed.is_empty() => return Err(error),
                Err(error) => return Err(Error::after(error, format!("enabled {}", changed.join(", ")))),
            }
        }
        Ok(changed)
    }

    /// Start the services of these interfaces, so that systemd owns their filters.
    pub(crate) fn start(&self, names: &[String]) -> Result<()> {
        self.services
            .iter()
            .filter(|service| names.iter().any(|name| service.is_for(name)))
            .try_for_each(Service::start)
    }

    /// The units of these services.
    pub(crate) fn services(&self) -> &[Service] {
        &self.services
    }

    fn tell_of_another_installation(&self) {
        for unit in self.services.iter().map(Service::unit_file).collect::<BTreeSet<_>>() {
            let text = std::fs::read_to_string(&unit).unwrap_or_default();
            if let Some(other) = boot::program(&text).filter(|other| *other != self.program) {
                complain(&format!(
                    "note: {} started {other} until now; from now on it starts this program, {}",
                    unit.display(),
                    self.program
                ));
            }
        }
    }
}
