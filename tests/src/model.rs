//! fw-common's look-ups over plain collections, with a clock that is set by hand.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use fw_common::{
    AddressLookups, Decision, Lookups, PortProtocol, Reason,
    abi::{CLASS_FORWARD, CLASS_LAN, ON_LINK, Sent, is_by_link},
    address::{Address, V4, V6, mapped},
    admission::{Admission, LimitKey},
    compiled::{Compiled, DoesNotFit},
    decide, decide_packet,
    flow::{self, FlowClass, FlowEntry, FlowKey4, FlowKey6, FlowKind, judge},
    policy::Policy,
    rate::{Attempts, Rate},
    track, track_packet,
    wire::{
        Addresses,
        ethernet::{self, Tags},
    },
};

use ipnet::IpNet;

use crate::{
    packet::ether_type,
    row::{Direction, Row},
    world::{self, Routing},
};

/// How long ago each flow was last used, and what ever left from each port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flows {
    /// Ages of IPv4 flows.
    pub v4: BTreeMap<FlowKey4, Duration>,
    /// Ages of IPv6 flows.
    pub v6: BTreeMap<FlowKey6, Duration>,
    /// The local ports that sent something, each as (unicast, multicast).
    pub sent: BTreeMap<(PortProtocol, u16), (u8, u8)>,
    /// The protocols without ports that sent something.
    pub sent_portless: BTreeSet<u8>,
}

/// The result of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The decision about the frame that came in.
    pub decision: Decision,
    /// The flow tables afterwards.
    pub flows: Flows,
}

impl Outcome {
    /// The differences to another result of the same row, whose flows may be up to `slack` older.
    #[must_use]
    pub fn difference(&self, other: &Self, slack: Duration) -> Option<String> {
        if self.decision != other.decision {
            return Some(format!("{:?} and {:?}", self.decision, other.decision));
        }
        let same = (&self.flows.sent, &self.flows.sent_portless) == (&other.flows.sent, &other.flows.sent_portless)
            && same_ages(&self.flows.v4, &other.flows.v4, slack)
            && same_ages(&self.flows.v6, &other.flows.v6, slack);
        (!same).then(|| format!("{:?} and {:?}", self.flows, other.flows))
    }
}

fn same_ages<K: Ord>(ours: &BTreeMap<K, Duration>, theirs: &BTreeMap<K, Duration>, slack: Duration) -> bool {
    ours.keys().eq(theirs.keys()) && ours.iter().all(|(key, &age)| (age..=age + slack).contains(&theirs[key]))
}

/// A host as fw-common sees it.
pub struct Model {
    policy: Compiled,
    routing: Routing,
    now: Cell<u64>,
    flows4: RefCell<BTreeMap<FlowKey4, FlowEntry>>,
    flows6: RefCell<BTreeMap<FlowKey6, FlowEntry>>,
    sent: RefCell<BTreeMap<(PortProtocol, u16), Sent>>,
    sent_portless: RefCell<BTreeSet<u8>>,
    attempts: RefCell<BTreeMap<LimitKey, Attempts>>,
    /// Networks, and when each ban ends by this clock.
    bans: RefCell<Vec<(IpNet, u64)>>,
}

impl Flows {
    /// How many flows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Model {
    /// A host that has just attached a policy, in [`world`].
    ///
    /// # Errors
    /// When the policy is larger than the kernel's maps.
    pub fn new(policy: &Policy, routing: Routing) -> Result<Self, DoesNotFit> {
        let mut policy = policy.clone();
        if policy.needs_lan() {
            policy.on_link = world::on_link();
        }
        Ok(Self {
            policy: policy.compile()?,
            routing,
            // Any time that is later than the longest timeout.
            now: Cell::new(1_000_000_000_000_000),
            flows4: RefCell::default(),
            flows6: RefCell::default(),
            sent: RefCell::default(),
            sent_portless: RefCell::default(),
            attempts: RefCell::default(),
            bans: RefCell::default(),
        })
    }

    /// Ban a network, for ever or for as long from now on.
    pub fn ban(&self, network: IpNet, lasts: Option<Duration>) {
        let end = lasts.map_or(u64::MAX, |lasts| self.now.get() + lasts.as_nanos() as u64);
        self.bans.borrow_mut().push((network, end));
    }

    /// Let time pass.
    pub fn pass(&self, time: Duration) {
        self.now.set(self.now.get() + time.as_nanos() as u64);
    }

    /// Play a row through `track` and `decide`.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn play(row: &Row) -> Result<Outcome, DoesNotFit> {
        Self::play_by(row, track, decide)
    }

    /// Play a row of untagged packets without their Ethernet headers.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn play_bare(row: &Row) -> Result<Outcome, DoesNotFit> {
        let packet = |frame: &[u8]| frame[ethernet::HEADER..].to_vec();
        Self::play_by(
            row,
            |frame, model| track_packet(&packet(frame)[..], ether_type(frame), model),
            |frame, model| decide_packet(&packet(frame)[..], ether_type(frame), model),
        )
    }

    fn play_by(
        row: &Row,
        send: impl Fn(&[u8], &Self) -> Result<(), Reason>,
        receive: impl Fn(&[u8], &Self) -> Decision,
    ) -> Result<Outcome, DoesNotFit> {
        let model = Self::new(&row.policy, row.routing)?;
        row.bans.iter().for_each(|ban| model.ban(ban.network, ban.lasts));
        let mut ago = row.age();
        for earlier in &row.earlier {
            model.pass(ago.abs_diff(earlier.ago));
            ago = earlier.ago;
            match earlier.direction {
                // An unreadable packet leaves no trace; a test of inbound packets shows this.
                Direction::Egress => {
                    let _unread = send(&earlier.frame, &model);
                }
                Direction::Ingress => {
                    receive(&earlier.frame, &model);
                }
            }
        }
        model.pass(ago);
        let decision = receive(&row.frame, &model);
        Ok(Outcome { decision, flows: model.flows() })
    }

    /// The flow tables.
    fn flows(&self) -> Flows {
        let age = |entry: &FlowEntry| Duration::from_nanos(entry.age(self.now.get()).cast_unsigned());
        Flows {
            v4: self.flows4.borrow().iter().map(|(key, entry)| (*key, age(entry))).collect(),
            v6: self.flows6.borrow().iter().map(|(key, entry)| (*key, age(entry))).collect(),
            sent: self.sent.borrow().iter().map(|(port, sent)| (*port, (sent.unicast, sent.multicast))).collect(),
            sent_portless: self.sent_portless.borrow().clone(),
        }
    }

    fn is_forwarded(&self, tags: Tags, source: impl Into<IpAddr>, destination: impl Into<IpAddr>) -> bool {
        let forbidden = self.policy.settings.forward == 0;
        forbidden && self.routing != Routing::Off && world::leads_elsewhere(tags, source.into(), destination.into())
    }

    fn is_banned(&self, sender: IpAddr) -> bool {
        let now = self.now.get();
        self.bans.borrow().iter().any(|&(network, end)| end > now && network.contains(&sender))
    }

    /// The admission of the longest prefix.
    fn admission(&self, class: u16, source: IpAddr) -> Option<Admission> {
        let is_on_link = is_by_link(class) && self.is_in_class(CLASS_LAN, source);
        let class = if is_on_link { class | ON_LINK } else { class };
        let of_class = self.policy.networks.iter().filter(|(of, network, _)| *of == class && network.contains(&source));
        of_class.max_by_key(|(_, network, _)| network.prefix_len()).map(|&(.., admission)| admission)
    }

    fn is_in_class(&self, class: u16, source: IpAddr) -> bool {
        self.admission(class, source).is_some_and(|admission| admission.lets_in(self.now.get()) != 0)
    }

    fn exceeds_limit(&self, class: u16, source: IpAddr, key: LimitKey) -> bool {
        let limited = self.admission(class, source).filter(|admission| admission.open_until <= self.now.get());
        limited.is_some_and(|admission| admission.then != Rate::NONE && self.exceeds(key, admission.then))
    }

    fn exceeds(&self, key: LimitKey, rate: Rate) -> bool {
        let mut attempts = self.attempts.borrow_mut();
        if let Some(attempts) = attempts.get_mut(&key) {
            return attempts.exceed(rate, self.now.get());
        }
        attempts.insert(key, Attempts::first(self.now.get()));
        false
    }

    fn find<K: Ord>(
        &self,
        flows: &RefCell<BTreeMap<K, FlowEntry>>,
        key: &K,
        class: FlowClass,
        direction: flow::Direction,
    ) -> bool {
        let mut flows = flows.borrow_mut();
        let Some(entry) = flows.get_mut(key) else { return false };
        let (alive, becomes) = judge(*entry, self.now.get(), class, &self.policy.settings.timeouts, direction);
        if let Some(becomes) = becomes {
            *entry = becomes;
        }
        alive
    }
}

impl Lookups for Model {
    fn class(&self, protocol: PortProtocol, port: u16) -> u16 {
        self.policy.classes(protocol)[usize::from(port)]
    }

    fn allows_protocol(&self, protocol: u8) -> bool {
        self.policy.settings.allows(protocol)
    }

    fn has_bans(&self) -> bool {
        !self.bans.borrow().is_empty()
    }

    fn interface(&self) -> u32 {
        world::INTERFACE_INDEX
    }

    fn names_networks(&self) -> bool {
        self.policy.networks.iter().any(|(class, ..)| *class == CLASS_FORWARD)
    }

    fn has_limits(&self) -> bool {
        self.policy.has_limits()
    }

    fn exceeds_ping_limit(&self) -> bool {
        let rate = self.policy.settings.ping;
        rate != Rate::NONE && self.exceeds(LimitKey::PING, rate)
    }

    fn sent(&self, protocol: PortProtocol, port: u16) -> Sent {
        self.sent.borrow().get(&(protocol, port)).copied().unwrap_or(Sent { unicast: 0, multicast: 0 })
    }

    fn mark_sent(&self, protocol: PortProtocol, port: u16, kind: FlowKind) {
        let mut sent = self.sent.borrow_mut();
        let sent = sent.entry((protocol, port)).or_insert(Sent { unicast: 0, multicast: 0 });
        match kind {
            FlowKind::Unicast => sent.unicast = 1,
            FlowKind::Multicast | FlowKind::Mdns => sent.multicast = 1,
        }
    }

    fn sent_portless(&self, protocol: u8) -> bool {
        self.sent_portless.borrow().contains(&protocol)
    }

    fn mark_sent_portless(&self, protocol: u8) {
        self.sent_portless.borrow_mut().insert(protocol);
    }
}

impl AddressLookups<V4> for Model {
    fn is_in_class(&self, class: u16, address: V4) -> bool {
        self.is_in_class(class, address.to_bytes().into())
    }

    fn exceeds_limit(&self, class: u16, port: u32, sender: V4) -> bool {
        self.exceeds_limit(class, sender.to_bytes().into(), LimitKey { sender: mapped(sender), port })
    }

    fn is_forwarded(&self, tags: Tags, addresses: &Addresses<V4>) -> bool {
        self.is_forwarded(tags, addresses.source.to_bytes(), addresses.destination.to_bytes())
    }

    fn is_banned(&self, sender: V4) -> bool {
        self.is_banned(sender.to_bytes().into())
    }

    fn may_be_on_link(&self, tags: Tags, sender: V4) -> bool {
        world::may_be_on_link(self.routing, tags, sender.to_bytes().into())
    }

    fn find_flow(&self, key: &FlowKey4, class: FlowClass, direction: flow::Direction) -> bool {
        self.find(&self.flows4, key, class, direction)
    }

    fn insert_flow(&self, key: &FlowKey4, _: FlowClass) {
        self.flows4.borrow_mut().insert(*key, FlowEntry::new(self.now.get(), false));
    }
}

impl AddressLookups<V6> for Model {
    fn is_in_class(&self, class: u16, address: V6) -> bool {
        self.is_in_class(class, address.to_bytes().into())
    }

    fn exceeds_limit(&self, class: u16, port: u32, sender: V6) -> bool {
        let address = IpAddr::from(sender.to_bytes());
        let [first, second, ..] = sender;
        let sender = if self.is_in_class(CLASS_LAN, address) { sender } else { [first, second, 0, 0] };
        self.exceeds_limit(class, address, LimitKey { sender, port })
    }

    fn is_forwarded(&self, tags: Tags, addresses: &Addresses<V6>) -> bool {
        self.is_forwarded(tags, addresses.source.to_bytes(), addresses.destination.to_bytes())
    }

    fn is_banned(&self, sender: V6) -> bool {
        self.is_banned(sender.to_bytes().into())
    }

    fn may_be_on_link(&self, tags: Tags, sender: V6) -> bool {
        world::may_be_on_link(self.routing, tags, sender.to_bytes().into())
    }

    fn find_flow(&self, key: &FlowKey6, class: FlowClass, direction: flow::Direction) -> bool {
        self.find(&self.flows6, key, class, direction)
    }

    fn insert_flow(&self, key: &FlowKey6, _: FlowClass) {
        self.flows6.borrow_mut().insert(*key, FlowEntry::new(self.now.get(), false));
    }
}
