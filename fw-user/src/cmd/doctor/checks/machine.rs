//! Checks of the machine: kernel, privileges and leftovers.

use std::{fs, path::Path};

use aya::util::KernelVersion;
use nix::sys::statvfs::{FsFlags, statvfs};

use crate::{
    bans::store::{self, Standing},
    cmd::doctor::checks::Finding,
    error::{ConfigError, Error, HostError, KernelError, Result},
    host::{connections, privilege, systemd::boot},
    kernel::{attach::remove, mount, object, pins::Pins, trust},
};

/// Look at the machine.
#[must_use]
pub(crate) fn examine(pins: &Pins) -> Vec<Finding> {
    let mut findings = vec![kernel(), egress(), jit(), btf(), capabilities(), bpffs(pins)];
    findings.extend(strangers(pins));
    findings.extend(leftovers(pins));
    findings.push(connections());
    findings.push(bans(pins));
    findings.extend(switched_off());
    findings.extend(sysctls());
    findings
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn kernel() -> Finding {
    let release = read("/proc/sys/kernel/osrelease").unwrap_or_default();
    match object::kernel_version() {
        Ok(_) => Finding::ok("kernel", release),
        Err(error) => Finding::bad("kernel", error.to_string()).fix("install kernel 5.10 or newer"),
    }
}

/// The open ports of other interfaces are unknown.
pub(crate) fn blind(error: &Error) -> Finding {
    Finding::note("open", format!("cannot tell whether another interface is open: {error}"))
}

fn egress() -> Finding {
    let has_tcx = object::kernel_version().is_ok_and(|kernel| kernel >= KernelVersion::new(6, 6, 0));
    Finding::ok("replies", if has_tcx { "tracked by TCX" } else { "tracked by clsact; TCX needs kernel 6.6" })
}

fn jit() -> Finding {
    match read("/proc/sys/net/core/bpf_jit_enable").as_deref() {
        Some("0") => Finding::note("JIT", "off: the kernel interprets the filter, about ten times slower")
            .fix("sysctl -w net.core.bpf_jit_enable=1"),
        Some(_) => Finding::ok("JIT", "on"),
        None => Finding::ok("JIT", "visible only in the initial network namespace"),
    }
}

fn btf() -> Finding {
    let has_btf = Path::new("/sys/kernel/btf/vmlinux").exists();
    Finding::ok("BTF", if has_btf { "present" } else { "absent, not needed" })
}

fn capabilities() -> Finding {
    match privilege::check() {
        Ok(()) => Finding::ok("privileges", "complete"),
        Err(error @ Error::Host(HostError::UserNamespace)) => {
            Finding::bad("privileges", error.to_string()).fix("sudo fw-user doctor, on the host")
        }
        Err(error) => Finding::bad("privileges", error.to_string()).fix("sudo fw-user doctor"),
    }
}

fn bpffs(pins: &Pins) -> Finding {
    const ABOUT: &str = "BPF file system";
    let path = pins.bpffs().display();
    let is_read_only = statvfs(pins.bpffs()).is_ok_and(|stat| stat.flags().contains(FsFlags::ST_RDONLY));
    if !pins.is_on_bpffs() {
        return match mount::check_place(pins.bpffs()) {
            Err(error @ Error::Kernel(KernelError::NotForBpffs { .. })) => {
                Finding::bad(ABOUT, error.to_string()).fix(format!("ls {path}"))
            }
            _ => Finding::note(ABOUT, format!("none at {path}; `attach` mounts one"))
                .fix(format!("mount -t bpf -o mode=700 bpf {path}")),
        };
    }
    match trust::why_not(pins.bpffs()) {
        Ok(None) => {}
        Ok(Some(why)) => {
            return Finding::bad(ABOUT, format!("other users could take pins away: {why}"))
                .fix(format!("chown root {path} && chmod 700 {path}"));
        }
        Err(error) => return Finding::note(ABOUT, format!("cannot check: {error}")),
    }
    if is_read_only {
        Finding::bad(ABOUT, format!("{path} is mounted read-only: nothing there can be opened or changed"))
            .fix(format!("mount -o remount,rw {path}"))
    } else if let Some(mode) = trust::open_to_others(pins.bpffs()) {
        let found = format!("other users can make files in {path} (mode {mode:o}); `attach` moves what is in its way");
        Finding::bad(ABOUT, found).fix(format!("chmod 700 {path}"))
    } else {
        Finding::ok(ABOUT, format!("{path}"))
    }
}

/// Files in our folders, or in their place, that are not pins.
fn strangers(pins: &Pins) -> Vec<Finding> {
    const ABOUT: &str = "pins";
    let look = || -> Result<Vec<Finding>> {
        let remove = |path: &Path| format!("rm -r {}", path.display());
        let intruders = pins.intruders()?;
        let mut found: Vec<Finding> = intruders
            .iter()
            .map(|intruder| Finding::bad(ABOUT, intruder.to_string()).fix(remove(&intruder.path)))
            .collect();
        for of_abi in pins.all()? {
            for name in of_abi.interfaces()? {
                let strangers = remove::strangers(&of_abi, &name)?.into_iter();
                let strangers = strangers.filter(|path| !intruders.iter().any(|intruder| intruder.path == *path));
                found.extend(strangers.map(|path| {
                    let words = format!("{} was not created by fw-user", path.display());
                    Finding::bad(ABOUT, words).fix(remove(&path))
                }));
            }
        }
        found.extend(trust::moved_aside(pins.bpffs())?.into_iter().map(|path| {
            let words = format!("{} stood in the place of a folder of fw-user, and was moved aside", path.display());
            Finding::note(ABOUT, words).fix(remove(&path))
        }));
        Ok(found)
    };
    match look() {
        Ok(found) if found.is_empty() => vec![Finding::ok(ABOUT, "only those of fw-user")],
        Ok(found) => found,
        Err(error) => vec![Finding::note(ABOUT, format!("cannot check: {error}"))],
    }
}

/// Leftovers of a killed command that belong to no interface.
fn leftovers(pins: &Pins) -> Option<Finding> {
    let is_left = |of_abi: &Pins| of_abi.root().is_dir() && of_abi.interfaces().is_ok_and(|names| names.is_empty());
    let left: Vec<String> = pins
        .all()
        .ok()?
        .iter()
        .filter(|of_abi| is_left(of_abi))
        .map(|of_abi| of_abi.root().display().to_string())
        .collect();
    let found = format!("{} is left over from an interface that is gone; it does no harm", left.join(" and "));
    (!left.is_empty()).then(|| Finding::note("leftovers", found).fix("fw-user detach --all"))
}

fn bans(pins: &Pins) -> Finding {
    match store::standing(pins) {
        Ok(Standing { are_in_force: false, .. }) => {
            Finding::bad("bans", "the last change of the bans was interrupted; the kernel has other bans")
                .fix("fw-user bans")
        }
        Ok(Standing { count: 0, .. }) => Finding::ok("bans", "none"),
        Ok(Standing { count, .. }) if store::is_attached(pins) => Finding::ok("bans", format!("{count} networks")),
        Ok(Standing { count, .. }) => Finding::ok("bans", format!("{count} networks, from the next `attach` on")),
        Err(error @ Error::Config(ConfigError::Ledger { .. })) => {
            let path = pins.state().map(|folder| folder.join(store::FILE)).unwrap_or_default();
            Finding::bad("bans", error.to_string()).fix(format!("mv {0} {0}.damaged", path.display()))
        }
        Err(error) => Finding::note("bans", format!("cannot be read: {error}")),
    }
}

fn connections() -> Finding {
    match connections::outward() {
        Ok(open) => Finding::ok("connections", format!("{} outbound, which `attach` keeps", open.len())),
        Err(error) => {
            Finding::note("connections", format!("cannot be listed, so `attach` would cut the open ones: {error}"))
        }
    }
}

/// Anything that prevents attaching at boot.
fn switched_off() -> Vec<Finding> {
    let mut found: Vec<Finding> = boot::OFF_FILES
        .into_iter()
        .filter(|path| Path::new(path).exists())
        .map(|path| Finding::bad("boot", format!("{path} prevents attaching at boot")).fix(format!("rm {path}")))
        .collect();
    if boot::has_off_word() {
        let fix = "remove the word from /boot/firmware/cmdline.txt or the boot loader's configuration";
        found
            .push(Finding::bad("boot", "fw-user=off on the kernel's command line prevents attaching at boot").fix(fix));
    }
    if found.is_empty() {
        found.push(Finding::ok("boot", "nothing prevents attaching"));
    }
    found
}

fn sysctls() -> Vec<Finding> {
    let mut found = Vec::new();
    let routes = read("/proc/sys/net/ipv4/ip_forward").as_deref() == Some("1");
    found.push(Finding::ok("routing", if routes { "on, as Docker needs it" } else { "off" }));
    found.push(match read("/proc/sys/kernel/unprivileged_bpf_disabled").as_deref() {
        Some("0") => Finding::note("unprivileged BPF", "every user may load BPF programs")
            .fix("sysctl -w kernel.unprivileged_bpf_disabled=1"),
        _ => Finding::ok("unprivileged BPF", "off"),
    });
    found
}
