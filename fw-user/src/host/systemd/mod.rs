//! The boot service: a systemd unit an interface, and the udev rule that has the network wait for it.

pub mod files;
pub(crate) mod sockets;

use std::{
    ffi::OsStr,
    fs, io,
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    error::{Error, HostError, Result},
    host::systemd::files::{SETTLE, TEMPLATE, UNITS, remove},
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

impl Service {
    /// The service of an interface, installed or not.
    pub(crate) fn of(interface: &str) -> Result<Self> {
        if !Path::new(BOOTED).exists() {
            return Err(Error::Host(HostError::NoSystemd));
        }
        let unit = run("systemd-escape", ["--template", TEMPLATE, "--", interface])?.trim_end().to_owned();
        Ok(Self { interface: interface.to_owned(), unit })
    }

    /// The unit's name.
    #[must_use]
    pub(crate) fn unit(&self) -> &str {
        &self.unit
    }

    /// Write the unit, with the path of this very program, and have it started whenever the interface appears. What is there already
    /// as it should be, by a package too, stays untouched; the filter does too. Returns whether anything was written.
    pub(crate) fn install(&self) -> Result<bool> {
        let program = files::program()?;
        let mut written = false;
        let mut install = || {
            for unit in [files::template(&program), files::settle()] {
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

    /// Undo [`Service::install`]. What all services share goes with the last one, unless it is a package's. The filter stays.
    pub(crate) fn remove(&self) -> Result<()> {
        let rules = files::rules(&self.interface, &self.unit);
        if !self.state()?.is_enabled && !rules.path.exists() {
            return Err(Error::Host(HostError::NoService { name: self.interface.clone() }));
        }
        run("systemctl", ["disable", "--quiet", &self.unit])?;
        let clean_up = || {
            remove(&rules.path)?;
            if !any_enabled()? {
                run("systemctl", ["disable", "--quiet", "--now", SETTLE])?;
                remove(&files::settle().path)?;
                remove(&Path::new(UNITS).join(TEMPLATE))?;
                run("systemctl", ["daemon-reload"])?;
            }
            run("udevadm", ["control", "--reload"]).map(drop)
        };
        clean_up().map_err(|error: Error| error.after(format!("disabled {}", self.unit)))
    }

    /// What systemd says.
    pub(crate) fn state(&self) -> Result<UnitState> {
        let said = run("systemctl", ["show", "--property=ActiveState", "--property=UnitFileState", &self.unit])?;
        let value =
            |key: &str| said.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap_or_default();
        Ok(UnitState { is_enabled: value("UnitFileState") == "enabled", active: value("ActiveState").to_owned() })
    }
}

/// Whether any interface's service is enabled: the links that `systemctl enable` makes, by whomever it was typed.
fn any_enabled() -> Result<bool> {
    let failed = |path: &Path, source: io::Error| {
        Error::Host(HostError::File { what: "reading", path: path.to_owned(), source })
    };
    let names = |folder: &Path| -> Result<Vec<_>> {
        let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        Ok(entries.map_err(|error| failed(folder, error))?.into_iter().map(|entry| entry.path()).collect())
    };
    let is_instance = |path: &Path| {
        let (prefix, suffix) = TEMPLATE.split_once('@').unwrap_or_default();
        let name =
            path.file_name().and_then(OsStr::to_str).and_then(|name| name.strip_prefix(prefix)?.strip_prefix('@'));
        name.is_some_and(|name| name.len() > suffix.len() && name.ends_with(suffix))
    };
    for folder in names(Path::new(UNITS))? {
        let is_wants = folder.extension().is_some_and(|extension| extension == "wants");
        if is_wants && names(&folder)?.iter().any(|path| is_instance(path)) {
            return Ok(true);
        }
    }
    Ok(false)
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
