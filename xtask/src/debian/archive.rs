//! Debian's archive, also where the system does not have it configured.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::os_release;
use crate::command;

/// Debian signs its archive with these keys.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Suites of Debian's archive that the system need not have configured: from the mirror that it has, with lists of our own.
pub struct Archive {
    home: PathBuf,
    suites: String,
    /// Of a system that has nothing installed, and may not be of this machine's kind. Without, it is this very system.
    architecture: Option<&'static str>,
}

impl Archive {
    /// Read the suites' lists of packages. Everything stays under `home`, which is emptied first.
    pub fn open(home: &Path, suites: &[&str]) -> Result<Self> {
        Self::read(home, suites, None)
    }

    /// The same as an empty system of an architecture would: what is downloaded is not for this one.
    pub fn open_for(architecture: &'static str, home: &Path, suites: &[&str]) -> Result<Self> {
        Self::read(home, suites, Some(architecture))
    }

    fn read(home: &Path, suites: &[&str], architecture: Option<&'static str>) -> Result<Self> {
        if home.exists() {
            fs::remove_dir_all(home).with_context(|| format!("cannot empty {}", home.display()))?;
        }
        for folder in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(home.join(folder)).with_context(|| format!("cannot create {}", home.display()))?;
        }
        let signed = if Path::new(KEYRING).exists() { format!("[signed-by={KEYRING}] ") } else { String::new() };
        let mirror = mirror()?;
        let sources: Vec<String> = suites.iter().map(|suite| format!("deb {signed}{mirror} {suite} main\n")).collect();
        fs::write(home.join("sources.list"), sources.concat())?;
        fs::write(home.join("status"), "")?;
        let archive = Self { home: home.into(), suites: suites.join(", "), architecture };
        command::output(archive.apt("apt-get").arg("update"))?;
        Ok(archive)
    }

    /// Download a package whose version begins so, and return the file.
    pub fn download(&self, package: &str, version: &str) -> Result<PathBuf> {
        let listed = command::output(self.apt("apt-cache").args(["madison", package]))?;
        let mut versions = listed.lines().filter_map(|line| line.split('|').nth(1)).map(str::trim);
        let Some(version) = versions.find(|candidate| candidate.starts_with(version)) else {
            bail!("{} has no {package} {version}..., only:\n{listed}", self.suites);
        };
        let files = self.fetch(&[format!("{package}={version}")], &self.home)?;
        files.into_iter().next().context("apt-get succeeded, but the package is missing")
    }

    /// The names of packages that begin so.
    pub fn names(&self, beginning: &str) -> Result<Vec<String>> {
        let listed = command::output(self.apt("apt-cache").args(["pkgnames", beginning]))?;
        Ok(listed.lines().map(str::to_owned).collect())
    }

    /// The dependencies of a package that are in this archive.
    pub fn dependencies(&self, package: &str) -> Result<Vec<String>> {
        let listed = command::output(self.apt("apt-cache").args(["depends", "--important", package]))?;
        let names = listed.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
        Ok(names.filter(|name| !name.starts_with('<')).map(str::to_owned).collect())
    }

    /// Download packages into a folder, and return all the packages in it.
    pub fn fetch(&self, packages: &[String], folder: &Path) -> Result<Vec<PathBuf>> {
        let mut download = self.apt("apt-get");
        command::output(download.arg("download").args(packages).current_dir(folder))?;
        packages_in(folder)
    }

    /// Download packages and what they need, and return all of it.
    pub fn fetch_with_dependencies(&self, packages: &[&str]) -> Result<Vec<PathBuf>> {
        let mut install = self.apt("apt-get");
        install.args(["install", "--yes", "--no-install-recommends", "--download-only"]).args(packages);
        command::output(&mut install)?;
        packages_in(&self.home.join("cache/archives"))
    }

    /// Install packages and what they need from a suite, before the others.
    pub fn install(&self, packages: &[&str], suite: &str) -> Result<()> {
        let mut install = self.apt("apt-get");
        install.args(["install", "--yes", "--no-install-recommends", "--no-remove", "--target-release", suite]);
        install.args(packages);
        install.env("DEBIAN_FRONTEND", "noninteractive");
        eprintln!("installing: {}", command::line(&install));
        command::output(install.args(super::WAIT_FOR_LOCK)).map(drop)
    }

    fn apt(&self, program: &str) -> Command {
        let mut apt = Command::new(program);
        let set = |name: &str, path: &str| format!("{name}={}", self.home.join(path).display());
        for option in [
            set("Dir::Etc::sourcelist", "sources.list"),
            "Dir::Etc::sourceparts=/dev/null".into(),
            set("Dir::State::Lists", "lists"),
            set("Dir::Cache", "cache"),
            // Root's apt would fetch as a user of its own, who cannot write below a home folder.
            "APT::Sandbox::User=".into(),
        ] {
            apt.args(["-o", &option]);
        }
        if let Some(architecture) = self.architecture {
            for option in [
                format!("APT::Architecture={architecture}"),
                format!("APT::Architectures={architecture}"),
                set("Dir::State::status", "status"),
                "Acquire::Languages=none".into(),
            ] {
                apt.args(["-o", &option]);
            }
        }
        apt
    }
}

fn packages_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let files = fs::read_dir(folder)?.map(|file| Ok(file?.path())).collect::<Result<Vec<_>>>()?;
    Ok(files.into_iter().filter(|file| file.extension().is_some_and(|extension| extension == "deb")).collect())
}

/// The address that this system gets Debian from.
fn mirror() -> Result<String> {
    let codename = os_release("VERSION_CODENAME").context("/etc/os-release has no VERSION_CODENAME")?;
    let sources = ["indextargets", "--format", "$(REPO_URI) $(RELEASE) $(ORIGIN)", "Created-By: Packages"];
    let listed = command::output(Command::new("apt-get").args(sources))?;
    let mirror = mirror_among(&listed, &codename);
    mirror.with_context(|| format!("apt has no source for Debian {codename}; configured are:\n{listed}"))
}

fn mirror_among(listed: &str, codename: &str) -> Option<String> {
    let sources = listed.lines().filter_map(|line| {
        let mut words = line.splitn(3, ' ');
        Some((words.next()?, words.next()?, words.next()?))
    });
    let mut of_release = sources.filter(|(_, release, _)| *release == codename).collect::<Vec<_>>();
    // The origin is known once `apt-get update` was run. Systems made from Debian add archives of their own for the same release.
    of_release.sort_by_key(|(_, _, origin)| *origin != "Debian");
    of_release.first().map(|(uri, _, _)| (*uri).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_the_one_that_serves_this_release_of_debian() {
        let listed = "http://pi.example/debian/ trixie Pi Foundation\n\
                      http://mirror.example/security/ trixie-security Debian\n\
                      http://mirror.example/debian/ trixie Debian\n";
        assert_eq!(mirror_among(listed, "trixie").as_deref(), Some("http://mirror.example/debian/"));
        assert_eq!(mirror_among(listed, "bookworm"), None);
    }

    #[test]
    fn a_mirror_whose_lists_were_never_fetched_is_taken_too() {
        let listed = "http://mirror.example/debian/ trixie $(ORIGIN)\n";
        assert_eq!(mirror_among(listed, "trixie").as_deref(), Some("http://mirror.example/debian/"));
    }
}
