//! Notes on a filter on an interface.

use rtnetlink::packet_route::link::LinkLayerType;

use crate::{
    host::{bridge_ports, interface::Interface, ipsec, pppoe},
    kernel::meta::Mode,
};

/// The notes as sentences. `mode` is the filter's, or `None` if there is no filter yet.
#[must_use]
pub(crate) fn notes(interface: &Interface, all: &[Interface], mode: Option<Mode>) -> Vec<String> {
    let mut notes = bridge_ports::notes(interface, all);
    if !interface.is_of_ipsec() && ipsec::ends_here() {
        notes.push(of_ipsec(mode));
    }
    if pppoe::carriers().contains(&interface.name) {
        notes.push(of_pppoe(&interface.name, all));
    }
    notes
}

fn of_ipsec(mode: Option<Mode>) -> String {
    let what = match mode {
        Some(Mode::Native) => "native mode filters only the encrypted packets; their contents pass",
        Some(Mode::Generic) => {
            "generic mode drops decrypted packets to closed ports; --mode tc lets them pass (Linux 6.6), or allow those ports"
        }
        Some(Mode::Tc) => "decrypted packets pass, whatever their port",
        None => "generic mode drops decrypted packets to closed ports; tc mode and native mode let them pass",
    };
    format!("an IPsec tunnel ends at this machine: {what}")
}

fn of_pppoe(name: &str, all: &[Interface]) -> String {
    let sessions: Vec<&str> =
        all.iter().filter(|one| one.layer == LinkLayerType::Ppp).map(|one| one.name.as_str()).collect();
    let sessions = if sessions.is_empty() { "the ppp interface".to_owned() } else { sessions.join(", ") };
    format!("{name} carries PPPoE, which passes: {sessions} needs a filter of its own")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interface_of_a_pppoe_session_is_named() {
        let of = |name: &str, layer| Interface { name: name.to_owned(), layer, ..Interface::default() };
        let all = [of("eth0", LinkLayerType::Ether), of("ppp0", LinkLayerType::Ppp)];
        assert_eq!(of_pppoe("eth0", &all), "eth0 carries PPPoE, which passes: ppp0 needs a filter of its own");
        assert!(of_pppoe("eth0", &all[..1]).contains("the ppp interface needs"));
    }
}
