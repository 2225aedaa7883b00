//! Which ports the network reaches: compares listeners with filters. Nothing here asks the kernel.

pub(crate) mod paths;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
};

use fw_common::{
    PortProtocol,
    abi::PortCounter,
    grammar::{PortRange, Rule},
    policy::Policy,
};
use ipnet::IpNet;

pub(crate) use crate::cmd::exposed::exposure::paths::{Filter, Filters, IngressPath, Ruling};

use crate::{
    config::File,
    host::{
        network::Network,
        targets::endpoint::{Endpoint, Target},
    },
};

/// The state of a port, from the most closed to the most open.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PortState {
    /// It drops.
    Closed,
    /// Packets from these networks pass, except from those in `except`.
    OpenTo { networks: Vec<IpNet>, except: Vec<IpNet> },
    /// Packets from everyone pass, except from these networks.
    OpenToMost { except: Vec<IpNet> },
    /// A filter with unknown rules decides.
    Unknown,
    /// The filter would drop packets, but is in monitor mode.
    Monitored,
    /// It passes.
    Open,
}

impl PortState {
    /// In one word, or a few.
    #[must_use]
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::OpenTo { .. } => "open to some",
            Self::OpenToMost { .. } => "open to most",
            Self::Unknown => "unknown",
            Self::Monitored => "monitored",
            Self::Open => "open",
        }
    }

    /// How open it is, regardless of the networks.
    fn rank(&self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::OpenTo { .. } => 1,
            Self::OpenToMost { .. } => 2,
            Self::Unknown => 3,
            Self::Monitored => 4,
            Self::Open => 5,
        }
    }

    /// The state if packets may meet either of the two.
    fn or(self, other: Self) -> Self {
        let networks = merged(self.networks(), other.networks());
        let closed_to = |one: &Self, other: &Self| -> Vec<IpNet> {
            one.except().iter().filter(|net| !other.is_open_within(net)).copied().collect()
        };
        let except = merged(&closed_to(&self, &other), &closed_to(&other, &self));
        match self.max(other) {
            Self::OpenTo { .. } => Self::OpenTo { networks, except },
            Self::OpenToMost { .. } if except.is_empty() => Self::Open,
            Self::OpenToMost { .. } => Self::OpenToMost { except },
            state => state,
        }
    }

    /// The networks that it is open to, if only they are.
    #[must_use]
    pub(crate) fn networks(&self) -> &[IpNet] {
        match self {
            Self::OpenTo { networks, .. } => networks,
            _ => &[],
        }
    }

    /// The networks that are refused, although it is open to everyone or to networks around them.
    #[must_use]
    pub(crate) fn except(&self) -> &[IpNet] {
        match self {
            Self::OpenTo { except, .. } | Self::OpenToMost { except } => except,
            _ => &[],
        }
    }

    /// Whether packets from a part of a network pass, as far as is known.
    fn is_open_within(&self, net: &IpNet) -> bool {
        let is_open = match self {
            Self::Closed | Self::Unknown => false,
            Self::OpenTo { networks, .. } => networks.iter().any(|one| one.contains(net) || net.contains(one)),
            Self::OpenToMost { .. } | Self::Monitored | Self::Open => true,
        };
        is_open && !self.except().iter().any(|refused| refused.contains(net))
    }
}

fn merged(one: &[IpNet], other: &[IpNet]) -> Vec<IpNet> {
    let mut all = [one, other].concat();
    all.sort_unstable();
    all.dedup();
    all
}

/// From where packets reach a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// From this host alone.
    Local,
    /// Through an interface that is no ingress path, such as a bridge of containers.
    Only(String),
    /// By these ingress paths.
    By(Vec<(String, PortState)>),
}

impl Reach {
    /// The most open state of all paths.
    #[must_use]
    pub(crate) fn worst(&self) -> Option<&PortState> {
        match self {
            Self::By(states) => states.iter().map(|(_, state)| state).max(),
            Self::Local | Self::Only(_) => None,
        }
    }

    /// Whether an ingress path that satisfies the predicate reaches it.
    pub(crate) fn is_by(&self, fits: impl Fn(&str, &PortState) -> bool) -> bool {
        matches!(self, Self::By(states) if states.iter().any(|(name, state)| fits(name, state)))
    }
}

/// A port that somebody serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExposedPort {
    /// The endpoint; if several are alike, the first one.
    pub endpoint: Endpoint,
    /// All its addresses, each with whether it excludes IPv4.
    pub addresses: Vec<(IpAddr, bool)>,
    /// The targets that Docker forwards to, for each of them.
    pub forwards: Vec<SocketAddr>,
    /// The only interface that it is reached through, by name.
    pub device: Option<String>,
    /// From where it is reached.
    pub reach: Reach,
    /// Packets to the port, if a filter counts them.
    pub counted: Option<PortCounter>,
    /// Whether the kernel chose the port, as for clients, and no rule opens it.
    pub is_of_client: bool,
}

/// Open ports of an interface without a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unused {
    /// The interface that the filter is on.
    pub interface: String,
    /// The part of its policy that nobody uses.
    pub policy: Policy,
}

/// The facts that the exposure is computed from.
#[derive(Clone, Debug)]
pub(crate) struct Exposure {
    /// The ingress paths.
    pub paths: Vec<IngressPath>,
    /// The filter there.
    pub filters: Filters,
    /// The ports that are served: the most open first.
    pub ports: Vec<ExposedPort>,
    /// The ports that are open and not served.
    pub unused: Vec<Unused>,
}

/// The endpoints to judge.
pub(crate) struct ExposureFacts<'a> {
    pub(crate) network: &'a Network,
    pub(crate) filters: Filters,
    pub(crate) endpoints: &'a [Endpoint],
    /// The ports from which the kernel chooses.
    pub(crate) chosen_by_kernel: RangeInclusive<u16>,
    /// The configuration files, which may leave interfaces out.
    pub(crate) files: &'a [File],
}

impl ExposureFacts<'_> {
    /// Compute the exposure for these interfaces, or for all ingress paths if none is named.
    pub(crate) fn judge(self, named: &[String]) -> Exposure {
        let paths = paths::paths(self.network, &self.filters, self.files, named);
        let mut ports: Vec<ExposedPort> = Vec::new();
        for endpoint in self.endpoints {
            let port = self.port(&paths, endpoint);
            match ports.iter_mut().find(|known| known.is_like(&port)) {
                Some(known) => known.join(port),
                None => ports.push(port),
            }
        }
        // A port that is reached from elsewhere is not listed again as local.
        let wider: Vec<ExposedPort> = ports.iter().filter(|port| port.reach != Reach::Local).cloned().collect();
        ports.retain(|port| port.reach != Reach::Local || !wider.iter().any(|wide| wide.is_of_same(port)));
        ports.sort_by_key(|port| {
            let kind = match &port.reach {
                Reach::By(_) => 0,
                Reach::Only(_) => 1,
                Reach::Local => 2,
            };
            let openness = port.reach.worst().map(PortState::rank);
            (kind, std::cmp::Reverse(openness), port.endpoint.local.port(), port.endpoint.protocol)
        });
        let unused = self.unused(&paths, &ports);
        Exposure { paths, filters: self.filters, ports, unused }
    }

    fn port(&self, paths: &[IngressPath], endpoint: &Endpoint) -> ExposedPort {
        let (protocol, number) = (endpoint.protocol, endpoint.local.port());
        let device = self.network.interfaces.iter().find(|interface| interface.index == endpoint.device);
        let is_datagram = matches!(protocol, PortProtocol::Udp | PortProtocol::UdpLite);
        let forward = match &endpoint.target {
            Target::Container(container) => {
                container.forward_address.map(|address| SocketAddr::new(address, container.forward_port))
            }
            Target::Process(_) | Target::Unseen => None,
        };
        ExposedPort {
            addresses: vec![(endpoint.local.ip(), endpoint.only_ipv6)],
            forwards: forward.into_iter().collect(),
            device: device.map(|interface| interface.name.clone()),
            reach: self.reach(paths, endpoint),
            counted: self.counted(paths, protocol, number),
            is_of_client: is_datagram
                && matches!(endpoint.target, Target::Process(_))
                && self.chosen_by_kernel.contains(&number)
                && !self.is_allowed(protocol, number),
            endpoint: endpoint.clone(),
        }
    }

    fn counted(&self, paths: &[IngressPath], protocol: PortProtocol, port: u16) -> Option<PortCounter> {
        let judges: BTreeSet<&String> = paths.iter().flat_map(|path| path.judges.iter().flatten()).collect();
        let counted = judges.into_iter().filter_map(|name| match self.filters.get(name) {
            Some(Filter::Ours(ruling)) => Some(ruling.counters.ports.get((protocol, port))),
            _ => None,
        });
        counted.reduce(|one, other| PortCounter {
            passed: one.passed + other.passed,
            dropped: one.dropped + other.dropped,
        })
    }

    fn is_allowed(&self, protocol: PortProtocol, port: u16) -> bool {
        let is_open = |filter: &Filter| match filter {
            Filter::Ours(ruling) => ruling.policy.is_open_to_some(protocol, port),
            Filter::Unknown(_) => false,
        };
        self.filters.values().any(is_open)
    }

    fn reach(&self, paths: &[IngressPath], endpoint: &Endpoint) -> Reach {
        let address = endpoint.local.ip();
        if endpoint.is_local_only() {
            return Reach::Local;
        }
        let by = |is_meant: &dyn Fn(&IngressPath) -> bool| -> Vec<(String, PortState)> {
            let meant = paths.iter().filter(|path| is_meant(path));
            meant.map(|path| (path.name.clone(), self.state_by(path, endpoint))).collect()
        };
        let elsewhere = |index: u32| {
            let interface = self.network.interfaces.iter().find(|interface| interface.index == index);
            match interface {
                Some(interface) if !interface.is_loopback() => Reach::Only(interface.name.clone()),
                _ => Reach::Local,
            }
        };
        if endpoint.device != 0 {
            let states = by(&|path| self.network.fed_by(path.index).contains(&endpoint.device));
            return if states.is_empty() { elsewhere(endpoint.device) } else { Reach::By(states) };
        }
        let owner = self.network.addresses.iter().find(|(_, net)| net.addr() == address);
        let owner = owner.and_then(|(at, _)| self.network.interfaces.iter().find(|interface| interface.index == *at));
        match owner {
            Some(owner) if paths.iter().any(|path| path.index == owner.index) => {
                Reach::By(by(&|path| path.addresses.contains(&address)))
            }
            // An address that stands for the whole host is reached by every path.
            Some(owner) if !owner.is_loopback() && owner.kind.as_deref() != Some("dummy") => elsewhere(owner.index),
            _ if paths.is_empty() => Reach::Local,
            _ => Reach::By(by(&|_| true)),
        }
    }

    fn state_by(&self, path: &IngressPath, endpoint: &Endpoint) -> PortState {
        let states = path.judges.iter().map(|judge| match judge.as_ref().and_then(|name| self.filters.get(name)) {
            None => PortState::Open,
            Some(Filter::Unknown(_)) => PortState::Unknown,
            Some(Filter::Ours(ruling)) => state(ruling, endpoint),
        });
        states.reduce(PortState::or).unwrap_or(PortState::Open)
    }

    /// The ports that the filters open, without those that are served.
    fn unused(&self, paths: &[IngressPath], ports: &[ExposedPort]) -> Vec<Unused> {
        let judges: BTreeSet<&String> = paths.iter().flat_map(|path| path.judges.iter().flatten()).collect();
        let unused = judges.into_iter().filter_map(|judge| {
            let Filter::Ours(ruling) = self.filters.get(judge)? else { return None };
            let judged = paths.iter().filter(|path| path.judges.iter().flatten().any(|one| one == judge));
            let judged: BTreeSet<&str> = judged.map(|path| path.name.as_str()).collect();
            let mut policy = Policy::new(ruling.policy.by_number().rules());
            for port in ports.iter().filter(|port| port.reach.is_by(|name, _| judged.contains(name))) {
                take_away(&mut policy, port.endpoint.protocol, port.endpoint.local.port());
            }
            Some(Unused { interface: judge.clone(), policy })
        });
        unused.filter(|unused| !unused.policy.is_closed()).collect()
    }
}

fn take_away(policy: &mut Policy, protocol: PortProtocol, port: u16) {
    let Some(ports) = PortRange::new(port, port) else { return };
    for Rule { source, .. } in policy.rules_at(protocol, port).collect::<Vec<_>>() {
        policy.deny(&Rule { protocol, ports, source });
    }
}

fn state(ruling: &Ruling, endpoint: &Endpoint) -> PortState {
    let (protocol, port) = (endpoint.protocol, endpoint.local.port());
    let Ruling { policy, monitors, .. } = ruling;
    let address = endpoint.local.ip();
    let has_family = |net: &IpNet| match (net, address) {
        (IpNet::V4(_), IpAddr::V6(address)) => address.is_unspecified() && !endpoint.only_ipv6,
        (IpNet::V6(_), IpAddr::V4(_)) => false,
        _ => true,
    };
    let networks = |rule: Rule| rule.source.networks(&policy.on_link).into_iter().filter(has_family);
    let mut except: Vec<IpNet> = policy.refusals_at(protocol, port).flat_map(networks).collect();
    if policy.is_open(protocol, port) {
        // In monitor mode refusals drop nothing either; and what is `monitored` would close to everyone.
        return if except.is_empty() || *monitors { PortState::Open } else { PortState::OpenToMost { except } };
    }
    if *monitors {
        return PortState::Monitored;
    }
    let mut networks: Vec<IpNet> = policy.rules_at(protocol, port).flat_map(networks).collect();
    networks.retain(|net| !except.iter().any(|refused| refused.contains(net)));
    except.retain(|refused| networks.iter().any(|net| net.contains(refused)));
    if networks.is_empty() { PortState::Closed } else { PortState::OpenTo { networks, except } }
}

impl ExposedPort {
    /// Whether the same process or container serves the same port.
    fn is_of_same(&self, other: &Self) -> bool {
        let (one, other) = (&self.endpoint, &other.endpoint);
        let is_same_target = match (&one.target, &other.target) {
            (Target::Process(one), Target::Process(other)) => one.name == other.name,
            (Target::Container(one), Target::Container(other)) => {
                (&one.name, &one.image, one.forward_port) == (&other.name, &other.image, other.forward_port)
            }
            (Target::Unseen, Target::Unseen) => true,
            _ => false,
        };
        is_same_target && (one.protocol, one.local.port()) == (other.protocol, other.local.port())
    }

    /// Whether nothing but the address differs.
    fn is_like(&self, other: &Self) -> bool {
        self.is_of_same(other) && self.device == other.device && self.reach == other.reach
    }

    /// Add the addresses of an equal endpoint.
    fn join(&mut self, other: Self) {
        for address in other.addresses {
            if !self.addresses.contains(&address) {
                self.addresses.push(address);
            }
        }
        for forward in other.forwards {
            if !self.forwards.contains(&forward) {
                self.forwards.push(forward);
            }
        }
    }
}
