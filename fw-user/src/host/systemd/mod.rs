//! The boot service: a systemd unit an interface, and the udev rule that has the network wait for it.

pub(crate) mod boot;
pub mod files;
pub(crate) mod leftovers;
pub(crate) mod name;
pub(crate) mod seal;
pub(crate) mod sockets;

use std::{
    fs, io,
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    error::{Error, HostError, Result},
    host::systemd::files::{File, SETTLE, TEMPLATE, UNITS, remove},
};

/// Left by systemd itself where it runs as the first process (`sd_booted(3)`).
const BOOTED: &str = "/run/systemd/system";

/// The service of one interface.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    interface: String,
    /// Its instance of the template.
    unit: String,
}

/// What systemd says of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnitState {
    /// Whether the device starts it.
    pub is_enabled: bool,
    /// `active`, `inactive`, `failed`, `activating`.
    pub active: String,
}

/// Whether systemd started this system.
#[must_use]
pub(crate) fn is_booted() -> bool {
    Path::new(BOOTED).exists()
}

impl Service {
    /// The service of an interface, installed or not.
    pub(crate) fn of(interface: &str) -> Result<Self> {
        if !is_booted() {
            return Err(Error::Host(HostError::NoSystemd));
        }
        Ok(Self { interface: interface.to_owned(), unit: name::unit(interface) })
    }

    /// The interface.
    #[must_use]
    pub(crate) fn interface(&self) -> &str {
        &self.interface
    }

    /// The unit's name.
    #[must_use]
    pub(crate) fn unit(&self) -> &str {
        &self.unit
    }

    /// Refuse what [`Service::install`] would refuse. Nothing is written.
    pub(crate) fn check(&self, program: &str) -> Result<()> {
        [files::template(program), files::settle(), files::rules(&self.interface, &self.unit)]
            .iter()
            .try_for_each(File::check)
    }

    /// Write the unit, with the path of this very program, and have it started whenever the interface appears. What is there already
    /// as it should be, by a package too, stays untouched; the filter does too. Returns whether anything was written.
    pub(crate) fn install(&self, program: &str) -> Result<bool> {
        let mut written = false;
        let mut install = || {
            for unit in [files::template(program), files::settle()] {
                written |= unit.write_unit()?;
            }
            written |= files::rules(&self.interface, &self.unit).write()?;
            run("systemctl", ["daemon-reload"])?;
            run("udevadm", ["control", "--reload"])?;
            run("systemctl", ["enable", "--quiet", &self.unit])?;
            // At work from now on: an interface that is plugged in before the next boot has its filter just as soon.
            run("systemctl", ["enable", "--quiet", "--now", SETTLE])
        };
        match install() {
            Ok(_) => Ok(written),
            Err(error) if written => Err(error.after(format!("wrote files of {}", self.unit))),
            Err(error) => Err(error),
        }
    }

    /// Have systemd know that the filter is there: it applies the file, which says what is in force, and a package's upgrade renews the
    /// filters of services that are active.
    pub(crate) fn start(&self) -> Result<()> {
        run("systemctl", ["start", "--quiet", &self.unit]).map(drop)
    }

    /// Undo [`Service::install`]. What all services share goes with the last one, unless it is a package's. The filter stays.
    pub(crate) fn remove(&self) -> Result<()> {
        let rules = files::rules(&self.interface, &self.unit);
        if !self.is_installed()? {
            return Err(Error::Host(HostError::NoService { name: self.interface.clone() }));
        }
        run("systemctl", ["disable", "--quiet", &self.unit])?;
        let clean_up = || {
            remove(&rules.path)?;
            if enabled_units()?.is_empty() {
                run("systemctl", ["disable", "--quiet", "--now", SETTLE])?;
                for path in [files::settle().path, Path::new(UNITS).join(TEMPLATE)] {
                    // One that somebody edited is theirs.
                    if File::is_intact(&path) {
                        remove(&path)?;
                    }
                }
                run("systemctl", ["daemon-reload"])?;
            }
            run("udevadm", ["control", "--reload"]).map(drop)
        };
        clean_up().map_err(|error: Error| error.after(format!("disabled {}", self.unit)))
    }

    /// Whether there is anything for [`Service::remove`] to remove.
    pub(crate) fn is_installed(&self) -> Result<bool> {
        Ok(files::rules(&self.interface, &self.unit).path.exists() || enabled_units()?.contains(&self.unit))
    }

    /// What systemd says.
    pub(crate) fn state(&self) -> Result<UnitState> {
        let said = run("systemctl", ["show", "--property=ActiveState", &self.unit])?;
        let value =
            |key: &str| said.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap_or_default();
        Ok(UnitState { is_enabled: enabled_units()?.contains(&self.unit), active: value("ActiveState").to_owned() })
    }
}

/// The services that are enabled: the links that `systemctl enable` makes, by whomever it was typed.
pub(crate) fn enabled_units() -> Result<Vec<String>> {
    let failed = |path: &Path, source: io::Error| {
        Error::Host(HostError::File { what: "reading", path: path.to_owned(), source })
    };
    let names = |folder: &Path| -> Result<Vec<_>> {
        let entries = match fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            entries => entries.map_err(|error| failed(folder, error))?,
        };
        Ok(entries.into_iter().map(|entry| entry.path()).collect())
    };
    let mut units = Vec::new();
    for folder in names(Path::new(UNITS))? {
        if folder.extension().is_some_and(|extension| extension == "wants") {
            let names = names(&folder)?.into_iter().filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()));
            units.extend(names.filter(|unit| name::interface(unit).is_some()));
        }
    }
    units.sort_unstable();
    units.dedup();
    Ok(units)
}

/// The interfaces whose service is enabled.
pub(crate) fn enabled_interfaces() -> Result<Vec<String>> {
    Ok(enabled_units()?.iter().filter_map(|unit| name::interface(unit)).collect())
}

/// Stop every service, which takes its filter off, and wait no longer for interfaces.
pub(crate) fn stop_all() -> Result<()> {
    run("systemctl", ["stop", "fw-user@*.service", SETTLE]).map(drop)
}

/// Have systemd and udev read their files again.
pub(crate) fn reload() -> Result<()> {
    run("systemctl", ["daemon-reload"])?;
    run("udevadm", ["control", "--reload"]).map(drop)
}

fn run<const N: usize>(program: &str, args: [&str; N]) -> Result<String> {
    let failed = |complaint: String| {
        Error::Host(HostError::Program { command: format!("{program} {}", args.join(" ")), complaint })
    };
    let output =
        Command::new(program).args(args).stdin(Stdio::null()).output().map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }
}
