//! The test stand for traffic: a host and another machine on its LAN, each on a CPU of its own.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use fw_tests::lab::{Lab, Namespace};
use nix::{
    time::{ClockId, clock_getcpuclockid},
    unistd::Pid,
};
use procfs::{FromRead as _, net::InterfaceDeviceStatus, process::all_processes};

use super::measure::{self, pin};

/// The interface between the two, on either side.
pub(super) const INTERFACE: &str = "eth0";
/// The host's address on the Ethernet. One that is known beforehand can be written into frames.
pub(super) const HOST_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// The other machine's.
pub(super) const LAN_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// The assignment of CPUs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cpus {
    pub(super) lan: usize,
    pub(super) host: usize,
}

impl Cpus {
    /// Two that this process may use.
    pub(super) fn choose() -> Result<Self> {
        match measure::cpus()?[..] {
            [lan, host, ..] => Ok(Self { lan, host }),
            _ => bail!("traffic is measured with two CPUs: one sends, one receives"),
        }
    }
}

/// The two machines.
pub(super) struct Stand {
    pub(super) lab: Lab,
    pub(super) cpus: Cpus,
    receiver: Vec<ClockId>,
}

impl Stand {
    /// Make a stand of a [`Lab`], with so many queues between the two machines.
    ///
    /// A kernel thread per queue handles the packets that the host receives. It can be bound to a CPU, and its CPU time is known. Like most drivers
    /// of network cards it joins segments of a stream (GRO).
    pub(super) fn new(lab: Lab, cpus: Cpus, queues: usize) -> Result<Self> {
        // The host first: where it has native XDP, the other must not send by more queues than it has.
        for (place, mac) in [(&lab.pi, HOST_MAC), (&lab.lan, LAN_MAC)] {
            place.run(&format!("ip link set {INTERFACE} address {}", shown(mac)))?;
            place.run(&format!("ethtool -L {INTERFACE} rx {queues} tx {queues}"))?;
        }
        know_neighbour(&lab.lan, "192.0.2.1", HOST_MAC)?;
        know_neighbour(&lab.pi, "192.0.2.10", LAN_MAC)?;
        let receiver = receive_in_threads(&lab.pi, &lab.lan, cpus.host)?;
        ensure!(receiver.len() == queues, "{queues} queues have {} threads", receiver.len());
        Ok(Self { lab, cpus, receiver })
    }

    /// Have the LAN's machine receive in threads as well, lest what it does with the host's packets be done by the host's CPU.
    pub(super) fn receive_apart(&self) -> Result<()> {
        receive_in_threads(&self.lab.lan, &self.lab.pi, self.cpus.lan).map(drop)
    }

    /// The counters of the host's interface and its threads so far.
    pub(super) fn receipts(&self) -> Result<Receipts> {
        let status = self.lab.pi.enter(|| InterfaceDeviceStatus::from_file("/proc/thread-self/net/dev"))?;
        let interface = status.0.get(INTERFACE).with_context(|| format!("the host has no {INTERFACE}"))?;
        let mut cpu = Duration::ZERO;
        for clock in &self.receiver {
            cpu += Duration::from(clock.now()?);
        }
        Ok(Receipts { handled: interface.recv_packets, overflowed: interface.recv_drop, cpu })
    }

    /// Have the programs of the LAN's machine send by this queue alone.
    pub(super) fn send_by(&self, queue: usize, queues: usize) -> Result<()> {
        for other in 0..queues {
            let cpus = if other == queue { cpu_mask(self.cpus.lan) } else { "0".to_owned() };
            write_sysfs(&self.lab.lan, &format!("/sys/class/net/{INTERFACE}/queues/tx-{other}/xps_cpus"), &cpus)?;
        }
        Ok(())
    }
}

/// The packets that an interface has received since it was created.
#[derive(Clone, Copy)]
pub(super) struct Receipts {
    /// Packets that were taken from its queues.
    pub(super) handled: u64,
    /// Packets that found a queue full, before any filter saw them.
    pub(super) overflowed: u64,
    /// The time that its kernel threads took.
    pub(super) cpu: Duration,
}

/// The same of some time.
#[derive(Clone, Copy)]
pub(super) struct Received {
    pub(super) handled: f64,
    pub(super) overflowed: f64,
    pub(super) cpu: Duration,
}

impl Receipts {
    /// The packets since then.
    #[expect(clippy::cast_precision_loss, reason = "nobody sends 2^53 packets meanwhile")]
    pub(super) fn since(self, earlier: Self) -> Received {
        Received {
            handled: (self.handled - earlier.handled) as f64,
            overflowed: (self.overflowed - earlier.overflowed) as f64,
            cpu: self.cpu.saturating_sub(earlier.cpu),
        }
    }
}

/// Spare a machine from asking where a neighbour is: a flood crowds out ARP as well.
pub(super) fn know_neighbour(place: &Namespace, address: &str, mac: [u8; 6]) -> Result<()> {
    place.run(&format!("ip neigh replace {address} lladdr {} dev {INTERFACE} nud permanent", shown(mac))).map(drop)
}

/// Have threads on a CPU handle what arrives, instead of whichever CPU is told first. Returns their accounts.
fn receive_in_threads(place: &Namespace, from: &Namespace, cpu: usize) -> Result<Vec<ClockId>> {
    // Without GRO a veth has none. With TSO on the other side, most packets would go past them, and none would have a wire's size.
    place.run(&format!("ethtool -K {INTERFACE} gro on"))?;
    from.run(&format!("ethtool -K {INTERFACE} tso off"))?;
    let before = threads_of_interfaces()?;
    write_sysfs(place, &format!("/sys/class/net/{INTERFACE}/threaded"), "1")?;
    let mut accounts = Vec::new();
    for &thread in threads_of_interfaces()?.difference(&before) {
        pin(thread, cpu)?;
        accounts.push(clock_getcpuclockid(Pid::from_raw(thread)).context("a kernel thread is gone")?);
    }
    Ok(accounts)
}

fn threads_of_interfaces() -> Result<BTreeSet<i32>> {
    let prefix = format!("napi/{INTERFACE}");
    let stats = all_processes()?.filter_map(|process| process.and_then(|process| process.stat()).ok());
    Ok(stats.filter(|stat| stat.comm.starts_with(&prefix)).map(|stat| stat.pid).collect())
}

/// Write to a file below `/sys`, as it is for those in a network namespace: a mount shows the one that it was made in.
fn write_sysfs(place: &Namespace, file: &str, value: &str) -> Result<()> {
    let script = format!("mount -t sysfs sysfs /sys && echo {value} > {file}");
    fw_tests::lab::command::run(place.command("unshare").args(["--mount", "--", "sh", "-c", &script])).map(drop)
}

/// A CPU as sysfs has it: a bit among groups of 32, the last ones first.
fn cpu_mask(cpu: usize) -> String {
    format!("{:x}{}", 1_u32 << (cpu % 32), ",00000000".repeat(cpu / 32))
}

fn shown(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_is_a_bit_in_a_group_of_32() {
        assert_eq!(cpu_mask(1), "2");
        assert_eq!(cpu_mask(36), "10,00000000");
    }

    #[test]
    fn an_address_has_colons() {
        assert_eq!(shown([2, 0, 0, 0xab, 0, 1]), "02:00:00:ab:00:01");
    }
}
