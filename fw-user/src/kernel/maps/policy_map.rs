//! The policy in the kernel: three buffers, of which one is in force. While a change waits to be confirmed, another one has the policy to fall back
//! to. A policy is written into a free one, and one 64-bit store puts it in force, so that no packet is judged by half of it. The same store says
//! whether anything is dropped, and until when it all holds.

pub(crate) mod on_link;

use aya::maps::{Array, LpmTrie, Map, MapData, MapError, lpm_trie::Key};
use fw_common::{
    abi::{
        self, CLASS_CLOSED, CLASS_FORWARD, ClassPage, PAGE, PAGES, PORT_PROTOCOLS, SOURCE_PREFIX, Settings, Source4,
        Source6, map,
    },
    active::Active,
    admission::Admission,
    compiled::Compiled,
    policy::Policy,
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rustix::thread::{MembarrierCommand, membarrier};

use crate::{
    error::{Error, KernelError, Result, SafeguardError},
    host::network::Network,
    kernel::{
        clock,
        maps::{
            batch::BatchMap,
            typed_rules::{self, TypedRules},
        },
        pins::Pins,
        plain::Plain,
        shape,
    },
};

/// An error while reading or writing a map.
type Fault = Box<dyn std::error::Error + Send + Sync>;

/// The terms of a policy in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Whether verdicts are counted and nothing is dropped (monitor mode).
    pub monitors: bool,
    /// The second of `CLOCK_MONOTONIC` at which it reverts unless it is confirmed; `None` for never.
    pub deadline: Option<u32>,
}

impl Terms {
    fn apply(self, active: Active, fallback: Option<Active>) -> Active {
        let active = active.monitoring(self.monitors);
        self.deadline.map_or(active, |deadline| active.until(deadline, fallback))
    }
}

/// The maps that hold an interface's policy.
pub struct PolicyMap {
    interface: String,
    active: Array<MapData, Plain<Active>>,
    settings: Array<MapData, Plain<Settings>>,
    ports: Array<MapData, Plain<ClassPage>>,
    /// The same map, for batch reads.
    classes: BatchMap<u32, ClassPage>,
    sources4: LpmTrie<MapData, Plain<Source4>, Plain<Admission>>,
    sources6: LpmTrie<MapData, Plain<Source6>, Plain<Admission>>,
    rules: TypedRules,
}

impl PolicyMap {
    /// Open the pinned maps of an interface.
    pub fn open(pins: &Pins, interface: &str) -> Result<Self> {
        let bad = |name| {
            move |error: MapError| {
                Error::Kernel(KernelError::BadPin { path: pins.map(interface, name), source: error.into() })
            }
        };
        let array = |name| shape::open(pins, interface, name).map(Map::Array);
        let trie = |name| shape::open(pins, interface, name).map(Map::LpmTrie);
        Ok(Self {
            interface: interface.to_owned(),
            active: array(map::ACTIVE)?.try_into().map_err(bad(map::ACTIVE))?,
            settings: array(map::SETTINGS)?.try_into().map_err(bad(map::SETTINGS))?,
            ports: array(map::PORTS)?.try_into().map_err(bad(map::PORTS))?,
            classes: BatchMap::open(&pins.map(interface, map::PORTS))?,
            sources4: trie(map::SOURCES4)?.try_into().map_err(bad(map::SOURCES4))?,
            sources6: trie(map::SOURCES6)?.try_into().map_err(bad(map::SOURCES6))?,
            rules: TypedRules::open(pins, interface)?,
        })
    }

    /// The policy in force, as it was typed, without what has ended. If the rules beside it mean something else, they are damaged or of another version; then the policy is
    /// what is in force.
    pub fn read(&self) -> Result<Policy> {
        let buffer = self.in_force()?.buffer();
        let compiled = self.read_compiled(buffer).map_err(|error| self.unreadable(error))?;
        let typed = self.rules.read(buffer).and_then(|typed| compiled.typed(typed));
        Ok(typed.unwrap_or_else(|| compiled.decompile()).without_ended(clock::since_boot()?))
    }

    /// The policy in force, whether it drops, and whether it waits to be confirmed. After a deadline that is not handled yet, the kernel's fallback.
    pub fn in_force(&self) -> Result<Active> {
        let active = self.active()?;
        Ok(if active.has_ended(clock::now()?) { active.fallback() } else { active })
    }

    /// The word in the map.
    pub fn active(&self) -> Result<Active> {
        self.active.get(&0, 0).map(|Plain(active)| active).map_err(|error| self.unreadable(error))
    }

    fn unreadable(&self, error: impl Into<Fault>) -> Error {
        Error::refused(format!("reading the policy of {}", self.interface), error)
    }

    fn read_compiled(&self, buffer: u32) -> Result<Compiled, Fault> {
        let mut compiled = Compiled::default();
        compiled.settings = self.settings.get(&buffer, 0)?.0;
        compiled.all_classes_mut().copy_from_slice(self.read_classes(buffer)?.as_flattened());
        compiled.networks = self.read_networks(buffer)?;
        Ok(compiled)
    }

    /// Each class with one of its networks, in the order of [`Compiled::networks`].
    fn read_networks(&self, buffer: u32) -> Result<Vec<(u16, IpNet, Admission)>, MapError> {
        let mut networks = Vec::new();
        for key in self.keys4(buffer)? {
            let Plain(source) = key.data();
            let net = Ipv4Net::new(source.address.into(), (key.prefix_len() - SOURCE_PREFIX) as u8);
            let Plain(admission) = self.sources4.get(&key, 0)?;
            networks.extend(net.map(|net| (u16::from_be_bytes(source.class), IpNet::V4(net), admission)));
        }
        for key in self.keys6(buffer)? {
            let Plain(source) = key.data();
            let net = Ipv6Net::new(source.address.into(), (key.prefix_len() - SOURCE_PREFIX) as u8);
            let Plain(admission) = self.sources6.get(&key, 0)?;
            networks.extend(net.map(|net| (u16::from_be_bytes(source.class), IpNet::V6(net), admission)));
        }
        networks.sort_unstable();
        Ok(networks)
    }

    fn read_classes(&self, buffer: u32) -> Result<Vec<ClassPage>> {
        let mut pages = vec![[CLASS_CLOSED; PAGE]; (PORT_PROTOCOLS * PAGES) as usize];
        self.classes.read_from(first_page(buffer), &mut pages)?;
        Ok(pages)
    }

    /// Put the first policy of an interface in force, which has no filter to fall back to. No program uses the maps yet, so there are no packets to wait
    /// for.
    pub fn write_first(&mut self, policy: &Policy, terms: Terms) -> Result<()> {
        let next = self.fill(policy, self.active()?)?;
        self.set_active(terms.apply(next, None))
    }

    /// Put a policy in force. After this returns, no packet is judged by the old one.
    pub fn write(&mut self, policy: &Policy, terms: Terms) -> Result<()> {
        let active = self.settled()?;
        let next = self.fill(policy, active)?;
        self.store(terms.apply(next, Some(active)))
    }

    /// Put a policy in force without a change of mode. If a change waits to be confirmed, this one joins it: `confirm` keeps both, and both revert at
    /// the same time, at `deadline` if there is a new one.
    pub fn write_or_join(&mut self, policy: &Policy, deadline: Option<u32>) -> Result<()> {
        let active = self.active()?;
        let next = self.fill(policy, active)?;
        let next = match (active.deadline(), deadline) {
            (0, None) => next,
            (0, Some(deadline)) => next.until(deadline, Some(active)),
            (present, new) => next.joining(active, new.unwrap_or(present)),
        };
        // What has reverted meanwhile is not brought back by a later deadline.
        if active.has_ended(clock::now()?) {
            return Err(Error::Safeguard(SafeguardError::NotConfirmed { names: self.interface.clone() }));
        }
        self.store(next)
    }

    /// Leave the policy as it is, and change its terms.
    pub fn set_terms(&mut self, terms: Terms) -> Result<()> {
        let active = self.settled()?;
        self.store(terms.apply(active, Some(active)))
    }

    /// Keep the policy in force beyond its deadline.
    pub fn confirm(&mut self) -> Result<()> {
        let active = self.active()?;
        self.store(active.confirmed())
    }

    /// Undo the last change: restore the earlier value of [`PolicyMap::active`], whose policy is still in its buffer.
    pub fn undo(&mut self, before: Active) -> Result<()> {
        self.store(before)
    }

    /// Restore the policy before the unconfirmed change.
    pub fn fall_back(&mut self) -> Result<()> {
        let active = self.active()?;
        self.store(active.fallback())
    }

    /// After a filter was taken off that was attached on trial: tell the command that still has its maps open.
    pub fn end(&mut self) -> Result<()> {
        let active = self.active()?;
        self.set_active(active.ended())
    }

    /// Refuse while a change waits to be confirmed.
    pub fn check_settled(&self) -> Result<()> {
        self.settled().map(drop)
    }

    /// The policy in force without a deadline.
    fn settled(&self) -> Result<Active> {
        let active = self.active()?;
        match clock::left(active)? {
            None => Ok(active),
            Some(left) => Err(Error::Safeguard(SafeguardError::Unconfirmed {
                name: self.interface.clone(),
                seconds: left.as_secs(),
            })),
        }
    }

    fn store(&mut self, active: Active) -> Result<()> {
        self.set_active(active)?;
        await_packets_in_flight();
        Ok(())
    }

    fn set_active(&mut self, active: Active) -> Result<()> {
        let set = self.active.set(0, Plain(active), 0);
        set.map_err(|error| Error::refused(format!("putting the policy of {} in force", self.interface), error))
    }

    /// Write a policy into a free buffer; returns the word that puts it in force.
    fn fill(&mut self, policy: &Policy, active: Active) -> Result<Active> {
        let mut policy = policy.clone();
        (policy.on_link, policy.macs) = if policy.needs_lan() {
            let network = Network::ask()?;
            (network.on_link_of(&self.interface), network.macs_of(&self.interface))
        } else {
            Default::default()
        };
        let (compiled, text) = (policy.compile()?, typed_rules::text(&policy)?);
        let next = active.flipped(contents(&compiled));
        self.fill_buffer(&compiled, &text, next.buffer())
            .map_err(|error| Error::refused(format!("writing the policy of {}", self.interface), error))?;
        Ok(next)
    }

    fn fill_buffer(&mut self, compiled: &Compiled, text: &str, buffer: u32) -> Result<(), Fault> {
        let (classes, _) = compiled.all_classes().as_chunks::<PAGE>();
        for (page, (&classes, before)) in (first_page(buffer)..).zip(classes.iter().zip(self.read_classes(buffer)?)) {
            // Most pages are closed and stay so; a read is cheaper than a write.
            if classes != before {
                self.ports.set(page, Plain(classes), 0)?;
            }
        }
        for key in self.keys4(buffer)? {
            self.sources4.remove(&key)?;
        }
        for key in self.keys6(buffer)? {
            self.sources6.remove(&key)?;
        }
        for &(class, network, admission) in &compiled.networks {
            match network {
                IpNet::V4(net) => self.sources4.insert(&key4(buffer, class, net), Plain(admission), 0)?,
                IpNet::V6(net) => self.sources6.insert(&key6(buffer, class, net), Plain(admission), 0)?,
            }
        }
        self.settings.set(buffer, Plain(compiled.settings), 0)?;
        self.rules.write(buffer, text)?;
        Ok(())
    }

    fn keys4(&self, buffer: u32) -> Result<Vec<Key<Plain<Source4>>>, MapError> {
        let of_buffer = |key: &Result<Key<Plain<Source4>>, _>| !matches!(key, Ok(key) if u32::from({ key.data() }.0.buffer) != buffer);
        self.sources4.keys().filter(of_buffer).collect()
    }

    fn keys6(&self, buffer: u32) -> Result<Vec<Key<Plain<Source6>>>, MapError> {
        let of_buffer = |key: &Result<Key<Plain<Source6>>, _>| !matches!(key, Ok(key) if u32::from({ key.data() }.0.buffer) != buffer);
        self.sources6.keys().filter(of_buffer).collect()
    }
}

fn key4(buffer: u32, class: u16, net: Ipv4Net) -> Key<Plain<Source4>> {
    let (class, address) = (class.to_be_bytes(), net.network().octets());
    let source = Source4 { buffer: buffer as u8, padding: 0, class, address };
    Key::new(SOURCE_PREFIX + u32::from(net.prefix_len()), Plain(source))
}

fn key6(buffer: u32, class: u16, net: Ipv6Net) -> Key<Plain<Source6>> {
    let (class, address) = (class.to_be_bytes(), net.network().octets());
    let source = Source6 { buffer: buffer as u8, padding: 0, class, address };
    Key::new(SOURCE_PREFIX + u32::from(net.prefix_len()), Plain(source))
}

/// The bits of [`Active`] that say what a policy has.
fn contents(compiled: &Compiled) -> u64 {
    let networks = compiled.networks.iter().any(|(class, ..)| *class == CLASS_FORWARD);
    [(networks, Active::NETWORKS), (compiled.has_limits(), Active::LIMITS)]
        .into_iter()
        .fold(0, |bits, (has, bit)| if has { bits | bit } else { bits })
}

/// Change the policies of several interfaces, or of none.
pub fn change_all<'a, T>(
    changes: impl Iterator<Item = (&'a mut PolicyMap, T)>,
    change: impl Fn(&mut PolicyMap, T) -> Result<()>,
) -> Result<()> {
    let mut done: Vec<(&mut PolicyMap, Active)> = Vec::new();
    for (map, to) in changes {
        let changed = map.active().and_then(|before| change(map, to).map(|()| before));
        match changed {
            Ok(before) => done.push((map, before)),
            Err(error) => {
                let mut stay = Vec::new();
                for (map, before) in done {
                    if map.undo(before).is_err() {
                        stay.push(map.interface.clone());
                    }
                }
                return Err(if stay.is_empty() { error } else { error.after(format!("changed {}", stay.join(", "))) });
            }
        }
    }
    Ok(())
}

const fn first_page(buffer: u32) -> u32 {
    buffer * PORT_PROTOCOLS * PAGES
}

/// Wait until every packet that started under the old policy is judged, so that its buffer can be written again: a global memory barrier waits for an
/// RCU grace period (membarrier(2)), and XDP and TC programs run inside RCU's read side. Packets that start later read the new word, and it names
/// every buffer that they are judged by: the one in force, and after a deadline the fallback.
pub(super) fn await_packets_in_flight() {
    if membarrier(MembarrierCommand::Global).is_err() {
        // Kernels with full dynticks refuse it, and sandboxes may. A tick is 10 ms at most, and every CPU that handles packets ticks.
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

const _: () = assert!(abi::BUFFERS == 3, "one buffer in force, one to fall back to, one to write");
