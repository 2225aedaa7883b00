//! The case table over a real wire: frames are put on a veth, judged by the attached filter, and told by its counters.
//!
//! A sample, since it takes a tenth of a second to read the counters after each frame. What happened earlier in a row happened just now
//! here: no test turns the clock back.

use std::{collections::HashMap, fs, time::Duration};

use anyhow::{Context, Result, ensure};
use fw_common::policy::Policy;
use fw_tests::{
    cases,
    lab::{
        Mode, Namespace, command,
        fw::FwUser,
        stats::{InterfaceStats, Stats},
        wait,
        wire::Wire,
    },
    report::Failures,
    row::{Direction, Row},
    tests, world,
};

tests! { in both modes:
    rows_of_the_table_are_judged_on_the_wire_as_well;
}

/// Below this many rows the sample says little.
const LEAST_ROWS: usize = 150;
/// One of so many rows is played. All of them are when the programs are tested without a wire; it is odd, since IPv4 and IPv6 take turns.
const ONE_OF: usize = 5;
/// Of those that need an attachment of their own fewer are.
const ONE_OF_THOSE_WITH_A_PAST: usize = 15;

/// The table's world, with the far end of its cable in a namespace that says nothing by itself.
struct WireWorld {
    fw: FwUser,
    host: Namespace,
    mode: Mode,
    /// The far end.
    outside: Wire,
    /// The host's end, for what the host sends.
    inside: Wire,
    _far: Namespace,
}

impl WireWorld {
    fn new(mode: Mode) -> Result<Self> {
        let (host, far) = (Namespace::new()?, Namespace::new()?);
        far.sysctl("net/ipv6/conf/default/disable_ipv6", "1")?;
        far.sysctl("net/ipv6/conf/all/disable_ipv6", "1")?;
        command::run_with_input(host.command("ip").args(["-batch", "-"]), world::IP_COMMANDS.as_bytes())?;
        host.run(&format!("ip link set lan-peer netns {}", far.path()))?;
        far.run("ip link set lan-peer arp off up")?;
        let (outside, inside) = (far.wire("lan-peer")?, host.wire(world::INTERFACE)?);
        Ok(Self { fw: FwUser::new()?, host, mode, outside, inside, _far: far })
    }

    fn attach(&self, policy: &Policy) -> Result<()> {
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

    fn fw(&self, args: &[&str]) -> Result<String> {
        command::run(&mut self.fw.command(&self.host, args))
    }

    fn stats(&self) -> Result<InterfaceStats> {
        let stats: Stats = serde_json::from_str(&self.fw(&["stats", "--json"])?)?;
        Ok(stats.interface(world::INTERFACE)?.clone())
    }

    fn set_router(&self, is_router: bool) -> Result<()> {
        let value = if is_router { "1" } else { "0" };
        self.host.enter(|| world::SYSCTLS.iter().try_for_each(|path| fs::write(path, value)))?;
        Ok(())
    }

    /// Send a frame to the host, and return the counters when it has been judged.
    fn deliver(&self, frame: &[u8], before: &InterfaceStats) -> Result<InterfaceStats> {
        self.outside.send(frame)?;
        let judged = |stats: &InterfaceStats| stats.passed.packets + stats.dropped.packets;
        wait::until("the frame to be judged", || Ok(Some(self.stats()?).filter(|now| judged(now) > judged(before))))
    }

    /// What becomes of a row, in words, if it is not what the table says.
    fn play(&self, row: &Row) -> Result<Option<String>> {
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
struct Change {
    /// Reasons, each with packets and bytes.
    reasons: Vec<(String, u64, u64)>,
    /// Ports by protocol and number, each with what passed and what was dropped.
    ports: Vec<(String, u16, u64, u64)>,
}

impl Change {
    fn between(before: &InterfaceStats, after: &InterfaceStats) -> Self {
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
fn fits_a_wire(row: &Row) -> bool {
    const MTU: usize = 1500;
    let sizes = [&row.frame].into_iter().chain(row.earlier.iter().map(|earlier| &earlier.frame)).map(Vec::len);
    let protocols: Vec<String> = row.policy.protocols.iter().map(u8::to_string).collect();
    // An IPv6 extension header is nothing to allow, and statistics of thousands of open ports take their time.
    let policy_fits = fw_user::spec::protocols(&protocols).is_ok()
        && row.policy.rules().iter().all(|rule| rule.ports.last() - rule.ports.first() < 1000);
    policy_fits && row.age() == Duration::ZERO && sizes.into_iter().all(|size| (14..=14 + MTU).contains(&size))
}

fn rows_of_the_table_are_judged_on_the_wire_as_well(mode: Mode) -> Result<()> {
    let mut rows: Vec<Row> = cases::all().into_iter().filter(fits_a_wire).collect();
    let mut count = 0;
    rows.retain(|row| {
        count += 1;
        count % (if row.earlier.is_empty() { ONE_OF } else { ONE_OF_THOSE_WITH_A_PAST }) == 0
    });
    ensure!(rows.len() >= LEAST_ROWS, "{} rows are few", rows.len());
    // Rows without a past share an attachment with others of their policy; a past is forgotten by detaching.
    rows.sort_by_key(|row| (row.earlier.len().min(1), row.is_router, format!("{:?}", row.policy)));
    let world = WireWorld::new(mode)?;
    let mut failures = Failures::default();
    let mut in_force: Option<&Row> = None;
    for row in &rows {
        let (has_past, had_past) = (!row.earlier.is_empty(), in_force.is_some_and(|last| !last.earlier.is_empty()));
        let is_same = in_force.is_some_and(|last| last.is_router == row.is_router && last.policy == row.policy);
        if has_past || had_past || !is_same {
            // Routes are remembered, as flows are.
            if in_force.is_some_and(|last| has_past || had_past || last.is_router != row.is_router) {
                world.fw(&["detach", world::INTERFACE])?;
            }
            world.set_router(row.is_router)?;
            world.attach(&row.policy).with_context(|| format!("the policy of {:?}", row.name))?;
            in_force = Some(row);
        }
        match world.play(row) {
            Ok(None) => {}
            Ok(Some(difference)) => failures.add(row, &difference),
            Err(error) => failures.add(row, &format!("the wire fails: {error:#}")),
        }
    }
    failures.panic_if_any();
    println!("{} rows", rows.len());
    Ok(())
}
