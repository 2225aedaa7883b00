//! Faults at every step of a command: it is killed, or the kernel refuses. strace(1) does both.

use std::{collections::BTreeMap, fmt, fs, process::Output};

use anyhow::{Context, Result, ensure};

use super::Lab;

/// System calls by which `fw-user` changes something, `?` before those that not every architecture has. Of bpf(2) only some commands do.
const CHANGING: &str = "bpf,?chmod,fsync,membarrier,mount,?mkdir,mkdirat,?rename,?renameat,renameat2,?rmdir,?unlink,unlinkat,sendto,exit_group";
/// The option of strace(1) that leaves all other system calls alone, at half the time. With it strace 6.1 injects errors, but no signals.
const QUICKLY: &str = "--seccomp-bpf";
/// The mark of netlink(7) requests that only look.
const DUMP: &str = "NLM_F_DUMP";
/// Those of bpf(2) that only look, or that matter to the loading process alone.
const LOOKING: [&str; 9] = [
    "BPF_BTF_LOAD",
    "BPF_MAP_FREEZE",
    "BPF_MAP_GET_NEXT_KEY",
    "BPF_MAP_LOOKUP_ELEM",
    "BPF_OBJ_GET",
    "BPF_OBJ_GET_INFO_BY_FD",
    "BPF_PROG_GET_NEXT_ID",
    "BPF_PROG_GET_FD_BY_ID",
    "BPF_PROG_QUERY",
];

/// The fault that replaces a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process is killed before it.
    Kill,
    /// The kernel refuses it: out of memory.
    Refuse,
}

/// A step of a command: the so-many-th call of a system call, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    call: String,
    count: usize,
    argument: String,
    looks: bool,
}

impl Step {
    /// The system call and what it is asked for: steps of a kind differ in what they are done to.
    #[must_use]
    pub fn kind(&self) -> (&str, &str) {
        (&self.call, &self.argument)
    }

    /// Whether it asks netlink and changes nothing. The command may end without the answer; a kill there is one before the next step.
    #[must_use]
    pub fn looks(&self) -> bool {
        self.looks
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.call, self.count, self.argument)
    }
}

impl Lab {
    /// Run `fw-user`, and list the steps by which it changes something, in their order.
    ///
    /// # Errors
    /// It failed, or strace did.
    pub fn steps(&self, args: &[&str]) -> Result<Vec<Step>> {
        let log = tempfile::NamedTempFile::new()?;
        let output = self.traced(&[QUICKLY, "-o", log.path().to_str().context("a path in UTF-8")?], args)?;
        ensure!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        let mut steps = Vec::new();
        for line in fs::read_to_string(log.path())?.lines() {
            // With -f every line begins with a process ID.
            let Some((call, rest)) = line.split_whitespace().nth(1).and_then(|word| word.split_once('(')) else {
                continue;
            };
            let count = counts.entry(call.to_owned()).or_default();
            *count += 1;
            let argument = rest.trim_end_matches([',', ')']);
            if !(call == "bpf" && LOOKING.contains(&argument)) {
                let looks = call == "sendto" && line.contains(DUMP);
                steps.push(Step { call: call.to_owned(), count: *count, argument: argument.to_owned(), looks });
            }
        }
        ensure!(steps.len() > 1, "{args:?} changes nothing: {steps:?}");
        Ok(steps)
    }

    /// Run `fw-user` with a fault at one of its steps.
    ///
    /// # Errors
    /// strace cannot be run.
    pub fn fw_with_fault(&self, args: &[&str], step: &Step, fault: Fault) -> Result<Output> {
        let Step { call, count, .. } = step;
        match fault {
            Fault::Kill => {
                self.traced(&["-o", "/dev/null", "-e", &format!("inject={call}:signal=KILL:when={count}")], args)
            }
            Fault::Refuse => {
                let refuse = format!("inject={call}:error=ENOMEM:when={count}");
                self.traced(&[QUICKLY, "-o", "/dev/null", "-e", &refuse], args)
            }
        }
    }

    fn traced(&self, options: &[&str], args: &[&str]) -> Result<Output> {
        let mut strace = self.pi.command("strace");
        strace.args(["-f", "-qq", "-e", &format!("trace={CHANGING}")]).args(options);
        strace.arg(self.fw.program());
        self.fw.finish(&mut strace, args);
        strace.output().context("cannot run strace")
    }
}
