//! The case table over a real wire: frames are put on a veth, judged by the attached filter, and told by its counters.

use std::{collections::HashMap, fs, time::Duration};

use anyhow::Result;
use fw_common::policy::Policy;

use super::{
    Mode, Namespace, command,
    fw::FwUser,
    stats::{InterfaceStats, Stats},
    wait,
    wire::Wire,
};
use crate::{
    row::{Direction, Row},
    world::{self, Routing},
};

/// The table's world, with the far end of its cable in a namespace that says nothing by itself.
pub struct WireWorld {
    /// The command under test.
    pub fw: FwUser,
    host: Namespace,
    mode: Mode,
    /// The far end.
    outside: Wire,
    /// The host's end, for what the host sends.
    inside: Wire,
    _far: Namespace,
}

impl WireWorld {
    /// Make it.
    ///
    /// # Errors
    /// Not root, or no iproute2 or BPF here.
    pub fn new(mode: Mode) -> Result<Self> {
        let (host, far) = (Namespace::new()?, Namespace::new()?);
        far.sysctl("net/ipv6/conf/default/disable_ipv6", "1")?;
        far.sysctl("net/ipv6/conf/all/disable_ipv6", "1")?;
        command::run_with_input(host.command("ip").args(["-batch", "-"]), world::IP_COMMANDS.as_bytes())?;
        host.run(&format!("ip link set lan-peer netns {}", far.path()))?;
        far.run("ip link set lan-peer arp off up")?;
        let (outside, inside) = (far.wire("lan-peer")?, host.wire(world::INTERFACE)?);
        Ok(Self { fw: FwUser::new()?, host, mode, outside, inside, _far: far })
    }

    /// Attach with a policy.
    ///
    /// # Errors
    /// `attach` does not take it.
    pub fn attach(&self, policy: &Policy) -> Result<()> {
        let mut rules: Vec<String> = policy.rules().iter().map(ToString::to_string).collect();
        if rules.is_empty() {
            // No row has to do with this port, and an empty list is refused.
            rules.push("64999/dccp".to_owned());
        }
        let protocols: Vec<String> = policy.protocols.iter().map(u8::to_string).collect();
        let mode = self.mode.to_string();
        let (rules, protocols, forward) = (rules.join(","), protocols.join(","), policy.forward.to_string());
        let mut args = vec!["attach", world::INTERFACE, "--mode", &mode, "--allow", &rules, "--forward", &forward];
        if !protocols.is_empty() {
            args.extend(["--allow-proto", &protocols]);
        }
        self.fw(&args).map(drop)
    }

    /// Run `fw-user` on the host, and return what it printed.
    ///
    /// # Errors
    /// It failed.
    pub fn fw(&self, args: &[&str]) -> Result<String> {
        command::run(&mut self.fw.command(&self.host, args))
    }

    /// The counters.
    ///
    /// # Errors
    /// Nothing is attached.
    pub fn stats(&self) -> Result<InterfaceStats> {
        let stats: Stats = serde_json::from_str(&self.fw(&["stats", "--json"])?)?;
        Ok(stats.interface(world::INTERFACE)?.clone())
    }

    /// Make the host a router, or not.
    ///
    /// # Errors
    /// When a sysctl cannot be written.
    pub fn set_routing(&self, routing: Routing) -> Result<()> {
        self.host.enter(|| routing.sysctls().into_iter().try_for_each(|(path, value)| fs::write(path, value)))?;
        Ok(())
    }

    /// Send a frame to the host, and return the counters when it has been judged.
    ///
    /// # Errors
    /// It cannot be sent, or is not judged.
    pub fn deliver(&self, frame: &[u8], before: &InterfaceStats) -> Result<InterfaceStats> {
        self.outside.send(frame)?;
        let judged = |stats: &InterfaceStats| stats.passed.packets + stats.dropped.packets;
        wait::until("the frame to be judged", || Ok(Some(self.stats()?).filter(|now| judged(now) > judged(before))))
    }

    /// What becomes of a row, in words, if it is not what the table says.
    ///
    /// # Errors
    /// As [`WireWorld::deliver`].
    pub fn play(&self, row: &Row) -> Result<Option<String>> {
        for earlier in &row.earlier {
            match earlier.direction {
                Direction::Egress => self.inside.send(&earlier.frame)?,
                Direction::Ingress => drop(self.deliver(&earlier.frame, &self.stats()?)?),
            }
        }
        let before = self.stats()?;
        let after = self.deliver(&row.frame, &before)?;
        let said = Change::between(&before, &after);
        let wanted = Change::of(row);
        Ok((said != wanted).then(|| format!("the wire says {said:?}, the table {wanted:?}")))
    }
}

/// What one frame changed in the counters.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    /// Reasons, each with packets and bytes.
    pub reasons: Vec<(String, u64, u64)>,
    /// Ports by protocol and number, each with what passed and what was dropped.
    pub ports: Vec<(String, u16, u64, u64)>,
}

impl Change {
    /// From the counters before and after.
    #[must_use]
    pub fn between(before: &InterfaceStats, after: &InterfaceStats) -> Self {
        let reasons = after.reasons.iter().filter_map(|(name, now)| {
            let then = before.reason(name);
            (*now != then).then(|| (name.clone(), now.packets - then.packets, now.bytes - then.bytes))
        });
        // Some policies open every port, so they are not searched one by one.
        let earlier: HashMap<_, _> =
            before.ports.iter().map(|port| ((&port.proto, port.port), (port.passed, port.dropped))).collect();
        let ports = after.ports.iter().filter_map(|now| {
            let then = earlier.get(&(&now.proto, now.port)).copied().unwrap_or_default();
            let change = (now.passed - then.0, now.dropped - then.1);
            (change != (0, 0)).then(|| (now.proto.clone(), now.port, change.0, change.1))
        });
        Self { reasons: reasons.collect(), ports: ports.collect() }
    }

    fn of(row: &Row) -> Self {
        let passes = row.reason.verdict() == fw_common::Verdict::Pass;
        let ports =
            row.port.map(|(protocol, port)| (protocol.to_string(), port, u64::from(passes), u64::from(!passes)));
        Self { reasons: vec![(row.reason.to_string(), 1, row.frame.len() as u64)], ports: ports.into_iter().collect() }
    }
}

/// Whether the kernel lets these frames be sent, the clock need not be turned back, and `attach` takes the policy.
#[must_use]
pub fn fits_a_wire(row: &Row) -> bool {
    const MTU: usize = 1500;
    let sizes = [&row.frame].into_iter().chain(row.earlier.iter().map(|earlier| &earlier.frame)).map(Vec::len);
    let protocols: Vec<String> = row.policy.protocols.iter().map(u8::to_string).collect();
    // An IPv6 extension header is nothing to allow, and statistics of thousands of open ports take their time.
    let policy_fits = fw_user::spec::protocols(&protocols).is_ok()
        && row.policy.rules().iter().all(|rule| rule.ports.last() - rule.ports.first() < 1000);
    policy_fits && row.age() == Duration::ZERO && sizes.into_iter().all(|size| (14..=14 + MTU).contains(&size))
}
