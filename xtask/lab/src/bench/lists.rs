//! The cost of large lists: a packet while many networks are banned, and the commands that ban them or write as many rules.

mod kernel_memory;

use std::{
    fs,
    net::{Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};

use anyhow::{Context as _, Result, ensure};
use fw_common::{
    PortProtocol, Verdict,
    abi::DEFAULT_FLOWS,
    actions::Action,
    bans::FOR_EVER,
    compiled::MOST_NETWORKS,
    grammar::{PortRange, Rule},
    policy::Policy,
    rate::Rate,
    source::Source,
};
use fw_user::testing::{
    bans::{BanMap, Bans},
    pins::Pins,
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use nix::unistd::mkdtemp;

use self::kernel_memory::KernelMemory;
use super::{
    commands::fw_user,
    measure::{self, Measured},
    network,
    packets::{self, ALLOWED, NETWORK4, Packet},
    programs::{self, Filter, Gauges, one_port, pins},
    report::{Cell, Goal, Row, Section, Table, Unit},
};

/// How many networks are banned: one in five is of IPv6.
const COUNT: u32 = 100_000;
/// Rounds in which packets are judged.
const ROUNDS: usize = 301;
/// How often commands are run.
const RUNS: usize = 15;

/// Nanoseconds that the bans of others may add to a packet.
const PACKET_GOAL: f64 = 15.0;
/// Milliseconds that a load may take.
const LOAD_GOAL: f64 = 350.0;
/// Milliseconds that one more ban may take.
const ONE_MORE_GOAL: f64 = 100.0;
/// Megabytes of memory that the bans may take.
const MEMORY_GOAL: f64 = 8.0;

const TEXT: &str = "\
100,000 networks are banned: 80,000 single IPv4 addresses all over the Internet, and 20,000 /48 networks of IPv6. The packets are filtered as above, \
with and without the bans in turn. *more* is the difference in the same round. The second table does the same with rules for one network and with \
rules for 65,536, the most that an interface may have. The third table compares a port that is open to everyone with one that has another kind of rule.

One bit for each IPv4 /24 and each IPv6 /32 says whether anybody there may be banned. Only then the list is searched. A packet *of a banned sender's /24* is \
from a sender that is not banned, and the list is searched. That happens to about one IPv4 sender in 27 as well, because the banned addresses set about \
4 % of the bits.

A time is that of the fastest of fifteen runs, from the start of the process to its end: other work on the machine only adds. `ban` reads and \
writes the ledger of all bans, and waits until the disk has it. `apply` puts the rules with 65,536 networks in force. Memory is what the kernel takes \
on behalf of the first run, as a control group counts it. The list has 16 bytes for each IPv4 network and 40 for each IPv6 network, and a change takes \
as much again while it is written. The tables take 0.9 MB on every machine, whether anybody is banned or not.";

/// Measure packets and commands.
pub(super) fn measure() -> Result<Section> {
    let banned = banned();
    let tables = vec![by_bans(&banned)?, by_networks()?, by_rule()?, commands(&banned)?];
    Ok(Section { name: "lists", title: "Large lists", text: TEXT.to_owned(), tables, charts: Vec::new() })
}

/// The banned networks. Those whose packets are judged are not among them, but for [`packets::BANNED4`].
fn banned() -> Vec<IpNet> {
    let is_public = |bits: &u32| (11..=223).contains(&(bits >> 24)) && ![127, 192, 198].contains(&(bits >> 24));
    let v4 = (1..).map(scattered).filter(is_public).map(|bits| IpNet::from(Ipv4Net::from(Ipv4Addr::from_bits(bits))));
    let prefix = |n| Ipv6Addr::from_bits(u128::from(0x2600_0000_0000 | u64::from(scattered(n))) << 80);
    let v6 = (0..COUNT / 5).map(|n| IpNet::from(Ipv6Net::new_assert(prefix(n), 48)));
    let of_packets = IpNet::from(Ipv4Net::from(packets::BANNED4));
    let v4 = [of_packets].into_iter().chain(v4).take((COUNT - COUNT / 5) as usize);
    v4.chain(v6).collect()
}

/// The numbers in another order, each once: the finalizer of `MurmurHash3`. The filter spreads its bits in another way.
const fn scattered(n: u32) -> u32 {
    let n = (n ^ n >> 16).wrapping_mul(0x85eb_ca6b);
    let n = (n ^ n >> 13).wrapping_mul(0xc2b2_ae35);
    n ^ n >> 16
}

/// The cost of packets with and without bans.
fn by_bans(banned: &[IpNet]) -> Result<Table> {
    let (without, with) = (pins("nobody-banned"), pins("banned"));
    let free = Filter::attach(without.clone(), &one_port()?, DEFAULT_FLOWS)?;
    let banning = Filter::attach(with.clone(), &one_port()?, DEFAULT_FLOWS)?;
    let bans: Bans = banned.iter().map(|&network| (network, FOR_EVER)).collect();
    BanMap::open(&with)?.update(&bans)?;
    let gauges = Gauges::attach(&free, &["empty"])?;
    let mut rows = Vec::new();
    for (packet, verdict, has_goal) in judged() {
        let costs = compare(&gauges, &packet, [(&free, packet.verdict), (&banning, verdict)])?;
        let goal = has_goal.then(|| Goal::at_most(PACKET_GOAL, Unit::Nanoseconds, costs[2].median));
        rows.push(nanoseconds(&packet, costs, goal));
    }
    drop((free, banning));
    programs::forget(&without)?;
    programs::forget(&with)?;
    Ok(Table { subject: "packet", columns: vec!["nobody banned", "100,000 banned", "more"], rows })
}

/// The cost of a packet by the number of networks in the rules of its port.
fn by_networks() -> Result<Table> {
    let (few, many) = (pins("one-network"), pins("most-networks"));
    let attach = |pins: &Pins, count| Filter::attach(pins.clone(), &Policy::new(rules().take(count)), DEFAULT_FLOWS);
    let (with_one, with_most) = (attach(&few, 1)?, attach(&many, MOST_NETWORKS)?);
    let gauges = Gauges::attach(&with_one, &["empty"])?;
    let packet = packets::allowed_syn4();
    let costs = compare(&gauges, &packet, [&with_one, &with_most].map(|filter| (filter, packet.verdict)))?;
    drop((with_one, with_most));
    programs::forget(&few)?;
    programs::forget(&many)?;
    let rows = vec![nanoseconds(&packet, costs, None)];
    Ok(Table { subject: "packet", columns: vec!["one network in rules", "65,536 networks in rules", "more"], rows })
}

/// The cost of a packet by the kind of its port's rule.
fn by_rule() -> Result<Table> {
    let (port, later) = (format!("{ALLOWED}/tcp"), Action::Until(FOR_EVER - 1));
    let other = format!("{port}@{}", packets::BANNED4);
    let kinds = [
        ("refused to another host", port.as_str(), Some((other.as_str(), Action::Deny)), packets::allowed_syn4()),
        ("open for an hour", "1/tcp", Some((&port, later)), packets::allowed_syn4()),
        (
            "limited, packet of a connection",
            "1/tcp",
            Some((&port, Action::Limit(Rate::DEFAULT))),
            packets::allowed_ack4(),
        ),
    ];
    let plain = pins("open-to-everyone");
    let open = Filter::attach(plain.clone(), &one_port()?, DEFAULT_FLOWS)?;
    let gauges = Gauges::attach(&open, &["empty"])?;
    let mut rows = Vec::new();
    for (number, (name, allow, action, packet)) in kinds.into_iter().enumerate() {
        let mut policy = Policy::of([(allow.parse()?, None)]);
        if let Some((entry, action)) = action {
            policy.act(entry.parse()?, action, None);
        }
        let of_kind = pins(&format!("rule-{number}"));
        let filter = Filter::attach(of_kind.clone(), &policy, DEFAULT_FLOWS)?;
        let costs = compare(&gauges, &packet, [&open, &filter].map(|filter| (filter, packet.verdict)))?;
        drop(filter);
        programs::forget(&of_kind)?;
        rows.push(nanoseconds(&Packet { name, ..packet }, costs, None));
    }
    drop(open);
    programs::forget(&plain)?;
    Ok(Table { subject: "rule", columns: vec!["open to everyone", "with the rule", "more"], rows })
}

/// The cost of a packet above an empty program in each of two filters, and what it costs more in the second one.
fn compare(gauges: &Gauges, packet: &Packet, filters: [(&Filter, Verdict); 2]) -> Result<[Measured; 3]> {
    let frame = packet.frame.as_slice();
    let mut contestants = vec![(gauges.program("empty")?, frame)];
    for (filter, expected) in filters {
        if let Some(request) = &packet.request {
            filter.send(request)?;
        }
        let program = filter.program()?;
        let found = programs::judge(program, frame, measure::REPEAT)?;
        ensure!(found == expected, "{}: {found:?}, not {expected:?}", packet.name);
        contestants.push((program, frame));
    }
    let samples = measure::race(&contestants, ROUNDS)?;
    let [empty, first, second] = &samples[..] else { unreachable!("samples for each contestant") };
    Ok([(first, empty), (second, empty), (second, first)].map(|(above, below)| Measured::difference(above, below)))
}

fn nanoseconds(packet: &Packet, costs: [Measured; 3], goal: Option<Goal>) -> Row {
    let cells = costs.map(|value| Cell::Number { value, unit: Unit::Nanoseconds }).into();
    Row { subject: packet.name.to_owned(), cells, goal }
}

/// The packets, the verdict on each while 100,000 networks are banned, and whether it is somebody else's.
fn judged() -> Vec<(Packet, Verdict, bool)> {
    vec![
        (packets::allowed_syn4(), Verdict::Pass, true),
        (packets::allowed_syn6(), Verdict::Pass, true),
        (packets::tcp_reply4(), Verdict::Pass, true),
        (packets::neighbours_syn4(), Verdict::Pass, false),
        (packets::banned_syn4(), Verdict::Drop, false),
    ]
}

/// The folders of the commands.
struct Folder(PathBuf);

impl Folder {
    /// On a disk, where only root can change anything.
    fn make() -> Result<Self> {
        let path = mkdtemp("/var/tmp/fw-bench-XXXXXX").context("cannot create a folder in /var/tmp")?;
        fs::create_dir(path.join("config"))?;
        fs::create_dir(path.join("state"))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("cannot remove {}: {error}", self.0.display());
        }
    }
}

/// The time of commands, and the memory that is taken after them.
fn commands(banned: &[IpNet]) -> Result<Table> {
    let folder = Folder::make()?;
    let path = folder.0.display();
    let interface = network::interface()?;
    let lines: Vec<String> = banned.iter().map(ToString::to_string).collect();
    fs::write(folder.0.join("list"), lines.join("\n"))?;
    fs::write(folder.0.join("config").join(format!("{interface}.toml")), file())?;
    let run = |line: &str| fw_user(&format!("--state {path}/state --config {path}/config {line}"));
    let few_rules = format!("attach {interface} --allow {ALLOWED}/tcp --force");
    let load = format!("ban --force --set bench --load {path}/list");

    let memory = KernelMemory::count()?;
    run(&few_rules)?;
    let before = memory.now()?;
    run("apply --force")?;
    let with_rules = memory.now()?;
    run(&load)?;
    let with_bans = memory.now()?;
    drop(memory);
    run("unban --set bench")?;
    run(&few_rules)?;

    let (mut loads, mut one_more, mut applies) = (Fastest::new(), Fastest::new(), Fastest::new());
    for _ in 0..RUNS {
        loads.add(run(&load)?);
        one_more.add(run("ban --force 203.0.113.7")?);
        run("unban 203.0.113.7")?;
        run("unban --set bench")?;
        applies.add(run("apply --force")?);
        run(&few_rules)?;
    }
    run(&format!("detach {interface}"))?;

    let (of_rules, of_bans) = (with_rules - before, with_bans - with_rules);
    let load_goal = Goal {
        asks: format!("{}, {}", Unit::Milliseconds.show(LOAD_GOAL), Unit::Megabytes.show(MEMORY_GOAL)),
        met: loads.0 <= LOAD_GOAL && of_bans <= MEMORY_GOAL,
    };
    let rows = vec![
        row("fw-user ban --load, 100,000 networks", &loads, Some(of_bans), Some(load_goal)),
        row(
            "fw-user ban, one more",
            &one_more,
            None,
            Some(Goal::at_most(ONE_MORE_GOAL, Unit::Milliseconds, one_more.0)),
        ),
        row("fw-user apply, 65,536 networks in rules", &applies, Some(of_rules), None),
    ];
    Ok(Table { subject: "command", columns: vec!["time", "memory"], rows })
}

/// The fastest run, in milliseconds.
struct Fastest(f64);

impl Fastest {
    const fn new() -> Self {
        Self(f64::INFINITY)
    }

    const fn add(&mut self, milliseconds: f64) {
        self.0 = self.0.min(milliseconds);
    }
}

fn row(command: &str, time: &Fastest, megabytes: Option<f64>, goal: Option<Goal>) -> Row {
    let number = |value, unit| Cell::Number { value: Measured::exactly(value), unit };
    let memory = megabytes.map_or(Cell::Text(String::new()), |memory| number(memory, Unit::Megabytes));
    Row { subject: command.to_owned(), cells: vec![number(time.0, Unit::Milliseconds), memory], goal }
}

/// Rules for the allowed port: for the network of the packet, and for as many others as an interface may have with it.
fn rules() -> impl Iterator<Item = Rule> {
    let others = (0..).map(|n| Ipv4Net::new_assert(Ipv4Addr::from_bits(0x0a00_0000 | n << 1), 31));
    let networks = NETWORK4.parse().into_iter().chain(others).take(MOST_NETWORKS);
    let ports = PortRange::new(ALLOWED, ALLOWED).expect("it is not 0");
    networks.map(move |network| Rule { protocol: PortProtocol::Tcp, ports, source: Source::Network(network.into()) })
}

/// A file with them.
fn file() -> String {
    let entries: Vec<String> = rules().map(|rule| format!("\"{rule}\"")).collect();
    format!("allow = [\n    {}\n]\n", entries.join(",\n    "))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, net::IpAddr};

    use fw_common::{
        address::{Address as _, V4, V6},
        bans::{filter_bit4, filter_bit6},
    };

    use super::*;

    #[test]
    fn as_many_networks_are_banned_as_the_table_says_and_no_sender_but_one() {
        let banned = banned();
        assert_eq!(banned.iter().collect::<BTreeSet<_>>().len(), COUNT as usize);
        assert_eq!(banned.iter().filter(|network| network.addr().is_ipv6()).count(), COUNT as usize / 5);
        let is_banned = |address: Ipv4Addr| banned.iter().any(|network| network.contains(&IpAddr::from(address)));
        assert!(is_banned(packets::BANNED4));
        for address in [packets::PEER4, packets::HOST4, Ipv4Addr::new(203, 0, 113, 7)] {
            assert!(!is_banned(address), "{address}");
        }
    }

    /// The bit of one sender in 27 is set by chance, and that of the peer would make the table tell the price of a search.
    #[test]
    fn no_list_is_searched_for_the_peer() {
        let bit = |address: IpAddr| match address {
            IpAddr::V4(address) => (false, filter_bit4(V4::from_bytes(address.octets()))),
            IpAddr::V6(address) => (true, filter_bit6(V6::from_bytes(address.octets()))),
        };
        let set: BTreeSet<_> = banned().iter().map(|network| bit(network.addr())).collect();
        for peer in [packets::PEER4.into(), packets::PEER6.into()] {
            assert!(!set.contains(&bit(peer)), "{peer}");
        }
        assert!(set.contains(&bit(packets::BANNED4.into())));
    }

    #[test]
    fn the_rules_have_as_many_networks_as_they_may() {
        let compiled = Policy::new(rules()).compile().expect("it fits");
        assert_eq!(compiled.networks.len(), MOST_NETWORKS);
        assert_eq!(file().matches('@').count(), MOST_NETWORKS);
    }
}
