//! The sockets that systemd opens for servers of SSH.

use std::{collections::BTreeSet, net::SocketAddr, path::Path};

use crate::host::systemd::{BOOTED, run};

/// The TCP ports at which systemd listens for an SSH server; none without systemd, or if it does not answer.
pub(crate) fn of_sshd() -> BTreeSet<u16> {
    if !Path::new(BOOTED).exists() {
        return BTreeSet::new();
    }
    let said = run("systemctl", ["show", "--property=Id,Triggers,Listen", "*.socket"]);
    said.map(|said| parse(&said)).unwrap_or_default()
}

/// The ports of units that have the name of an SSH server, or start a unit that has.
fn parse(said: &str) -> BTreeSet<u16> {
    let mut ports = BTreeSet::new();
    for unit in said.split("\n\n") {
        let values = |key: &'static str| {
            unit.lines()
                .filter_map(move |line| line.split_once('='))
                .filter(move |line| line.0 == key)
                .map(|line| line.1)
        };
        if values("Id").chain(values("Triggers")).flat_map(str::split_whitespace).any(is_of_sshd) {
            // Older versions include the kind in the name.
            let streams = values("Listen").filter_map(|listen| listen.strip_suffix(" (Stream)"));
            ports.extend(streams.chain(values("ListenStream")).filter_map(tcp_port));
        }
    }
    ports
}

/// `ssh.socket`, `sshd.socket`, `sshd@.service`, `dropbear.socket`, and such as `ssh-vpn.socket`.
fn is_of_sshd(unit: &str) -> bool {
    let name = unit.split(['.', '@', '-']).next().unwrap_or_default();
    ["ssh", "sshd", "dropbear", "tinysshd"].contains(&name)
}

/// The port of `[::]:22`. Paths and `vsock::22` have none.
fn tcp_port(address: &str) -> Option<u16> {
    Some(address.parse::<SocketAddr>().ok()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_sshds_by_its_name_or_by_what_it_starts() {
        let rows: [(&str, &[u16]); 10] = [
            ("Listen=[::]:22 (Stream)\nId=ssh.socket\nTriggers=ssh.service\n", &[22]),
            ("Id=ssh.socket\nTriggers=ssh.service\nListenStream=[::]:22\nListenDatagram=[::]:23\n", &[22]),
            (
                "Listen=0.0.0.0:2222 (Stream)\nListen=[::]:2222 (Stream)\nListen=192.0.2.1:2022 (Stream)\nId=ssh.socket\nTriggers=ssh.service",
                &[2022, 2222],
            ),
            // One process per connection: the unit that it starts has no name yet.
            ("Listen=[::]:2222 (Stream)\nId=sshd.socket\nTriggers=\n", &[2222]),
            (
                "Listen=[::]:2222 (Stream)\nId=dropbear.socket\nTriggers=dropbear@3-192.0.2.1:2222-192.0.2.10:5.service\n",
                &[2222],
            ),
            ("Listen=[::]:2222 (Stream)\nId=door.socket\nTriggers=sshd.service\n", &[2222]),
            ("Listen=[::]:9090 (Stream)\nId=cockpit.socket\nTriggers=cockpit.service\n", &[]),
            ("Listen=/run/ssh.sock (Stream)\nListen=vsock::22 (Stream)\nId=sshd-unix-local.socket\nTriggers=\n", &[]),
            (
                "Listen=[::]:631 (Stream)\nId=cups.socket\nTriggers=cups.service\n\nListen=[::]:23 (Stream)\nId=ssh-lan.socket\nTriggers=ssh.service\n",
                &[23],
            ),
            ("", &[]),
        ];
        for (said, expected) in rows {
            assert_eq!(parse(said), expected.iter().copied().collect(), "{said}");
        }
    }
}
