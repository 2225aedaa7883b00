//! A network namespace for one thread: the world of [`crate::world`] as the kernel knows it.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use fw_common::{abi::Uppers, wire::ethernet::Tags};
use nix::{
    mount::{MsFlags, mount},
    net::if_::if_nametoindex,
    sched::{CloneFlags, CpuSet, sched_getaffinity, sched_setaffinity, unshare},
    unistd::Pid,
};

use crate::world::{INTERFACE, IP_COMMANDS, Routing, VLAN_INTERFACE, vlan_tags};

const BPFFS: &str = "/sys/fs/bpf";

/// The namespaces of the thread that entered them; they go when it ends.
pub struct Namespace {
    cpu: u32,
    ifindex: u32,
    uppers: BTreeMap<u32, Uppers>,
    routing: Routing,
}

impl Namespace {
    /// Move this thread into network and mount namespaces of its own, with the world's interfaces, addresses and routes and a BPF file
    /// system, and keep it on one CPU.
    ///
    /// # Errors
    /// Whatever the kernel or `ip` refuses. Root is needed.
    pub fn enter() -> Result<Self> {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).context("new namespaces (root is needed)")?;
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).context("keeping mounts private")?;
        mount(Some("bpf"), BPFFS, Some("bpf"), MsFlags::empty(), none).context("mounting a BPF file system")?;
        let mut ip = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn().context("starting ip")?;
        ip.stdin.take().context("ip's input")?.write_all(IP_COMMANDS.as_bytes())?;
        ensure!(ip.wait()?.success(), "ip refused a command");
        let mut namespace = Self {
            cpu: stay_on_one_cpu()?,
            ifindex: if_nametoindex(INTERFACE).context("finding the interface")?,
            uppers: uppers()?,
            routing: Routing::Off,
        };
        namespace.set_routing(Routing::On)?;
        Ok(namespace)
    }

    /// The path of the BPF file system.
    #[must_use]
    pub fn bpffs(&self) -> PathBuf {
        BPFFS.into()
    }

    /// The CPU on which the thread stays.
    #[must_use]
    pub const fn cpu(&self) -> u32 {
        self.cpu
    }

    /// The index of the interface on which frames come in.
    #[must_use]
    pub const fn ifindex(&self) -> u32 {
        self.ifindex
    }

    /// On whose behalf frames come in, by tags.
    #[must_use]
    pub const fn uppers(&self) -> &BTreeMap<u32, Uppers> {
        &self.uppers
    }

    /// Make the host a router, or not.
    ///
    /// # Errors
    /// When a sysctl cannot be written.
    pub fn set_routing(&mut self, routing: Routing) -> Result<()> {
        if self.routing != routing {
            for (path, value) in routing.sysctls() {
                fs::write(path, value).with_context(|| format!("writing {path}"))?;
            }
            self.routing = routing;
        }
        Ok(())
    }
}

/// On whose behalf the world's link receives frames, by tags, in this thread's network namespace.
///
/// # Errors
/// There is no such link.
pub fn uppers() -> Result<BTreeMap<u32, Uppers>> {
    let index = |name| if_nametoindex(name).with_context(|| format!("finding {name}"));
    let (link, vlan) = (index(INTERFACE)?, index(VLAN_INTERFACE)?);
    let uppers = [
        (Tags::NONE, Uppers { network: link, others: [0; 3] }),
        (vlan_tags(), Uppers { network: vlan, others: [link, 0, 0] }),
    ];
    Ok(uppers.map(|(Tags(tags), uppers)| (tags, uppers)).into())
}

fn stay_on_one_cpu() -> Result<u32> {
    let this_thread = Pid::from_raw(0);
    let allowed = sched_getaffinity(this_thread)?;
    let cpu = (0..CpuSet::count()).find(|&cpu| allowed.is_set(cpu) == Ok(true)).context("no CPU to run on")?;
    let mut one = CpuSet::new();
    one.set(cpu)?;
    sched_setaffinity(this_thread, &one)?;
    Ok(u32::try_from(cpu)?)
}
