//! The interfaces above an interface, which receive its frames: the bridge or bond that it is a port of, and VLANs. XDP does not see them, but they
//! decide what would be routed on.

use std::collections::{BTreeMap, VecDeque};

use aya::maps::{HashMap, Map, MapData, MapError};
use fw_common::{
    abi::{MAX_UPPERS, Uppers, map},
    wire::ethernet::{MAX_TAGS, Tags},
};

use crate::{
    error::{Error, KernelError, Result},
    host::interface::{self, Interface},
    kernel::{pins::Pins, plain::Plain, shape},
};

/// The kinds of interfaces that receive the frames of their ports.
const CONTROLLERS: [&str; 3] = ["bridge", "bond", "team"];

/// The receivers of an interface's frames, by tags.
type Known = BTreeMap<u32, Uppers>;

/// Record the interfaces above an attached interface. Nothing is written if nothing changed.
pub fn note(pins: &Pins, name: &str) -> Result<()> {
    note_among(pins, name, &interface::all()?)
}

/// The same where all interfaces are known.
pub fn note_among(pins: &Pins, name: &str, all: &[Interface]) -> Result<()> {
    let Some(interface) = all.iter().find(|interface| interface.name == name) else { return Ok(()) };
    Table::open(pins, name)?.write(&known(interface.index, all))
}

/// The pinned map of an interface.
pub struct Table {
    interface: String,
    map: HashMap<MapData, u32, Plain<Uppers>>,
}

impl Table {
    /// Open it.
    pub fn open(pins: &Pins, name: &str) -> Result<Self> {
        let bad = |error: MapError| {
            Error::Kernel(KernelError::BadPin { path: pins.map(name, map::UPPERS), source: error.into() })
        };
        let map = Map::HashMap(shape::open(pins, name, map::UPPERS)?).try_into().map_err(bad)?;
        Ok(Self { interface: name.to_owned(), map })
    }

    /// Set its contents to exactly these, by the words of [`Tags`].
    pub fn write(&mut self, known: &Known) -> Result<()> {
        self.try_write(known).map_err(|error| {
            Error::refused(format!("noting the bridges, bonds and VLANs above {}", self.interface), error)
        })
    }

    fn try_write(&mut self, known: &Known) -> Result<(), MapError> {
        let noted: Known =
            self.map.iter().map(|entry| entry.map(|(tags, Plain(uppers))| (tags, uppers))).collect::<Result<_, _>>()?;
        // Remove old entries first, so that there is room.
        for tags in noted.keys().filter(|tags| !known.contains_key(tags)) {
            self.map.remove(tags)?;
        }
        for (tags, uppers) in known.iter().filter(|(tags, uppers)| noted.get(tags) != Some(uppers)) {
            self.map.insert(tags, Plain(*uppers), 0)?;
        }
        Ok(())
    }
}

/// The receivers of an interface's frames. Frames without a receiver here are at most bridged on.
fn known(index: u32, all: &[Interface]) -> Known {
    let mut known = Known::new();
    let base = way(index, all);
    let mut ways = VecDeque::from([(Tags::NONE, 0, base.clone())]);
    while let Some((tags, depth, way)) = ways.pop_front().filter(|_| known.len() < MAX_UPPERS as usize) {
        // A VLAN of the interface itself has precedence over one of the same number on the bridge above.
        for lower in &way {
            for upper in all.iter().filter(|upper| upper.below == Some(*lower)) {
                let Some((ether_type, id)) = upper.vlan.filter(|&(_, id)| id != 0 && depth < MAX_TAGS) else {
                    continue;
                };
                ways.push_back((tags.with(ether_type, id), depth + 1, self::way(upper.index, all)));
            }
        }
        known.entry(tags.0).or_insert_with(|| uppers(&way, &base));
    }
    known
}

/// An interface and the controllers above it, the nearest first.
fn way(index: u32, all: &[Interface]) -> Vec<u32> {
    let find = |index: u32| all.iter().find(|interface| interface.index == index);
    let is_controller =
        |interface: &&Interface| interface.kind.as_deref().is_some_and(|kind| CONTROLLERS.contains(&kind));
    let above = |&index: &u32| find(index)?.master.and_then(find).filter(is_controller).map(|above| above.index);
    std::iter::successors(Some(index), above).take(all.len()).collect()
}

/// The last interface of a path, and the others, the later ones first; the attached interface itself is left out.
fn uppers(way: &[u32], base: &[u32]) -> Uppers {
    let mut indices = way.iter().rev().chain(base.iter().rev().filter(|index| !way.contains(index))).copied();
    let network = indices.next().unwrap_or_default();
    Uppers { network, others: std::array::from_fn(|_| indices.next().unwrap_or_default()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, index: u32, kind: Option<&str>, master: Option<u32>) -> Interface {
        Interface { name: name.to_owned(), index, kind: kind.map(ToOwned::to_owned), master, ..Interface::default() }
    }

    fn vlan(name: &str, index: u32, below: u32, id: u16) -> Interface {
        Interface { below: Some(below), vlan: Some((0x8100, id)), ..interface(name, index, Some("vlan"), None) }
    }

    #[test]
    fn frames_come_in_for_the_bridge_above_the_bond_and_for_vlans() {
        let mut all = [
            interface("eth0", 2, None, Some(3)),
            interface("bond0", 3, Some("bond"), Some(4)),
            interface("br0", 4, Some("bridge"), Some(9)),
            vlan("br0.5", 5, 4, 5),
            vlan("br0.6", 6, 4, 6),
            interface("br6", 7, Some("bridge"), None),
            vlan("br0.5.8", 8, 5, 8),
            interface("red", 9, Some("vrf"), None),
            vlan("other.5", 10, 99, 7),
        ];
        all[4].master = Some(7);
        let tag = |id| Tags::NONE.with(0x8100, id);
        let expected = Known::from([
            (0, Uppers { network: 4, others: [3, 2, 0] }),
            (tag(5).0, Uppers { network: 5, others: [4, 3, 2] }),
            (tag(6).0, Uppers { network: 7, others: [6, 4, 3] }),
            (tag(5).with(0x8100, 8).0, Uppers { network: 8, others: [4, 3, 2] }),
        ]);
        assert_eq!(known(2, &all), expected);
    }

    #[test]
    fn an_interface_without_anything_above_it_receives_for_itself() {
        let all = [interface("eth0", 2, None, None), interface("eth1", 3, None, None)];
        assert_eq!(known(2, &all), Known::from([(0, Uppers { network: 2, others: [0; 3] })]));
    }
}
