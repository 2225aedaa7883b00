//! The situation of an inbound frame.

use std::{fmt, net::IpAddr};

use fw_common::{
    Decision, PortProtocol,
    compiled::DoesNotFit,
    concluded, decide, decide_located,
    policy::Policy,
    track,
    wire::located::{Located, LocatedNetwork},
};

use ipnet::IpNet;

use crate::{
    model::Model,
    world::{Family, HOST, Routing, Station},
};

/// A host with a policy that has sent this and that.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Situation {
    /// The policy.
    pub policy: Policy,
    /// Whether the host forwards packets.
    pub is_router: bool,
    /// Who is banned.
    pub banned: Vec<IpNet>,
    /// The packets that it has just sent.
    pub sent: Vec<Conversation>,
}

/// A packet that this host sent, and may be answered.
#[derive(Clone, Copy, Debug)]
pub struct Conversation {
    /// Over IPv4 or IPv6.
    pub family: Family,
    /// The transport.
    pub protocol: PortProtocol,
    /// To whom.
    pub to: Station,
    /// From which port.
    pub local_port: u16,
    /// To which port.
    pub remote_port: u16,
    /// Whether TCP's SYN is set.
    pub opens: bool,
}

impl PartialEq for Conversation {
    fn eq(&self, other: &Self) -> bool {
        self.frame() == other.frame()
    }
}

impl Eq for Conversation {}

impl Conversation {
    /// The frame that left.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        let ip = self.family.between(HOST, self.to);
        if self.is_mdns() {
            // A header of zeros: a question.
            return ip.udp(self.local_port, self.remote_port).payload(&[0; 12]).build();
        }
        if self.opens && self.protocol == PortProtocol::Tcp {
            return ip.tcp(self.local_port, self.remote_port).syn().build();
        }
        ip.ports(self.protocol, self.local_port, self.remote_port).build()
    }

    /// This host's address.
    #[must_use]
    pub fn local(&self) -> IpAddr {
        self.address(HOST)
    }

    /// The other one's.
    #[must_use]
    pub fn remote(&self) -> IpAddr {
        self.address(self.to)
    }

    /// Whether it went to a group or to everybody on the link. Connections go by the address alone.
    #[must_use]
    pub fn goes_to_many(&self) -> bool {
        self.remote().is_multicast() || (self.to.mac[0] & 1 == 1 && self.is_datagram())
    }

    /// Whether it belongs to no connection.
    #[must_use]
    pub fn is_datagram(&self) -> bool {
        matches!(self.protocol, PortProtocol::Udp | PortProtocol::UdpLite)
    }

    /// Whether it is between mDNS's own ports.
    #[must_use]
    pub fn is_mdns(&self) -> bool {
        self.protocol == PortProtocol::Udp && (self.local_port, self.remote_port) == (5353, 5353)
    }

    fn address(&self, of: Station) -> IpAddr {
        self.family.pick(of.v4().into(), of.v6().into())
    }
}

impl Situation {
    /// The host as fw-common sees it.
    ///
    /// # Errors
    /// When the policy is larger than the kernel's maps.
    ///
    /// # Panics
    /// Never: conversations are readable frames.
    pub fn model(&self) -> Result<Model, DoesNotFit> {
        let model = Model::new(&self.policy, self.routing())?;
        self.banned.iter().for_each(|&network| model.ban(network, None));
        for sent in &self.sent {
            track(&sent.frame()[..], &model).expect("conversations are readable");
        }
        Ok(model)
    }

    /// Whether the host routes packets on.
    #[must_use]
    pub fn routing(&self) -> Routing {
        if self.is_router { Routing::On } else { Routing::Off }
    }

    /// fw-common's decision on a frame.
    ///
    /// # Errors
    /// When the oracle says something else of it, or the path for plain packets something else than the path for all.
    pub fn judge(&self, model: &Model, frame: &[u8]) -> Result<Decision, String> {
        let decision = decide(frame, model);
        let network = LocatedNetwork::locate(frame);
        let general = decide_located(frame, Located::locate(frame, network), model);
        // Bans and limits come last.
        let general = concluded(frame, general, network, model);
        if decision != general {
            return Err(format!("decide() says {decision:?}, its path for all packets {general:?}"));
        }
        let verdict = self.verdict(frame);
        if decision.verdict() == verdict {
            return Ok(decision);
        }
        Err(format!("decide() says {} ({}), the oracle {verdict}", decision.verdict(), decision.reason()))
    }
}

impl fmt::Debug for Situation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { policy, is_router, banned, sent } = self;
        let rules: Vec<_> = policy.rules().iter().map(ToString::to_string).collect();
        let router = if *is_router { "a router" } else { "no router" };
        write!(
            f,
            "allow {rules:?}, protocols {:?}, forward {}, {router}, ban {banned:?}",
            policy.protocols, policy.forward
        )?;
        sent.iter().try_for_each(|sent| {
            let Conversation { protocol, local_port, remote_port, opens, .. } = sent;
            let (local, remote, many) = (sent.local(), sent.remote(), sent.goes_to_many());
            write!(
                f,
                "\n  sent {protocol} {local} {local_port} > {remote} {remote_port}, opens {opens}, to many {many}"
            )
        })
    }
}
