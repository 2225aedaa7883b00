//! Network namespaces without a name: they are gone when the last thing that uses them is, however the test ends.

use std::{
    fs::{self, File},
    os::fd::AsRawFd,
    process::{self, Command},
    thread,
};

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns, unshare};

use super::command;

/// A network namespace that is held open by a file descriptor of this process.
#[derive(Debug)]
pub struct Namespace {
    handle: File,
}

impl Namespace {
    /// A new namespace with nothing but a loopback interface that is up.
    ///
    /// # Errors
    /// Not root, or no network namespaces in this kernel.
    pub fn new() -> Result<Self> {
        let handle = thread::scope(|scope| {
            // Only this thread leaves for the new namespace, and it ends with the block.
            let thread = scope.spawn(|| {
                unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace: the lab needs root")?;
                File::open("/proc/thread-self/ns/net").context("cannot open the new network namespace")
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        let namespace = Self { handle };
        // Duplicate address detection and announcements take seconds and test nothing here.
        namespace.sysctl("net/ipv6/conf/all/accept_dad", "0")?;
        namespace.sysctl("net/ipv6/conf/default/accept_dad", "0")?;
        namespace.sysctl("net/ipv6/conf/default/router_solicitations", "0")?;
        // Sockets of type ICMP datagram, for ping without a program.
        namespace.sysctl("net/ipv4/ping_group_range", "0 0")?;
        namespace.run("ip link set lo up")?;
        Ok(namespace)
    }

    /// The namespace that a process lives in: a Docker container's.
    ///
    /// # Errors
    /// The process is gone.
    pub fn of_process(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/ns/net");
        Ok(Self { handle: File::open(&path).with_context(|| format!("cannot open {path}"))? })
    }

    /// A path that names the namespace for other programs (`ip link ... netns PATH`, `nsenter --net=PATH`).
    #[must_use]
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", process::id(), self.handle.as_raw_fd())
    }

    /// Do something in the namespace, on a thread of its own. Sockets made there stay there, wherever they are used.
    ///
    /// # Panics
    /// When `action` panics, or the namespace cannot be entered.
    pub fn enter<T: Send>(&self, action: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                setns(&self.handle, CloneFlags::CLONE_NEWNET).expect("a namespace that is held open can be entered");
                action()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// A command that will run in the namespace. `nsenter` leaves `/sys/fs/bpf` as it is, which `ip netns exec` hides.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path())).arg("--").arg(program);
        command
    }

    /// Run a command line, words parted by blanks, and return what it printed.
    ///
    /// # Errors
    /// As [`command::run`].
    pub fn run(&self, line: &str) -> Result<String> {
        let mut words = line.split_whitespace();
        let program = words.next().context("an empty command line")?;
        command::run(self.command(program).args(words))
    }

    /// Feed a rule set to `nft`.
    ///
    /// # Errors
    /// As [`command::run`].
    pub fn nft(&self, rules: &str) -> Result<()> {
        command::run_with_input(self.command("nft").args(["-f", "-"]), rules.as_bytes()).map(drop)
    }

    /// Set a kernel parameter below `/proc/sys`.
    ///
    /// # Errors
    /// The kernel has no such parameter, or refuses the value.
    pub fn sysctl(&self, name: &str, value: &str) -> Result<()> {
        let path = format!("/proc/sys/{name}");
        self.enter(|| fs::write(&path, value)).with_context(|| format!("cannot write {value:?} to {path}"))
    }
}
