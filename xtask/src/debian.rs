//! Debian's packages.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use object::{Endianness, elf::PT_INTERP, read::elf::ElfFile64};

use crate::{command, root};

/// A program that is needed, or another file by its path, and Debian's package that has it.
#[derive(Clone, Copy)]
pub(crate) struct Tool {
    pub(crate) program: &'static str,
    pub(crate) package: &'static str,
}

impl Tool {
    pub(crate) fn is_there(self) -> bool {
        // Systems often have another busybox, which needs libraries.
        let is_right = |file: &Path| self.package != BUSYBOX.package || is_static(file);
        find(self.program).is_some_and(|file| is_right(&file))
    }
}

/// Interfaces, addresses, namespaces.
pub(crate) const IP: Tool = Tool { program: "ip", package: "iproute2" };
/// Rules of netfilter.
pub(crate) const NFT: Tool = Tool { program: "nft", package: "nftables" };
/// The same as they used to be typed, and as Docker types them.
pub(crate) const IPTABLES: Tool = Tool { program: "iptables", package: "iptables" };
/// A container engine.
pub(crate) const DOCKER: Tool = Tool { program: "dockerd", package: "docker.io" };
/// Its command, which Debian 12 still has in docker.io.
pub(crate) const DOCKER_CLI: Tool = Tool { program: "docker", package: "docker-cli" };
/// What runs in a container without any library.
pub(crate) const BUSYBOX: Tool = Tool { program: "busybox", package: "busybox-static" };
/// Faults at every system call.
pub(crate) const STRACE: Tool = Tool { program: "strace", package: "strace" };

/// The server that the tests must not be locked out of.
pub(crate) const SSHD: Tool = Tool { program: "sshd", package: "openssh-server" };
/// Its client.
pub(crate) const SSH: Tool = Tool { program: "ssh", package: "openssh-client" };
/// Makes a Debian in a folder.
pub(crate) const MMDEBSTRAP: Tool = Tool { program: "mmdebstrap", package: "mmdebstrap" };
/// Makes a disk of a folder.
pub(crate) const MKE2FS: Tool = Tool { program: "mke2fs", package: "e2fsprogs" };
/// Judges units.
pub(crate) const SYSTEMD_ANALYZE: Tool = Tool { program: "systemd-analyze", package: "systemd" };
/// Maps and links, as another program would make them.
pub(crate) const BPFTOOL: Tool = Tool { program: "bpftool", package: "bpftool" };

/// A terminal whose screen can be read.
pub(crate) const TMUX: Tool = Tool { program: "tmux", package: "tmux" };
/// Packets as another program captures them.
pub(crate) const TCPDUMP: Tool = Tool { program: "tcpdump", package: "tcpdump" };
/// What reads the metrics, and checks alerts.
pub(crate) const PROMETHEUS: Tool = Tool { program: "prometheus", package: "prometheus" };
/// Puts files on machines.
pub(crate) const ANSIBLE: Tool = Tool { program: "ansible-playbook", package: "ansible-core" };

/// Features of an interface, switched.
pub(crate) const ETHTOOL: Tool = Tool { program: "ethtool", package: "ethtool" };

/// Streams of bytes, as fast as they go.
pub(crate) const IPERF3: Tool = Tool { program: "iperf3", package: "iperf3" };

/// A compiler for amd64, and the C library that its programs are linked with; the same for others.
pub(crate) const GCC_AMD64: Tool = Tool { program: "x86_64-linux-gnu-gcc", package: "gcc-x86-64-linux-gnu" };
/// See [`GCC_AMD64`].
pub(crate) const LIBC_AMD64: Tool =
    Tool { program: "/usr/x86_64-linux-gnu/lib/libc.a", package: "libc6-dev-amd64-cross" };
/// See [`GCC_AMD64`].
pub(crate) const GCC_ARM64: Tool = Tool { program: "aarch64-linux-gnu-gcc", package: "gcc-aarch64-linux-gnu" };
/// See [`GCC_AMD64`].
pub(crate) const LIBC_ARM64: Tool =
    Tool { program: "/usr/aarch64-linux-gnu/lib/libc.a", package: "libc6-dev-arm64-cross" };
/// See [`GCC_AMD64`].
pub(crate) const GCC_ARMHF: Tool = Tool { program: "arm-linux-gnueabihf-gcc", package: "gcc-arm-linux-gnueabihf" };
/// See [`GCC_AMD64`].
pub(crate) const LIBC_ARMHF: Tool =
    Tool { program: "/usr/arm-linux-gnueabihf/lib/libc.a", package: "libc6-dev-armhf-cross" };
/// Judges packages.
pub(crate) const LINTIAN: Tool = Tool { program: "lintian", package: "lintian" };
/// Shows manual pages, and complains about them.
pub(crate) const MAN: Tool = Tool { program: "man", package: "man-db" };
/// A shell that completions are made for.
pub(crate) const ZSH: Tool = Tool { program: "zsh", package: "zsh" };
/// Another.
pub(crate) const FISH: Tool = Tool { program: "fish", package: "fish" };
/// Scans ports.
pub(crate) const NMAP: Tool = Tool { program: "nmap", package: "nmap" };
/// Makes IPv4 packets with odd flags, pieces and options.
pub(crate) const HPING: Tool = Tool { program: "hping3", package: "hping3" };
/// Tries what gets past IPv6 firewalls.
pub(crate) const THC_IPV6: Tool = Tool { program: "atk6-firewall6", package: "thc-ipv6" };
/// Makes odd IPv6 packets.
pub(crate) const IPV6_TOOLKIT: Tool = Tool { program: "tcp6", package: "ipv6toolkit" };
/// Makes packets of any shape.
pub(crate) const SCAPY: Tool = Tool { program: "scapy3", package: "python3-scapy" };
/// Judges shell scripts.
pub(crate) const SHELLCHECK: Tool = Tool { program: "shellcheck", package: "shellcheck" };

/// Install the packages of those programs that are not there, or say what to type.
pub(crate) fn provide(tools: &[Tool]) -> Result<()> {
    let mut missing: Vec<&str> = tools.iter().filter(|tool| !tool.is_there()).map(|tool| tool.package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let install = |packages: &[&str]| {
        let mut install = Command::new("apt-get");
        install.args(["install", "--yes", "--no-install-recommends"]).args(packages);
        install.env("DEBIAN_FRONTEND", "noninteractive");
        install
    };
    if !is_debian() {
        bail!("programs are missing; on Debian they are installed by `{}`", command::line(&install(&missing)));
    }
    if root::is_root() {
        eprintln!("programs are missing; reading the lists of Debian's packages: apt-get update");
        command::output(Command::new("apt-get").args(["update", "--quiet"]))?;
    }
    missing.retain(|package| *package != DOCKER_CLI.package || is_known(package));
    let mut install = install(&missing);
    if !root::is_root() {
        bail!("programs are missing; type `sudo apt-get update && sudo {}`", command::line(&install));
    }
    if Path::new("/run/systemd/system").exists() {
        for (package, service) in
            [(DOCKER.package, "docker"), (SSHD.package, "ssh"), (PROMETHEUS.package, "prometheus")]
        {
            if missing.contains(&package) {
                eprintln!(
                    "{package} starts its service when it is installed; `systemctl disable --now {service}` stops it again"
                );
            }
        }
    }
    eprintln!("installing them: {}", command::line(&install));
    command::output(&mut install).map(drop)
}

fn is_known(package: &str) -> bool {
    command::output(Command::new("apt-cache").args(["show", package])).is_ok()
}

/// Where a program is; also where only root's shell would look.
fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Whether a program asks for no dynamic loader.
fn is_static(file: &Path) -> bool {
    let Ok(bytes) = fs::read(file) else { return false };
    let Ok(elf) = ElfFile64::<Endianness>::parse(&*bytes) else { return false };
    let mut headers = elf.elf_program_headers().iter();
    !headers.any(|header| header.p_type.get(elf.endian()) == PT_INTERP)
}

/// Debian signs its archive with these keys.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Whether this is Debian or a system made from it.
pub(crate) fn is_debian() -> bool {
    let family = ["ID", "ID_LIKE"].into_iter().filter_map(os_release);
    family.flat_map(|names| names.split(' ').map(str::to_owned).collect::<Vec<_>>()).any(|name| name == "debian")
        && Path::new("/usr/bin/apt-get").exists()
}

pub(crate) fn os_release(key: &str) -> Option<String> {
    field(&fs::read_to_string("/etc/os-release").ok()?, key)
}

fn field(release: &str, key: &str) -> Option<String> {
    let lines = release.lines().filter_map(|line| line.split_once('='));
    lines.into_iter().find(|(name, _)| *name == key).map(|(_, value)| value.trim_matches('"').into())
}

/// Suites of Debian's archive that the system need not have configured: from the mirror that it has, with lists of our own.
pub(crate) struct Archive {
    home: PathBuf,
    suites: String,
}

impl Archive {
    /// Read the suites' lists of packages. Everything stays under `home`, which is emptied first.
    pub(crate) fn open(home: &Path, suites: &[&str]) -> Result<Self> {
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
        let archive = Self { home: home.into(), suites: suites.join(", ") };
        command::output(archive.apt("apt-get").arg("update"))?;
        Ok(archive)
    }

    /// Download a package whose version begins so, and return the file.
    pub(crate) fn download(&self, package: &str, version: &str) -> Result<PathBuf> {
        let listed = command::output(self.apt("apt-cache").args(["madison", package]))?;
        let mut versions = listed.lines().filter_map(|line| line.split('|').nth(1)).map(str::trim);
        let Some(version) = versions.find(|candidate| candidate.starts_with(version)) else {
            bail!("{} has no {package} {version}..., only:\n{listed}", self.suites);
        };
        let mut download = self.apt("apt-get");
        command::output(download.args(["download", &format!("{package}={version}")]).current_dir(&self.home))?;
        let files = fs::read_dir(&self.home)?.map(|file| Ok(file?.path())).collect::<Result<Vec<_>>>()?;
        let is_package = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "deb");
        files.into_iter().find(is_package).context("apt-get is content, yet the package is not there")
    }

    /// Install a package and what it needs from a suite, before the others.
    pub(crate) fn install(&self, package: &str, suite: &str) -> Result<()> {
        let mut install = self.apt("apt-get");
        install.args([
            "install",
            "--yes",
            "--no-install-recommends",
            "--no-remove",
            "--target-release",
            suite,
            package,
        ]);
        install.env("DEBIAN_FRONTEND", "noninteractive");
        eprintln!("installing it: {}", command::line(&install));
        command::output(&mut install).map(drop)
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
        apt
    }
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

    #[test]
    fn a_program_with_a_loader_is_not_static() {
        assert!(!is_static(&env::current_exe().expect("a test is a program")));
        assert!(!is_static(Path::new("/etc/os-release")));
    }

    #[test]
    fn fields_of_os_release_lose_their_quotes() {
        let release = "NAME=\"Debian GNU/Linux\"\nID=debian\n";
        assert_eq!(field(release, "ID").as_deref(), Some("debian"));
        assert_eq!(field(release, "NAME").as_deref(), Some("Debian GNU/Linux"));
        assert_eq!(field(release, "ID_LIKE"), None);
    }
}
