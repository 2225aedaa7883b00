//! The boot service: a systemd unit for each interface, or one for every outside one, and the udev rules that make the network wait.

pub(crate) mod boot;
pub mod files;
pub(crate) mod leftovers;
pub(crate) mod name;
pub(crate) mod seal;
pub(crate) mod sockets;

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    error::{Error, HostError, Result},
    host::systemd::files::{ALL, File, SETTLE, TEMPLATE, UNITS, remove},
};

/// systemd creates it if it runs as process 1 (`sd_booted(3)`).
const BOOTED: &str = "/run/systemd/system";
/// The folder that the unit for all creates, and that the udev rules test for.
const SEES_LATER_ONES: &str = "/run/fw-user-all";

/// The service of one interface, or of every outside one.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    /// The interface; `None` for every outside one, present and future.
    interface: Option<String>,
    /// Its instance of the template, or the unit for all.
    unit: String,
}

/// The state of a service in systemd.
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
        Self::new(Some(interface.to_owned()), name::unit(interface))
    }

    /// The service of every outside interface, installed or not.
    pub(crate) fn of_all() -> Result<Self> {
        Self::new(None, ALL.to_owned())
    }

    fn new(interface: Option<String>, unit: String) -> Result<Self> {
        if is_booted() { Ok(Self { interface, unit }) } else { Err(Error::Host(HostError::NoSystemd)) }
    }

    /// Its interface, in words.
    #[must_use]
    pub(crate) fn name(&self) -> &str {
        self.interface.as_deref().unwrap_or("every outside interface")
    }

    /// Whether it is the interface's.
    #[must_use]
    pub(crate) fn is_for(&self, interface: &str) -> bool {
        self.interface.as_deref().is_none_or(|own| own == interface)
    }

    /// The unit's name.
    #[must_use]
    pub(crate) fn unit(&self) -> &str {
        &self.unit
    }

    /// The path of the unit that starts the program, whether it exists or not.
    #[must_use]
    pub(crate) fn unit_file(&self) -> PathBuf {
        files::unit_path(if self.interface.is_some() { TEMPLATE } else { ALL })
    }

    /// Its files.
    fn files(&self, program: &str) -> Vec<File> {
        match &self.interface {
            None => files::all(program).into(),
            Some(interface) => {
                vec![files::template(program), files::settle(), files::rules(interface, &self.unit)]
            }
        }
    }

    /// Refuse what [`Service::install`] would refuse. Nothing is written.
    pub(crate) fn check(&self, program: &str) -> Result<()> {
        self.files(program).iter().try_for_each(File::check)
    }

    /// Write the unit, with the path of this program, and start it whenever the interface appears. Files that are right already, even from a package,
    /// stay untouched, and so does the filter. Returns whether anything was written.
    pub(crate) fn install(&self, program: &str) -> Result<bool> {
        let mut written = false;
        let mut install = || {
            for file in self.files(program) {
                written |= file.write_unless_packaged()?;
            }
            reload_rules()?;
            // Each of these has systemd read its files again, which takes seconds on a small machine.
            if self.interface.is_none() {
                return run("systemctl", ["enable", "--quiet", &self.unit]).map(drop);
            }
            run("systemctl", ["enable", "--quiet", &self.unit, SETTLE])?;
            // Active from now on: an interface that is plugged in before the next boot gets its filter at once.
            run("systemctl", ["start", "--quiet", SETTLE]).map(drop)
        };
        match install() {
            Ok(()) => Ok(written),
            Err(error) if written => Err(error.after(format!("wrote files of {}", self.unit))),
            Err(error) => Err(error),
        }
    }

    /// Tell systemd that the filter is there: it applies the file, which matches the rules in force. A package's upgrade renews the filters of active
    /// services.
    pub(crate) fn start(&self) -> Result<()> {
        run("systemctl", ["start", "--quiet", &self.unit]).map(drop)
    }

    /// Undo [`Service::install`]. Shared files are removed with the last service, unless they belong to a package. The filters stay.
    pub(crate) fn remove(&self) -> Result<()> {
        if !self.is_installed()? {
            return Err(Error::Host(HostError::NoService { name: self.name().to_owned() }));
        }
        run("systemctl", ["disable", "--quiet", "--no-reload", &self.unit])?;
        let clean_up = || {
            let left = enabled_units()?;
            let mut files = Vec::new();
            if let Some(interface) = &self.interface {
                remove(&files::rules(interface, &self.unit).path)?;
            } else {
                run("systemctl", ["stop", "--quiet", ALL])?;
                // The rules test for it, and a failed unit leaves it.
                forget_later_ones()?;
                files.extend(files::all("").map(|file| file.path));
            }
            if !left.iter().any(|unit| name::interface(unit).is_some()) && self.interface.is_some() {
                run("systemctl", ["disable", "--quiet", "--no-reload", "--now", SETTLE])?;
                files.extend([files::settle().path, Path::new(UNITS).join(TEMPLATE)]);
            }
            // An edited file belongs to whoever edited it.
            files.iter().filter(|path| File::is_intact(path)).try_for_each(|path| remove(path))?;
            reload()
        };
        clean_up().map_err(|error: Error| error.after(format!("disabled {}", self.unit)))
    }

    /// Whether there is anything for [`Service::remove`] to remove.
    pub(crate) fn is_installed(&self) -> Result<bool> {
        let has_rules = self.interface.as_ref().is_some_and(|name| files::rules(name, &self.unit).path.exists());
        Ok(has_rules || enabled_units()?.contains(&self.unit))
    }

    /// The state in systemd.
    pub(crate) fn state(&self) -> Result<UnitState> {
        let said = run("systemctl", ["show", "--property=ActiveState", &self.unit])?;
        let value =
            |key: &str| said.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap_or_default();
        Ok(UnitState { is_enabled: enabled_units()?.contains(&self.unit), active: value("ActiveState").to_owned() })
    }
}

/// Stop the rules from starting anything for new interfaces.
fn forget_later_ones() -> Result<()> {
    match fs::remove_dir(SEES_LATER_ONES) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(Error::Host(HostError::File { what: "removing", path: SEES_LATER_ONES.into(), source }))
        }
        _ => Ok(()),
    }
}

/// The enabled services, by the links that `systemctl enable` creates.
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
            units.extend(names.filter(|unit| unit == ALL || name::interface(unit).is_some()));
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

/// Whether the service of every outside interface is enabled.
pub(crate) fn is_all_enabled() -> Result<bool> {
    Ok(enabled_units()?.iter().any(|unit| unit == ALL))
}

/// Stop every service, which takes its filter off, and stop waiting for interfaces.
pub(crate) fn stop_all() -> Result<()> {
    // Patterns, because systemctl fails for the name of a unit that does not exist.
    run("systemctl", ["stop", "fw-user@*.service", "fw-user-settle*.service", "fw-user-all*.service"])?;
    forget_later_ones()
}

/// Make systemd and udev read their files again.
pub(crate) fn reload() -> Result<()> {
    run("systemctl", ["daemon-reload"])?;
    reload_rules()
}

fn reload_rules() -> Result<()> {
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
