//! The bridges, bonds, VLANs and macvlans around an interface, and what a filter there does and does not see.

use std::{fs, path::Path};

use crate::host::interface::Interface;

/// The bridges whose packets netfilter sees at the ports, where it rewrites them before a program on the bridge runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum BridgeNetfilter {
    /// No bridge's: `br_netfilter` is not loaded.
    #[default]
    Absent,
    /// Bridges with an option of their own: `ip link set br0 type bridge nf_call_iptables 1`.
    Own,
    /// Every bridge's.
    All,
}

impl BridgeNetfilter {
    /// As this network namespace has it.
    pub(crate) fn here() -> Self {
        let folder = Path::new("/proc/sys/net/bridge");
        let is_on = |name: &str| fs::read_to_string(folder.join(name)).is_ok_and(|value| value.trim() != "0");
        if ["bridge-nf-call-iptables", "bridge-nf-call-ip6tables"].into_iter().any(is_on) {
            Self::All
        } else if folder.exists() {
            Self::Own
        } else {
            Self::Absent
        }
    }

    /// Whether it rewrites the packets of this bridge at its ports.
    pub(crate) fn comes_before(self, bridge: &Interface) -> bool {
        self == Self::All || self == Self::Own && bridge.calls_netfilter
    }
}

/// Notes on a filter on this interface, as sentences.
#[must_use]
pub(crate) fn notes(interface: &Interface, all: &[Interface]) -> Vec<String> {
    notes_with(interface, all, BridgeNetfilter::here())
}

fn notes_with(interface: &Interface, all: &[Interface], netfilter: BridgeNetfilter) -> Vec<String> {
    let name = &interface.name;
    let mut notes = Vec::new();
    if let Some(controller) = all.iter().find(|one| interface.master == Some(one.index)) {
        notes.push(of_port(name, controller, netfilter));
    }
    if interface.kind.as_deref() == Some("bridge") {
        notes.push(format!(
            "{name} is a bridge: traffic for this machine is filtered; frames between its ports are not"
        ));
        if netfilter.comes_before(interface) {
            notes.push(format!(
                "with bridge-nf-call-iptables Docker redirects packets before they reach {name}; attach to its ports instead"
            ));
        }
    }
    let is_above = |one: &&Interface| one.below == Some(interface.index) && one.index != interface.index;
    let above: Vec<&str> = all
        .iter()
        .filter(is_above)
        .filter(|one| matches!(one.kind.as_deref(), Some("vlan" | "macvlan" | "ipvlan" | "macvtap")))
        .map(|one| one.name.as_str())
        .collect();
    if !above.is_empty() {
        notes.push(format!("traffic for {} (on top of {name}) is filtered by the same rules", above.join(", ")));
    }
    if interface.kind.as_deref() == Some("vlan")
        && let Some(parent) = all.iter().find(|one| interface.below == Some(one.index))
    {
        notes.push(format!(
            "{name} is one VLAN of {parent}: its other VLANs and untagged packets are not filtered",
            parent = parent.name
        ));
    }
    notes
}

fn of_port(name: &str, controller: &Interface, netfilter: BridgeNetfilter) -> String {
    let above = &controller.name;
    match controller.kind.as_deref() {
        Some("bridge") if netfilter.comes_before(controller) => format!(
            "{name} is a port of the bridge {above}: frames that pass through to other machines are filtered as well; keep the filter on \
             the ports: with bridge-nf-call-iptables Docker redirects packets before they reach {above}"
        ),
        Some("bridge") => format!(
            "{name} is a port of the bridge {above}: frames that pass through to other machines are filtered as well; for this machine \
             alone, attach to {above} instead"
        ),
        Some(kind @ ("bond" | "team")) => format!(
            "{name} is one of the interfaces of the {kind} {above}: what comes in by the others is not filtered; attach to {above} instead"
        ),
        _ => format!("{name} is controlled by {above}: packets for {above} are filtered as well"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, index: u32, kind: Option<&str>, master: Option<u32>) -> Interface {
        Interface { name: name.to_owned(), index, kind: kind.map(ToOwned::to_owned), master, ..Interface::default() }
    }

    /// Not every kernel that tests run on has bonds.
    #[test]
    fn the_bond_is_the_place_rather_than_its_members() {
        for kind in ["bond", "team"] {
            let all = [interface("eth0", 2, None, Some(3)), interface("bond0", 3, Some(kind), None)];
            let of_member = notes(&all[0], &all);
            assert_eq!(of_member.len(), 1, "{of_member:?}");
            for words in [kind, "by the others is not filtered", "attach to bond0 instead"] {
                assert!(of_member[0].contains(words), "no {words:?} in {of_member:?}");
            }
            assert!(notes(&all[1], &all).is_empty());
        }
    }

    /// The advice for one interface never contradicts the advice for the other.
    #[test]
    fn a_bridge_and_its_ports_give_the_same_advice() {
        let port = interface("eth0", 2, None, Some(3));
        for (netfilter, calls_netfilter, to_ports) in [
            (BridgeNetfilter::Absent, false, false),
            (BridgeNetfilter::Absent, true, false),
            (BridgeNetfilter::Own, false, false),
            (BridgeNetfilter::Own, true, true),
            (BridgeNetfilter::All, false, true),
            (BridgeNetfilter::All, true, true),
        ] {
            let all = [port.clone(), Interface { calls_netfilter, ..interface("br0", 3, Some("bridge"), None) }];
            let of = |one| notes_with(one, &all, netfilter).join("; ");
            let (of_port, of_bridge) = (of(&all[0]), of(&all[1]));
            let case = format!("{netfilter:?}, {calls_netfilter}: {of_port} / {of_bridge}");
            assert_eq!(of_port.contains("attach to br0 instead"), !to_ports, "{case}");
            assert_eq!(of_port.contains("keep the filter on the ports"), to_ports, "{case}");
            assert_eq!(of_bridge.contains("attach to its ports instead"), to_ports, "{case}");
        }
    }
}
