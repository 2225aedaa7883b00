//! Debian's packages.

pub mod archive;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail};

use object::{Endianness, elf::PT_INTERP, read::elf::ElfFile64};

use crate::{command, root};

/// A program that is needed, or another file by its path, and Debian's package that has it.
#[derive(Clone, Copy)]
pub struct Tool {
    /// Its name, or the path of a file.
    pub program: &'static str,
    /// The package.
    pub package: &'static str,
}

impl Tool {
    /// Whether it is installed.
    #[must_use]
    pub fn is_there(self) -> bool {
        // Systems often have another busybox, which needs libraries.
        let is_right = |file: &Path| self.package != BUSYBOX.package || is_static(file);
        find(self.program).is_some_and(|file| is_right(&file))
    }
}

/// Interfaces, addresses, namespaces.
pub const IP: Tool = Tool { program: "ip", package: "iproute2" };
/// Rules of netfilter.
pub const NFT: Tool = Tool { program: "nft", package: "nftables" };
/// The same as they used to be typed, and as Docker types them.
pub const IPTABLES: Tool = Tool { program: "iptables", package: "iptables" };
/// A container engine.
pub const DOCKER: Tool = Tool { program: "dockerd", package: "docker.io" };
/// Its command, which Debian 12 still has in docker.io.
pub const DOCKER_CLI: Tool = Tool { program: "docker", package: "docker-cli" };
/// A program that runs in a container without any library.
pub const BUSYBOX: Tool = Tool { program: "busybox", package: "busybox-static" };
/// Faults at every system call.
pub const STRACE: Tool = Tool { program: "strace", package: "strace" };

/// The server that the tests must not be locked out of.
pub const SSHD: Tool = Tool { program: "sshd", package: "openssh-server" };
/// Its client.
pub const SSH: Tool = Tool { program: "ssh", package: "openssh-client" };
/// Makes a Debian in a folder.
pub const MMDEBSTRAP: Tool = Tool { program: "mmdebstrap", package: "mmdebstrap" };
/// Makes a disk of a folder.
pub const MKE2FS: Tool = Tool { program: "mke2fs", package: "e2fsprogs" };
/// Judges units.
pub const SYSTEMD_ANALYZE: Tool = Tool { program: "systemd-analyze", package: "systemd" };
/// Maps and links, as another program would make them.
pub const BPFTOOL: Tool = Tool { program: "bpftool", package: "bpftool" };

/// A terminal whose screen can be read.
pub const TMUX: Tool = Tool { program: "tmux", package: "tmux" };
/// Packets as another program captures them.
pub const TCPDUMP: Tool = Tool { program: "tcpdump", package: "tcpdump" };
/// The program that reads the metrics and checks alerts.
pub const PROMETHEUS: Tool = Tool { program: "prometheus", package: "prometheus" };
/// Bans whom logs complain of.
pub const FAIL2BAN: Tool = Tool { program: "fail2ban-server", package: "fail2ban" };
/// Carries out the decisions of `CrowdSec`.
pub const CROWDSEC: Tool = Tool { program: "crowdsec-custom-bouncer", package: "crowdsec-custom-bouncer" };
/// Puts files on machines.
pub const ANSIBLE: Tool = Tool { program: "ansible-playbook", package: "ansible-core" };

/// Features of an interface, switched.
pub const ETHTOOL: Tool = Tool { program: "ethtool", package: "ethtool" };

/// The stateless XDP filter that others are compared with.
pub const XDP_FILTER: Tool = Tool { program: "xdp-filter", package: "xdp-tools" };

/// Streams of bytes, as fast as they go.
pub const IPERF3: Tool = Tool { program: "iperf3", package: "iperf3" };

/// A compiler for amd64, and the C library that its programs are linked with; the same for others.
pub const GCC_AMD64: Tool = Tool { program: "x86_64-linux-gnu-gcc", package: "gcc-x86-64-linux-gnu" };
/// See [`GCC_AMD64`].
pub const LIBC_AMD64: Tool = Tool { program: "/usr/x86_64-linux-gnu/lib/libc.a", package: "libc6-dev-amd64-cross" };
/// See [`GCC_AMD64`].
pub const GCC_ARM64: Tool = Tool { program: "aarch64-linux-gnu-gcc", package: "gcc-aarch64-linux-gnu" };
/// See [`GCC_AMD64`].
pub const LIBC_ARM64: Tool = Tool { program: "/usr/aarch64-linux-gnu/lib/libc.a", package: "libc6-dev-arm64-cross" };
/// See [`GCC_AMD64`].
pub const GCC_ARMHF: Tool = Tool { program: "arm-linux-gnueabihf-gcc", package: "gcc-arm-linux-gnueabihf" };
/// See [`GCC_AMD64`].
pub const LIBC_ARMHF: Tool = Tool { program: "/usr/arm-linux-gnueabihf/lib/libc.a", package: "libc6-dev-armhf-cross" };
/// Judges packages.
pub const LINTIAN: Tool = Tool { program: "lintian", package: "lintian" };
/// Shows manual pages, and complains about them.
pub const MAN: Tool = Tool { program: "man", package: "man-db" };
/// A shell that completions are made for.
pub const ZSH: Tool = Tool { program: "zsh", package: "zsh" };
/// Another.
pub const FISH: Tool = Tool { program: "fish", package: "fish" };
/// Scans ports.
pub const NMAP: Tool = Tool { program: "nmap", package: "nmap" };
/// Makes IPv4 packets with odd flags, pieces and options.
pub const HPING: Tool = Tool { program: "hping3", package: "hping3" };
/// Tries what gets past IPv6 firewalls.
pub const THC_IPV6: Tool = Tool { program: "atk6-firewall6", package: "thc-ipv6" };
/// Makes odd IPv6 packets.
pub const IPV6_TOOLKIT: Tool = Tool { program: "tcp6", package: "ipv6toolkit" };
/// Makes packets of any shape.
pub const SCAPY: Tool = Tool { program: "scapy3", package: "python3-scapy" };
/// Judges shell scripts.
pub const SHELLCHECK: Tool = Tool { program: "shellcheck", package: "shellcheck" };

/// Packs what a guest finds in its memory.
pub const CPIO: Tool = Tool { program: "cpio", package: "cpio" };
/// Knows which of a kernel's modules need which.
pub const KMOD: Tool = Tool { program: "modprobe", package: "kmod" };
/// Unpacks modules.
pub const XZ: Tool = Tool { program: "xz", package: "xz-utils" };
/// Another that does.
pub const ZSTD: Tool = Tool { program: "zstd", package: "zstd" };

/// Has apt wait for another one that is at work, as at boot.
const WAIT_FOR_LOCK: [&str; 2] = ["-o", "DPkg::Lock::Timeout=600"];

/// Install the packages of those programs that are not there, or say what to type.
pub fn provide(tools: &[Tool]) -> Result<()> {
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
        bail!("programs are missing; on Debian, install them: {}", command::line(&install(&missing)));
    }
    if root::is_root() {
        eprintln!("programs are missing; updating the package lists: apt-get update");
        command::output(Command::new("apt-get").args(["update", "--quiet"]))?;
    }
    missing.retain(|package| *package != DOCKER_CLI.package || is_known(package));
    let mut install = install(&missing);
    if !root::is_root() {
        bail!("programs are missing; type `sudo apt-get update && sudo {}`", command::line(&install));
    }
    if Path::new("/run/systemd/system").exists() {
        for (package, service) in [
            (DOCKER.package, "docker"),
            (SSHD.package, "ssh"),
            (PROMETHEUS.package, "prometheus"),
            (FAIL2BAN.package, "fail2ban"),
            (CROWDSEC.package, "crowdsec-custom-bouncer"),
        ] {
            if missing.contains(&package) {
                eprintln!("installing {package} starts its service; `systemctl disable --now {service}` stops it");
            }
        }
    }
    eprintln!("installing them: {}", command::line(&install));
    command::output(install.args(WAIT_FOR_LOCK)).map(drop)
}

fn is_known(package: &str) -> bool {
    command::output(Command::new("apt-cache").args(["show", package])).is_ok()
}

/// The path of a program, even in folders that only root's shell searches.
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

/// Whether this is Debian or a system made from it.
pub fn is_debian() -> bool {
    let family = ["ID", "ID_LIKE"].into_iter().filter_map(os_release);
    family.flat_map(|names| names.split(' ').map(str::to_owned).collect::<Vec<_>>()).any(|name| name == "debian")
        && Path::new("/usr/bin/apt-get").exists()
}

/// A field of `/etc/os-release`, os-release(5).
#[must_use]
pub fn os_release(key: &str) -> Option<String> {
    field(&fs::read_to_string("/etc/os-release").ok()?, key)
}

fn field(release: &str, key: &str) -> Option<String> {
    let lines = release.lines().filter_map(|line| line.split_once('='));
    lines.into_iter().find(|(name, _)| *name == key).map(|(_, value)| value.trim_matches('"').into())
}

#[cfg(test)]
mod tests {
    use super::*;

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
