//! The files of the boot service, and their contents.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, HostError, Result},
    host::{
        output_file,
        systemd::seal::{is_intact, seal},
    },
};

/// The folder of the administrator's units.
pub const UNITS: &str = "/etc/systemd/system";
/// The folder of packaged units. A unit of the same name in [`UNITS`] hides them.
pub const PACKAGED: &str = "/usr/lib/systemd/system";
/// The folder of the administrator's udev rules.
pub(crate) const RULES: &str = "/etc/udev/rules.d";
/// The folder of packaged udev rules.
pub const PACKAGED_RULES: &str = "/usr/lib/udev/rules.d";

/// The unit that applies the configuration of an interface.
pub const TEMPLATE: &str = "fw-user@.service";
/// The unit that makes the network wait for the present interfaces.
pub const SETTLE: &str = "fw-user-settle.service";

/// The unit that applies every file at boot, patterns above all.
pub const ALL: &str = "fw-user-all.service";
/// The unit that does so for a new interface, by its number.
pub const LATER: &str = "fw-user-later@.service";
/// The udev rules that start it.
pub const ALL_RULES: &str = "81-fw-user.rules";

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path.
    pub path: PathBuf,
    /// Its contents.
    pub text: String,
}

/// The template unit, for the program at `program`.
#[must_use]
pub fn template(program: &str) -> File {
    unit(TEMPLATE, include_str!("../../../systemd/fw-user@.service"), program)
}

/// The units and the rules of the service for every outside interface, for the program at `program`.
#[must_use]
pub fn all(program: &str) -> [File; 3] {
    [
        unit(ALL, include_str!("../../../systemd/fw-user-all.service"), program),
        unit(LATER, include_str!("../../../systemd/fw-user-later@.service"), program),
        File {
            path: Path::new(RULES).join(ALL_RULES),
            text: seal(include_str!("../../../systemd/81-fw-user.rules").to_owned()),
        },
    ]
}

/// A unit that starts the program. All of them have the same conditions and the same confinement.
fn unit(name: &str, text: &str, program: &str) -> File {
    let text = text
        .replace("@CONDITIONS@", include_str!("../../../systemd/conditions.conf"))
        .replace("@CONFINEMENT@", include_str!("../../../systemd/confinement.conf"))
        .replace("@FW_USER@", program);
    File { path: Path::new(UNITS).join(name), text: seal(text) }
}

/// Where the template unit is: an administrator's, else a package's, as systemd looks for it.
#[must_use]
pub fn template_path() -> PathBuf {
    unit_path(TEMPLATE)
}

/// Where a unit is: an administrator's, else a package's, as systemd looks for it.
#[must_use]
pub(crate) fn unit_path(name: &str) -> PathBuf {
    let [own, packaged] = [UNITS, PACKAGED].map(|folder| Path::new(folder).join(name));
    if !own.exists() && packaged.exists() { packaged } else { own }
}

/// The template unit of all instances.
#[must_use]
pub fn settle() -> File {
    File {
        path: Path::new(UNITS).join(SETTLE),
        text: seal(include_str!("../../../systemd/fw-user-settle.service").to_owned()),
    }
}

/// The udev rules of an interface, whose instance of the template is `unit`.
#[must_use]
pub fn rules(interface: &str, unit: &str) -> File {
    // udev reads the backslashes of an escaped name as its own.
    let unit = unit.replace('\\', r"\\");
    let text = include_str!("../../../systemd/81-fw-user-interface.rules")
        .replace("@INTERFACE@", interface)
        .replace("@UNIT@", &unit);
    File { path: Path::new(RULES).join(format!("81-fw-user-{interface}.rules")), text: seal(text) }
}

impl File {
    /// Write it, unless it is right already. Returns whether it was written.
    pub fn write(&self) -> Result<bool> {
        self.check()?;
        if fs::read_to_string(&self.path).is_ok_and(|there| there == self.text) {
            return Ok(false);
        }
        output_file::replace(&self.path, &self.text)?;
        Ok(true)
    }

    /// Refuse to overwrite a file that somebody else wrote, or to write in a read-only folder.
    pub(crate) fn check(&self) -> Result<()> {
        let there = fs::read_to_string(&self.path);
        if there.as_ref().is_ok_and(|there| *there == self.text) {
            return Ok(());
        }
        let failed = |source| Error::Host(HostError::File { what: "writing", path: self.path.clone(), source });
        if let Ok(target) = fs::read_link(&self.path) {
            // If it is masked, or a link to another place, somebody wants it so.
            let why =
                format!("it is a symbolic link to {}; remove it first: rm {}", target.display(), self.path.display());
            return Err(failed(io::Error::other(why)));
        }
        if there.is_ok_and(|there| !is_intact(&there)) {
            return Err(Error::Host(HostError::Edited { path: self.path.clone() }));
        }
        output_file::check(&self.path)
    }

    /// Whether it exists exactly as the program wrote it.
    #[must_use]
    pub(crate) fn is_intact(path: &Path) -> bool {
        fs::read_to_string(path).is_ok_and(|there| is_intact(&there))
    }

    /// Write a unit or rules, unless a package has the same: then remove an older one that hides it. Returns whether anything changed.
    pub fn write_unless_packaged(&self) -> Result<bool> {
        let folder = if self.path.starts_with(RULES) { PACKAGED_RULES } else { PACKAGED };
        let is_packaged = self
            .path
            .file_name()
            .is_some_and(|name| fs::read_to_string(Path::new(folder).join(name)).is_ok_and(|there| there == self.text));
        if !is_packaged {
            return self.write();
        }
        let hides = self.path.exists();
        self.check()?;
        remove(&self.path)?;
        Ok(hides)
    }
}

/// Remove a file, if it is there.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(Error::Host(HostError::File { what: "removing", path: path.to_owned(), source }))
        }
        _ => Ok(()),
    }
}

/// The path of the running program, for the unit.
pub fn program() -> Result<String> {
    let path = std::env::current_exe().map_err(|error| Error::refused("finding this very program", error))?;
    usable(&path).map(ToOwned::to_owned).ok_or(Error::Host(HostError::ProgramElsewhere { path }))
}

fn usable(path: &Path) -> Option<&str> {
    const HIDDEN: [&str; 6] = ["/home", "/root", "/run", "/tmp", "/var/tmp", "/proc"];
    // systemd gives other characters a meaning.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.+".contains(&byte);
    let is_hidden = HIDDEN.iter().any(|folder| path.starts_with(folder));
    path.to_str().filter(|text| !is_hidden && text.bytes().all(is_plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_starts_the_program_that_installed_it() {
        let unit = template("/opt/fw/fw-user").text;
        assert!(unit.contains("\nExecStart=/opt/fw/fw-user apply --force %I\n"), "{unit}");
        assert!(unit.contains("\nExecStop=/opt/fw/fw-user detach %I\n"), "{unit}");
        assert!(!unit.contains("@FW_USER@"), "{unit}");
    }

    #[test]
    fn a_masked_unit_stays_masked() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(SETTLE);
        std::os::unix::fs::symlink("/dev/null", &path).expect("a link");
        let error = File { path: path.clone(), text: "[Unit]\n".to_owned() }.write().expect_err("it is masked");
        assert!(error.to_string().contains("symbolic link to /dev/null"), "{error}");
        assert_eq!(fs::read_link(&path).expect("the link stays"), Path::new("/dev/null"));
    }

    #[test]
    fn rules_name_the_interface_and_its_unit() {
        let rules = rules("br-lan", r"fw-user@br\x2dlan.service");
        assert_eq!(rules.path, Path::new("/etc/udev/rules.d/81-fw-user-br-lan.rules"));
        assert!(
            rules.text.contains(r#"NAME=="br-lan", RUN+="/bin/systemctl start fw-user@br\\x2dlan.service""#),
            "{}",
            rules.text
        );
    }

    #[test]
    fn a_program_that_the_unit_could_not_start_is_refused() {
        for path in [
            "/home/pi/fw/target/release/fw-user",
            "/root/fw-user",
            "/tmp/fw-user",
            "/opt/100%/fw-user",
            "/opt/a b/fw-user",
        ] {
            assert_eq!(usable(Path::new(path)), None, "{path}");
        }
        for path in ["/usr/local/sbin/fw-user", "/usr/bin/fw-user", "/opt/fw-0.1/bin/fw-user", "/homes/fw-user"] {
            assert_eq!(usable(Path::new(path)), Some(path));
        }
    }
}
