//! `fw-user` on the lab's Pi: commands that must succeed, commands that must be refused, and what the counters say.

use std::fmt;

use anyhow::{Context, Result, ensure};
use aya::programs::{SchedClassifier, TcAttachType};

use super::{
    Lab, command,
    mode::{Mode, Refusal},
    stats::{InterfaceStats, Stats},
    wait,
};

impl Lab {
    /// Run `fw-user` on the Pi, and return what it printed.
    ///
    /// # Errors
    /// It failed, or complained.
    pub fn fw(&self, args: &[&str]) -> Result<String> {
        command::run(&mut self.fw.command(&self.pi, args))
    }

    /// Run `fw-user` on the Pi, where it must fail.
    ///
    /// # Errors
    /// It did not.
    pub fn fw_fails(&self, args: &[&str]) -> Result<Refusal> {
        let output = self.fw.command(&self.pi, args).output()?;
        Refusal::of(&output).with_context(|| format!("fw-user {args:?}"))
    }

    /// Attach to the LAN's interface with an allow list.
    ///
    /// # Errors
    /// It failed, or complained.
    pub fn attach(&self, mode: Mode, allow: &str) -> Result<String> {
        self.fw(&["attach", "eth0", "--mode", &mode.to_string(), "--allow", allow])
    }

    /// The counters of an interface.
    ///
    /// # Errors
    /// Nothing is attached there, or the JSON is not as documented.
    pub fn stats(&self, interface: &str) -> Result<InterfaceStats> {
        let json = self.fw(&["stats", interface, "--json"])?;
        let stats: Stats = serde_json::from_str(&json).with_context(|| format!("stats --json printed {json}"))?;
        Ok(stats.interface(interface)?.clone())
    }

    /// Wait until the counters of the LAN's interface are as wanted, and return them.
    ///
    /// # Errors
    /// They do not get so.
    pub fn await_stats(
        &self,
        what: impl fmt::Display,
        fit: impl Fn(&InterfaceStats) -> bool,
    ) -> Result<InterfaceStats> {
        wait::until(what, || Ok(Some(self.stats("eth0")?).filter(&fit)))
    }

    /// The names of the programs at TC ingress of the LAN's interface, the first one first.
    ///
    /// # Errors
    /// As [`Lab::tc_ingress_of`].
    pub fn tc_ingress(&self) -> Result<Vec<String>> {
        self.tc_ingress_of("eth0")
    }

    /// The same of any interface.
    ///
    /// # Errors
    /// Whatever the kernel refuses. None where it has no TCX (before 6.6), or the interface is gone.
    pub fn tc_ingress_of(&self, interface: &str) -> Result<Vec<String>> {
        let programs = self.pi.enter(|| SchedClassifier::query_tcx(interface, TcAttachType::Ingress));
        let programs = programs.map(|(_, programs)| programs).unwrap_or_default();
        Ok(programs.iter().map(|program| program.name_as_str().unwrap_or_default().to_owned()).collect())
    }

    /// Check that nothing of the filter is left: no pin, no program or qdisc on any interface of the Pi, and nothing in `status`.
    ///
    /// # Errors
    /// Something is left.
    pub fn nothing_is_left_behind(&self) -> Result<()> {
        let pins = self.fw.pins()?;
        ensure!(pins.is_empty() && !self.fw.lock_folder().exists(), "pins are left: {pins:?}");
        let links = self.pi.run("ip -details link")?;
        ensure!(!links.contains("xdp"), "an XDP program is left: {links}");
        let listed = self.tc_ingress()?;
        ensure!(listed.is_empty(), "programs at TC ingress are left: {listed:?}");
        let qdiscs = self.pi.run("tc qdisc")?;
        ensure!(!qdiscs.contains("clsact"), "a qdisc is left: {qdiscs}");
        let status: serde_json::Value = serde_json::from_str(&self.fw(&["status", "--json"])?)?;
        ensure!(status["interfaces"] == serde_json::json!([]), "status says {status}");
        Ok(())
    }
}

/// Everything on the Pi that a command could change: pins, programs on interfaces, qdiscs, and the policies in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traces {
    pins: Vec<std::path::PathBuf>,
    programs: Vec<String>,
    qdiscs: String,
    status: String,
}

/// The XDP part of `ip -details link`. The rest, above all the carrier and a bridge's timers, changes by itself.
fn programs(links: &str) -> Vec<String> {
    let constant = |line: &str| {
        let mut words: Vec<&str> = line.split_whitespace().filter(|word| !word.starts_with('<')).collect();
        if let Some(at) = words.iter().position(|word| *word == "state") {
            words.drain(at..at + 2);
        }
        words.join(" ")
    };
    links.lines().filter(|line| line.contains("xdp")).map(constant).collect()
}

/// The output of `status`, without the seconds to confirm a change and without the processes that hold a link: a child that another test starts holds
/// copies of this process' descriptors until it calls exec.
fn constant(status: &str) -> String {
    let mut parts = status.split(", held by ");
    let first = parts.next().unwrap_or_default().to_owned();
    let status = parts.fold(first, |text, part| text + part.split_once("): ").map_or(part, |(_, rest)| rest));
    let parts = status.split("\"confirm_within\":").map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit()));
    parts.collect::<Vec<_>>().join("\"confirm_within\":")
}

impl Lab {
    /// The state of the Pi.
    ///
    /// # Errors
    /// `status` failed.
    pub fn traces(&self) -> Result<Traces> {
        let mut pins = self.fw.pins()?;
        pins.sort_unstable();
        let mut status: serde_json::Value = serde_json::from_str(&self.fw(&["status", "--json"])?)?;
        // Addresses and servers come and go by themselves.
        status.as_object_mut().context("status is an object")?.remove("unfiltered");
        Ok(Traces {
            pins,
            programs: programs(&self.pi.run("ip -details link")?).into_iter().chain(self.tc_ingress()?).collect(),
            qdiscs: self.pi.run("tc qdisc")?,
            status: constant(&status.to_string()),
        })
    }

    /// Run `fw-user` with bad input: it must end with this code, name the thing and the fix, and change nothing.
    ///
    /// # Errors
    /// It does otherwise.
    pub fn refuses(&self, args: &[&str], code: i32, words: &[&str]) -> Result<()> {
        let before = self.traces()?;
        let refusal = self.fw_fails(args)?;
        ensure!(refusal.code == code, "{args:?} ended with {}, not {code}: {}", refusal.code, refusal.message);
        for word in words {
            ensure!(refusal.message.contains(word), "{args:?} does not mention {word:?}: {}", refusal.message);
        }
        let after = self.traces()?;
        ensure!(after == before, "{args:?} failed, and changed something: {before:#?} {after:#?}");
        Ok(())
    }
}
