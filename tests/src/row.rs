//! One row of the case table.

use std::time::Duration;

use ipnet::IpNet;

use fw_common::{
    PortProtocol, Reason, actions::Action, entry::Entry, flow::Timeouts, forward::Forward, grammar::parse,
    limit::Limit, policy::Policy,
};

use crate::world::Routing;

/// Which way a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// It comes in.
    Ingress,
    /// It leaves.
    Egress,
}

/// A frame before the one in question.
#[derive(Clone, Debug)]
pub struct Earlier {
    /// How long before.
    pub ago: Duration,
    /// Which way.
    pub direction: Direction,
    /// The frame.
    pub frame: Vec<u8>,
}

/// A banned network.
#[derive(Clone, Copy, Debug)]
pub struct Ban {
    /// Who is banned.
    pub network: IpNet,
    /// For how long from the first frame on; `None` for ever.
    pub lasts: Option<Duration>,
}

/// A case up to the frame that comes in.
#[derive(Clone, Debug)]
pub struct Scene {
    name: String,
    policy: Policy,
    routing: Routing,
    bans: Vec<Ban>,
    earlier: Vec<Earlier>,
}

/// A case: a situation, a frame that comes in, and what must become of it.
#[derive(Clone, Debug)]
pub struct Row {
    /// A sentence.
    pub name: String,
    /// The policy.
    pub policy: Policy,
    /// Whether the host routes packets on.
    pub routing: Routing,
    /// Who is banned.
    pub bans: Vec<Ban>,
    /// Earlier packets, the oldest first.
    pub earlier: Vec<Earlier>,
    /// The frame that comes in.
    pub frame: Vec<u8>,
    /// Why it passes or drops.
    pub reason: Reason,
    /// The destination port under which it is counted.
    pub port: Option<(PortProtocol, u16)>,
    /// How many flows are remembered afterwards, where the row says so.
    pub flows: Option<usize>,
}

/// Start a row: its name is a sentence.
#[must_use]
pub fn row(name: impl Into<String>) -> Scene {
    Scene { name: name.into(), policy: Policy::default(), routing: Routing::On, bans: Vec::new(), earlier: Vec::new() }
}

impl Scene {
    /// Allow a port: `PORT[-PORT][/PROTO][@CIDR]`, without names.
    ///
    /// # Panics
    /// On anything else.
    #[must_use]
    pub fn allow(mut self, spec: &str) -> Self {
        let rules = parse(spec, |_| Vec::new()).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        for rule in rules {
            self.policy.allow(rule);
        }
        self
    }

    /// Open a port until a time of `CLOCK_BOOTTIME`, in nanoseconds.
    #[must_use]
    pub fn allow_until(self, end: u64, spec: &str) -> Self {
        self.act(spec, Action::Until(end))
    }

    /// Refuse a port to a network.
    #[must_use]
    pub fn refuse(self, spec: &str) -> Self {
        self.act(spec, Action::Deny)
    }

    /// Limit a port, or `ping`.
    ///
    /// # Panics
    /// On anything else.
    #[must_use]
    pub fn limit(mut self, spec: &str) -> Self {
        match spec.parse().unwrap_or_else(|error| panic!("{}: {error}", self.name)) {
            Limit::Ping(rate) => self.policy.ping = Some(rate),
            Limit::Ports(entry, rate) => drop(self.policy.act(entry, Action::Limit(rate), None)),
        }
        self
    }

    fn act(mut self, spec: &str, action: Action) -> Self {
        let entry: Entry = spec.parse().unwrap_or_else(|error| panic!("{}: {error}", self.name));
        self.policy.act(entry, action, None);
        self
    }

    /// Allow an IP protocol by number.
    #[must_use]
    pub fn allow_proto(mut self, protocol: u8) -> Self {
        self.policy.protocols.insert(protocol);
        self
    }

    /// Let packets to allowed ports be routed on.
    #[must_use]
    pub fn forward_pass(mut self) -> Self {
        self.policy.forward = Forward::Pass;
        self
    }

    /// Let packets be routed on to these networks, whatever their port.
    ///
    /// # Panics
    /// On anything else.
    #[must_use]
    pub fn forward_to(mut self, networks: &str) -> Self {
        self.policy.forward = networks.parse().unwrap_or_else(|error| panic!("{}: {error}", self.name));
        self
    }

    /// Let UDP flows live so many seconds, unanswered and answered.
    #[must_use]
    pub fn udp_timeouts(mut self, udp: u32, udp_stream: u32) -> Self {
        self.policy.timeouts = Timeouts { udp, udp_stream, ..Timeouts::DEFAULT };
        self
    }

    /// Let TCP flows live so many seconds.
    #[must_use]
    pub fn tcp_timeout(mut self, tcp: u32) -> Self {
        self.policy.timeouts = Timeouts { tcp, ..Timeouts::DEFAULT };
        self
    }

    /// Make the host one that does not forward.
    #[must_use]
    pub fn not_a_router(mut self) -> Self {
        self.routing = Routing::Off;
        self
    }

    /// Make the host one that routes IPv6 on by what `all` interfaces do, not by what its link does.
    #[must_use]
    pub fn router_for_all(mut self) -> Self {
        self.routing = Routing::OnForAll;
        self
    }

    /// Ban a network for ever.
    #[must_use]
    pub fn bans(self, network: &str) -> Self {
        self.ban(network, None)
    }

    /// Ban a network for so many seconds from the first frame on.
    #[must_use]
    pub fn bans_for(self, seconds: u64, network: &str) -> Self {
        self.ban(network, Some(Duration::from_secs(seconds)))
    }

    fn ban(mut self, network: &str, lasts: Option<Duration>) -> Self {
        let network = network.parse().unwrap_or_else(|error| panic!("{}: {error}", self.name));
        self.bans.push(Ban { network, lasts });
        self
    }

    /// A frame just left.
    #[must_use]
    pub fn sent(self, frame: impl Into<Vec<u8>>) -> Self {
        self.sent_ago(0, frame)
    }

    /// A frame left some seconds ago. The oldest comes first.
    #[must_use]
    pub fn sent_ago(self, seconds: u64, frame: impl Into<Vec<u8>>) -> Self {
        self.happened(seconds, Direction::Egress, frame.into())
    }

    /// A frame came in some seconds ago. The oldest comes first.
    #[must_use]
    pub fn received_ago(self, seconds: u64, frame: impl Into<Vec<u8>>) -> Self {
        self.happened(seconds, Direction::Ingress, frame.into())
    }

    fn happened(mut self, seconds: u64, direction: Direction, frame: Vec<u8>) -> Self {
        let ago = Duration::from_secs(seconds);
        assert!(self.earlier.last().is_none_or(|last| last.ago >= ago), "{}: the oldest frame comes first", self.name);
        self.earlier.push(Earlier { ago, direction, frame });
        self
    }

    /// An inbound frame with this reason; not counted by port.
    #[must_use]
    pub fn receives(self, frame: impl Into<Vec<u8>>, reason: Reason) -> Row {
        let Self { name, policy, routing, bans, earlier } = self;
        Row { name, policy, routing, bans, earlier, frame: frame.into(), reason, port: None, flows: None }
    }
}

impl Row {
    /// The packet is counted under this port.
    #[must_use]
    pub fn under(mut self, protocol: PortProtocol, port: u16) -> Self {
        self.port = Some((protocol, port));
        self
    }

    /// This many flows are remembered afterwards.
    #[must_use]
    pub fn remembering(mut self, flows: usize) -> Self {
        self.flows = Some(flows);
        self
    }

    /// How long ago the first frame was seen.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.earlier.first().map_or(Duration::ZERO, |first| first.ago)
    }
}
