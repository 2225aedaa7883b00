//! Where an interface stands among others, and what a filter there does and does not see: bridges, bonds, VLANs, macvlans.

use std::path::Path;

use crate::interface::Interface;

/// What a person should know of a filter on this interface, in sentences.
#[must_use]
pub fn notes(interface: &Interface, all: &[Interface]) -> Vec<String> {
    let name = &interface.name;
    let mut notes = Vec::new();
    if let Some(controller) = all.iter().find(|one| interface.master == Some(one.index)) {
        notes.push(of_port(name, controller));
    }
    if interface.kind.as_deref() == Some("bridge") {
        notes.push(format!(
            "{name} is a bridge: what is for this machine is judged; frames that it passes on between its ports are not"
        ));
        if netfilter_comes_first() {
            notes.push(format!(
                "net.bridge.bridge-nf-call-iptables is 1: Docker redirects packets before they reach {name}; attach to its ports instead"
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
        notes.push(format!("what is for {}, which stands on {name}, is judged by the same ports", above.join(", ")));
    }
    if interface.kind.as_deref() == Some("vlan")
        && let Some(parent) = all.iter().find(|one| interface.below == Some(one.index))
    {
        notes.push(format!(
            "{name} is one VLAN of {parent}: its other VLANs and untagged packets are not judged",
            parent = parent.name
        ));
    }
    notes
}

fn of_port(name: &str, controller: &Interface) -> String {
    let above = &controller.name;
    match controller.kind.as_deref() {
        Some("bridge") => format!(
            "{name} is a port of the bridge {above}: frames that only pass through to other machines are judged as well; for this machine \
             alone, attach to {above} instead"
        ),
        Some(kind @ ("bond" | "team")) => format!(
            "{name} is one of the interfaces of the {kind} {above}: what comes in by the others is not judged; attach to {above} instead"
        ),
        _ => format!("{name} is controlled by {above}: packets that are for {above} are judged as well"),
    }
}

/// Whether netfilter sees packets on a bridge's port, and so rewrites them before a program on the bridge runs.
fn netfilter_comes_first() -> bool {
    std::fs::read_to_string(Path::new("/proc/sys/net/bridge/bridge-nf-call-iptables"))
        .is_ok_and(|value| value.trim() == "1")
}

#[cfg(test)]
mod tests {
    use rtnetlink::packet_route::link::{LinkLayerType, XdpAttached};

    use super::*;

    fn interface(name: &str, index: u32, kind: Option<&str>, master: Option<u32>) -> Interface {
        Interface {
            name: name.to_owned(),
            index,
            layer: LinkLayerType::Ether,
            kind: kind.map(ToOwned::to_owned),
            master,
            below: None,
            mtu: 1500,
            xdp_program: None,
            xdp_attached: XdpAttached::None,
        }
    }

    /// Not every kernel that tests run on has bonds.
    #[test]
    fn the_bond_is_the_place_rather_than_its_members() {
        for kind in ["bond", "team"] {
            let all = [interface("eth0", 2, None, Some(3)), interface("bond0", 3, Some(kind), None)];
            let of_member = notes(&all[0], &all);
            assert_eq!(of_member.len(), 1, "{of_member:?}");
            for words in [kind, "by the others is not judged", "attach to bond0 instead"] {
                assert!(of_member[0].contains(words), "no {words:?} in {of_member:?}");
            }
            assert!(notes(&all[1], &all).is_empty());
        }
    }
}
