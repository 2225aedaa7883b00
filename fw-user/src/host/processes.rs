//! Processes in `/proc`. They may end while they are read, and may belong to a user whose files this process cannot read: unreadable processes are
//! left out.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsStr,
    path::Path,
};

use procfs::process::{FDTarget, Process as Proc, all_processes};

use crate::printable::printable;

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Process {
    /// Its ID in this PID namespace.
    pub pid: i32,
    /// Its printable name: up to 15 bytes, usually of the program's name.
    pub name: String,
    /// The user that it runs as.
    pub uid: u32,
}

/// The processes that have these sockets open, by inode: of several the one that started first, except process 1, which opens sockets for others.
pub(crate) fn holders(mut sockets: HashSet<u64>) -> HashMap<u64, Process> {
    // Each with its rank: process 1 last, then by start. Process IDs wrap around and say nothing.
    let mut holders: HashMap<u64, ((bool, u64), Process)> = HashMap::new();
    sockets.remove(&0);
    if sockets.is_empty() {
        // The search takes several system calls for each file that is open on this machine.
        return HashMap::new();
    }
    for process in all_processes().into_iter().flatten().flatten() {
        let open: Vec<u64> = open_sockets(&process).filter(|inode| sockets.contains(inode)).collect();
        if open.is_empty() {
            continue;
        }
        let (Ok(stat), Ok(uid)) = (process.stat(), process.uid()) else { continue };
        let rank = (process.pid == 1, stat.starttime);
        for inode in open {
            if holders.get(&inode).is_none_or(|(first, _)| rank < *first) {
                holders.insert(inode, (rank, Process { pid: process.pid, name: printable(&stat.comm), uid }));
            }
        }
    }
    holders.into_iter().map(|(inode, (_, process))| (inode, process)).collect()
}

/// The sockets of each process that has one of these open, except process 1, which opens sockets for others.
pub(crate) fn holding(sockets: &HashSet<u64>) -> Vec<HashSet<u64>> {
    let processes = all_processes().into_iter().flatten().flatten().filter(|process| process.pid != 1);
    let open = processes.map(|process| open_sockets(&process).collect::<HashSet<u64>>());
    open.filter(|open| !open.is_disjoint(sockets)).collect()
}

/// The sockets that a process has open.
pub(crate) fn open_sockets(process: &Proc) -> impl Iterator<Item = u64> {
    let files = process.fd().into_iter().flatten().flatten();
    files.filter_map(|file| match file.target {
        FDTarget::Socket(inode) => Some(inode),
        _ => None,
    })
}

/// This process, its parent, and so on.
pub(crate) fn ancestors() -> Vec<Proc> {
    let mut found: Vec<Proc> = Vec::new();
    let mut next = Proc::myself().ok();
    while let Some(process) = next {
        next = match process.stat() {
            // The children of an ended process are adopted. If IDs are reused meanwhile, a cycle must not hang this.
            Ok(stat) if stat.ppid > 0 && found.iter().all(|seen| seen.pid != stat.ppid) => Proc::new(stat.ppid).ok(),
            _ => None,
        };
        found.push(process);
    }
    found
}

/// Other processes of this program in this network namespace with this word on their command line.
pub(crate) fn siblings(word: &str) -> Vec<i32> {
    let Ok(own) = Proc::myself() else { return Vec::new() };
    let facts = |process: &Proc| {
        Some((process.stat().ok()?.comm, process.namespaces().ok()?.0.remove(OsStr::new("net"))?.identifier))
    };
    let same = facts(&own);
    let is_sibling = |process: &Proc| {
        process.pid != own.pid
            && same.is_some()
            && facts(process) == same
            && process.cmdline().is_ok_and(|words| words.iter().skip(1).any(|found| found == word))
    };
    all_processes().into_iter().flatten().flatten().filter(is_sibling).map(|process| process.pid).collect()
}

/// A variable in the environment that a process was started with.
pub(crate) fn variable(process: &Proc, name: &str) -> Option<String> {
    let environment = process.environ().ok()?;
    environment.get(Path::new(name).as_os_str())?.to_str().map(ToOwned::to_owned)
}
