//! Tests of the judgement, with tables of connections, their owners, and what is cut.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use fw_common::{PortProtocol, policy::Policy};

use crate::{
    host::{
        connections::{Activity, OpenSocket, Sockets, TrackedConnection, connection::Connection},
        interface::Interface,
        network::Network,
        processes::Process,
    },
    lockout::{
        Outlook,
        change::PolicyChange,
        inbound::{Inbound, Ownership, inbound},
        judgement::{Cut, Facts, InterfaceOutlook},
        ownership::{self, LocalPeers},
        sessions::{NotAConnection, OwnSession, SshConnection},
    },
    policy_text,
    report::lockout::{self, Fix},
};

const ETH0: u32 = 2;
const ETH1: u32 = 3;
const BRIDGE: u32 = 4;
const CONTAINER: u32 = 5;
const BOND: u32 = 6;
const VLAN: u32 = 7;
const MACVLAN: u32 = 8;

fn interface(name: &str, index: u32, master: Option<u32>, below: Option<u32>) -> Interface {
    Interface { name: name.into(), index, master, below, ..Interface::default() }
}

/// `eth0` in a bond with a VLAN and a macvlan on that, `eth1` on its own in the same LAN and another one, Docker's bridge with a container.
fn network() -> Network {
    let net = |index, text: &str| (index, text.parse().expect("a network"));
    let route = |peer: &str, local: &str, index| {
        ((peer.parse().expect("an address"), local.parse().expect("an address")), index)
    };
    Network {
        interfaces: vec![
            interface("eth0", ETH0, Some(BOND), None),
            interface("eth1", ETH1, None, None),
            interface("docker0", BRIDGE, None, None),
            interface("veth0", CONTAINER, Some(BRIDGE), None),
            interface("mac", MACVLAN, None, Some(VLAN)),
            interface("vlan", VLAN, None, Some(BOND)),
            interface("bond0", BOND, None, None),
        ],
        addresses: vec![
            net(1, "127.0.0.1/8"),
            net(BOND, "192.0.2.1/24"),
            net(VLAN, "10.7.0.1/16"),
            net(MACVLAN, "10.8.0.1/16"),
            net(ETH1, "198.51.100.1/24"),
            net(ETH1, "192.0.2.2/24"),
            net(ETH1, "fe80::1/64"),
            net(BRIDGE, "172.17.0.1/16"),
        ],
        routes: HashMap::from([
            route("192.0.2.10", "192.0.2.1", BOND),
            route("192.0.2.10", "192.0.2.2", BOND),
            route("203.0.113.5", "192.0.2.1", BOND),
            route("203.0.113.5", "198.51.100.1", BOND),
            route("203.0.113.6", "192.0.2.1", ETH1),
            route("198.51.100.9", "198.51.100.1", ETH1),
            route("10.7.0.9", "10.7.0.1", VLAN),
            route("10.8.0.9", "10.8.0.1", MACVLAN),
            route("172.17.0.2", "192.0.2.1", BRIDGE),
            route("172.17.0.2", "172.17.0.1", BRIDGE),
        ]),
        ..Network::default()
    }
}

fn open(peer: &str, local: &str, device: u32, inode: u64) -> Inbound {
    let (peer, local) = (peer.parse().expect("an end"), local.parse().expect("an end"));
    let protocol = PortProtocol::Tcp;
    Inbound { protocol, peer, local, target: local, device, inode, ownership: Ownership::Other }
}

#[test]
fn packets_come_in_by_the_interface_that_leads_to_the_peer() {
    let network = network();
    let rows = [
        // peer, local address, device of the socket: in through eth0, through eth1
        ("192.0.2.10:1", "192.0.2.1:22", 0, true, false),
        ("192.0.2.10:1", "192.0.2.2:22", 0, true, true), // answered through another one in the same LAN
        ("192.0.2.10:1", "192.0.2.1:22", BOND, true, false),
        ("203.0.113.5:1", "192.0.2.1:22", 0, true, false),
        ("203.0.113.5:1", "198.51.100.1:22", 0, true, true), // answered through another interface than it comes in by
        ("203.0.113.6:1", "192.0.2.1:22", 0, true, true),
        ("203.0.113.7:1", "192.0.2.1:22", 0, true, false), // without a route
        ("198.51.100.9:1", "198.51.100.1:22", 0, false, true),
        ("10.7.0.9:1", "10.7.0.1:22", 0, true, false),
        ("10.8.0.9:1", "10.8.0.1:22", 0, true, false),
        ("172.17.0.2:1", "192.0.2.1:22", 0, false, false), // a container, asking for the LAN's address
        ("172.17.0.2:1", "172.17.0.1:22", 0, false, false),
        ("[fe80::9]:1", "[fe80::1]:22", ETH1, false, true),
        ("192.0.2.1:1", "192.0.2.1:22", 0, false, false), // this host itself
        ("127.0.0.1:1", "127.0.0.1:22", 0, false, false),
        ("192.0.2.10:1", "192.0.2.77:22", 0, false, false), // not an address of this host
    ];
    for (peer, local, device, by_eth0, by_eth1) in rows {
        let open = open(peer, local, device, 0);
        for (index, expected) in [(ETH0, by_eth0), (ETH1, by_eth1)] {
            assert_eq!(open.comes_through(&network, &network.fed_by(index)), expected, "{peer} to {local} by {index}");
        }
    }
}

#[test]
fn what_sits_on_an_interface_is_fed_by_it() {
    let network = network();
    assert_eq!(network.fed_by(ETH0), BTreeSet::from([ETH0, BOND, VLAN, MACVLAN]));
    assert_eq!(network.fed_by(ETH1), BTreeSet::from([ETH1]));
    assert_eq!(network.fed_by(CONTAINER), BTreeSet::from([CONTAINER, BRIDGE]));
    assert_eq!(network.fed_by(VLAN), BTreeSet::from([VLAN, MACVLAN]));
}

fn socket(protocol: PortProtocol, activity: Activity, local: &str, remote: Option<&str>, inode: u64) -> OpenSocket {
    let end = |text: &str| text.parse().expect("an end");
    OpenSocket { protocol, activity, local: end(local), remote: remote.map(end), only_ipv6: false, device: 0, inode }
}

fn listener(local: &str, inode: u64) -> OpenSocket {
    socket(PortProtocol::Tcp, Activity::Listens, local, None, inode)
}

fn stream(local: &str, remote: &str, inode: u64) -> OpenSocket {
    socket(PortProtocol::Tcp, Activity::Stands, local, Some(remote), inode)
}

#[test]
fn inbound_is_what_is_listened_on_or_redirected() {
    let udp = |local, remote| socket(PortProtocol::Udp, Activity::Stands, local, Some(remote), 9);
    let ending = OpenSocket { activity: Activity::Other, ..stream("192.0.2.1:22", "192.0.2.10:6", 9) };
    let sockets = Sockets {
        open: vec![
            listener("[::]:22", 1),
            stream("192.0.2.1:22", "192.0.2.10:5", 2),
            ending,
            // Opened from here.
            stream("192.0.2.1:40000", "192.0.2.10:22", 9),
            udp("192.0.2.1:22", "192.0.2.10:5"),
            stream("192.0.2.1:22", "192.0.2.10:7", 3),
        ],
        ..Sockets::default()
    };
    let tracked = |opener: &str, target: &str, answerer: &str, to: &str, protocol, stands| TrackedConnection {
        opener: opener.parse().expect("an end"),
        target: target.parse().expect("an end"),
        answers: Connection { protocol, remote: answerer.parse().expect("an end"), local: to.parse().expect("an end") },
        stands,
    };
    let tcp = PortProtocol::Tcp;
    let found = inbound(
        &sockets,
        &[
            tracked("192.0.2.10:5", "192.0.2.1:22", "192.0.2.1:22", "192.0.2.10:5", tcp, true),
            // Redirected on this host.
            tracked("192.0.2.10:7", "192.0.2.1:2200", "192.0.2.1:22", "192.0.2.10:7", tcp, true),
            // Published by a container.
            tracked("192.0.2.10:8", "192.0.2.1:9125", "172.17.0.2:80", "192.0.2.10:8", tcp, true),
            // The same, over.
            tracked("192.0.2.10:9", "192.0.2.1:9125", "172.17.0.2:80", "192.0.2.10:9", tcp, false),
            // Datagrams, published, and to this host.
            tracked("192.0.2.10:8", "192.0.2.1:9126", "172.17.0.2:80", "192.0.2.10:8", PortProtocol::Udp, false),
            tracked("192.0.2.10:8", "192.0.2.1:53", "192.0.2.1:53", "192.0.2.10:8", PortProtocol::Udp, false),
            // Opened by a container, masqueraded.
            tracked("172.17.0.2:5", "203.0.113.1:80", "203.0.113.1:80", "192.0.2.1:5", tcp, true),
        ],
    );
    let moved =
        Inbound { target: "192.0.2.1:2200".parse().expect("an end"), ..open("192.0.2.10:7", "192.0.2.1:22", 0, 3) };
    let published =
        Inbound { target: "192.0.2.1:9125".parse().expect("an end"), ..open("192.0.2.10:8", "172.17.0.2:80", 0, 0) };
    let datagrams = Inbound {
        protocol: PortProtocol::Udp,
        target: "192.0.2.1:9126".parse().expect("an end"),
        ..open("192.0.2.10:8", "172.17.0.2:80", 0, 0)
    };
    // Those without a socket of this host are in no order.
    assert_eq!(found[..2], [open("192.0.2.10:5", "192.0.2.1:22", 0, 2), moved]);
    assert!(found.len() == 4 && found.contains(&published) && found.contains(&datagrams), "{found:?}");
}

#[test]
fn ssh_connection_is_four_words() {
    let connection = |peer: &str, local: &str, zone: Option<&str>| {
        let (peer, local) = (peer.parse().expect("an end"), local.parse().expect("an end"));
        Ok(SshConnection { peer, local, zone: zone.map(ToOwned::to_owned) })
    };
    let rows = [
        ("192.0.2.10 5 192.0.2.1 22", connection("192.0.2.10:5", "192.0.2.1:22", None)),
        ("2001:db8::a 5 2001:db8::1 22", connection("[2001:db8::a]:5", "[2001:db8::1]:22", None)),
        ("::ffff:192.0.2.10 5 ::ffff:192.0.2.1 22", connection("192.0.2.10:5", "192.0.2.1:22", None)),
        ("fe80::a%eth1 5 fe80::1%eth1 22", connection("[fe80::a]:5", "[fe80::1]:22", Some("eth1"))),
        // The value from `sshd -i` without a socket, and other words.
        ("UNKNOWN 65535 UNKNOWN 65535", Err(NotAConnection)),
        ("192.0.2.10 5 192.0.2.1", Err(NotAConnection)),
        ("192.0.2.10 5 192.0.2.1 65536", Err(NotAConnection)),
        ("192.0.2.10 5 192.0.2.1 22 23", Err(NotAConnection)),
        ("", Err(NotAConnection)),
    ];
    for (text, expected) in rows {
        assert_eq!(text.parse(), expected, "{text}");
    }
}

/// The owners in the rows below.
const SESSION: u64 = 10;
const OTHER_SESSION: u64 = 11;
const WEB: u64 = 12;
const SSHD: u64 = 20;
const BY_INIT: u64 = 21;
const NOBODY_KNOWS: u64 = 22;
const BY_INETD: u64 = 23;
const VARIANT: u64 = 24;
const MOSH: u64 = 30;
const DESKTOP: u64 = 40;
const USERS_SSHD: u64 = 41;
const RELAY: u64 = 50;
const RELAY_OUT: u64 = 51;
const RELAY_2: u64 = 52;
const RELAY_2_OUT: u64 = 53;
const RELAY_2_MORE: u64 = 54;

fn holders() -> HashMap<u64, Process> {
    let holder = |inode, pid, name: &str| {
        (inode, Process { pid, name: name.to_owned(), uid: if inode == USERS_SSHD { 1000 } else { 0 } })
    };
    HashMap::from([
        holder(SESSION, 101, "sshd"),
        holder(OTHER_SESSION, 102, "sshd-session"),
        holder(WEB, 103, "nginx"),
        holder(SSHD, 100, "sshd"),
        holder(BY_INIT, 1, "systemd"),
        holder(BY_INETD, 105, "xinetd"),
        holder(VARIANT, 106, "sshd.pam"),
        holder(USERS_SSHD, 108, "sshd"),
        holder(MOSH, 104, "mosh-server"),
        holder(DESKTOP, 107, "wayvnc"),
    ])
}

fn judge(open: &[OpenSocket], own: &OwnSession, before: Option<&str>, after: &str) -> InterfaceOutlook {
    let policy = |text: &str| Policy::new(policy_text::rules(&[text.to_owned()]).expect("an allow list"));
    let change =
        PolicyChange { interface: "eth0".to_owned(), before: before.map(policy), after: policy(after), drops: true };
    let sockets = Sockets { open: open.to_vec(), ..Sockets::default() };
    Facts {
        inbound: &owned(&sockets, &[], own),
        sockets: &sockets,
        network: &network(),
        own,
        holders: &holders(),
        known_datagrams: &HashSet::from([51_820]),
        ssh_ports: &BTreeSet::from([22]),
    }
    .judge(&change)
}

/// The inbound connections, and their owners.
fn owned(sockets: &Sockets, tracked: &[TrackedConnection], own: &OwnSession) -> Vec<Inbound> {
    let mut inbound = inbound(sockets, tracked);
    let processes = [HashSet::from([RELAY, RELAY_OUT]), HashSet::from([RELAY_2, RELAY_2_OUT, RELAY_2_MORE])];
    let holding = |sockets: &HashSet<u64>| {
        processes.iter().filter(|held| !held.is_disjoint(sockets)).cloned().collect::<Vec<_>>()
    };
    ownership::mark(&mut inbound, sockets, own, &holders(), holding);
    inbound.retain(|open| LocalPeers::new(sockets).of(open).is_none());
    inbound
}

fn own_socket(inode: u64) -> OwnSession {
    OwnSession { sockets: HashSet::from([inode]), ..OwnSession::default() }
}

/// Two sessions of `sshd`, and somebody at the web server.
fn two_sessions_and_a_visitor() -> [OpenSocket; 5] {
    [
        listener("0.0.0.0:22", SSHD),
        stream("192.0.2.1:22", "192.0.2.10:5", SESSION),
        stream("192.0.2.1:22", "203.0.113.5:6", OTHER_SESSION),
        listener("0.0.0.0:80", WEB),
        stream("192.0.2.1:80", "192.0.2.10:7", WEB),
    ]
}

#[test]
fn what_is_open_no_more_to_its_peer_is_cut() {
    let open = two_sessions_and_a_visitor();
    // before, after: the peers that are cut, and whether that locks out
    let rows: [(Option<&str>, &str, &[&str], bool); 9] = [
        (None, "22,80", &[], false),
        (None, "22", &["192.0.2.10:7"], false),
        (None, "80", &["192.0.2.10:5", "203.0.113.5:6"], true),
        (None, "443", &["192.0.2.10:5", "203.0.113.5:6", "192.0.2.10:7"], true),
        (None, "22@192.0.2.0/24,80", &["203.0.113.5:6"], false),
        (None, "22@203.0.113.0/24,80", &["192.0.2.10:5"], true),
        (Some("22"), "22,443", &[], false),
        (Some("80"), "443", &["192.0.2.10:7"], false),
        (Some("22@192.0.2.0/24,80"), "80", &["192.0.2.10:5"], true),
    ];
    for (before, after, expected, locks_out) in rows {
        let outlook = judge(&open, &own_socket(SESSION), before, after);
        let cut: Vec<String> = outlook.cut.iter().filter_map(|cut| Some(cut.peer?.to_string())).collect();
        assert_eq!(cut, expected, "{before:?} to {after}");
        assert_eq!(outlook.locks_out(), locks_out, "{before:?} to {after}");
        // Monitor mode cuts nothing.
        assert!(!InterfaceOutlook { drops: false, ..outlook }.locks_out());
    }
}

#[test]
fn sshd_is_known_by_its_name_or_its_port() {
    let rows: [(&[OpenSocket], &[u16]); 12] = [
        (&[listener("0.0.0.0:2222", SSHD)], &[2222]),
        (&[listener("0.0.0.0:2222", VARIANT)], &[2222]),
        (&[listener("0.0.0.0:22", BY_INETD), listener("0.0.0.0:23", BY_INETD)], &[22]),
        (&[listener("[::]:2222", BY_INETD), stream("192.0.2.1:2222", "192.0.2.10:5", SESSION)], &[2222]),
        (&[listener("[::]:2222", SSHD), listener("192.0.2.1:22", SSHD)], &[22, 2222]),
        (&[listener("127.0.0.1:2222", SSHD), listener("[::1]:2222", SSHD)], &[]),
        (&[listener("198.51.100.1:2222", SSHD)], &[]), // on eth1
        (&[listener("0.0.0.0:22", WEB)], &[]),
        // systemd listens for others.
        (&[listener("[::]:22", BY_INIT), listener("[::]:8080", BY_INIT)], &[22]),
        (&[listener("[::]:2222", BY_INIT)], &[]),
        (&[listener("[::]:2222", BY_INIT), stream("192.0.2.1:2222", "192.0.2.10:5", SESSION)], &[2222]),
        (&[listener("0.0.0.0:22", NOBODY_KNOWS), listener("0.0.0.0:23", NOBODY_KNOWS)], &[22]),
    ];
    for (open, expected) in rows {
        let outlook = judge(open, &OwnSession::default(), None, "443");
        assert_eq!(outlook.sshd, expected.iter().map(|&port| (port, 0)).collect::<BTreeMap<_, _>>(), "{open:?}");
        assert_eq!(outlook.locks_out(), !expected.is_empty(), "{open:?}");
    }
}

#[test]
fn no_port_is_to_be_opened_for_a_users_process_that_calls_itself_sshd() {
    let told = |open: &[OpenSocket]| {
        let interfaces = vec![judge(open, &OwnSession::default(), None, "443")];
        lockout::refusal(&Outlook { interfaces, knows_sockets: true }, Fix::AllowFirst)
    };
    let of_user = told(&[listener("[::]:2222", USERS_SSHD)]);
    assert!(of_user.contains("2222/tcp") && of_user.contains("sshd of "), "{of_user}");
    assert!(!of_user.contains("allow") && of_user.contains("\nif you have another way"), "{of_user}");
    let both = told(&[listener("[::]:2222", USERS_SSHD), listener("[::]:22", SSHD)]);
    assert!(both.contains("fw-user allow 22/tcp --interface eth0\nor, if you have"), "{both}");
}

#[test]
fn a_udp_socket_of_who_started_the_terminal_session_is_the_own_session() {
    let udp = |local, inode| socket(PortProtocol::Udp, Activity::Other, local, None, inode);
    let own = OwnSession { outer_sockets: HashSet::from([MOSH]), ..own_socket(MOSH) };
    // own sockets, what is open, the allow list: whether it locks out
    let rows = [
        (&own, udp("192.0.2.1:60001", MOSH), "22", true),
        (&own, udp("0.0.0.0:60001", MOSH), "60001/tcp", true),
        (&own, udp("0.0.0.0:60001", MOSH), "60000-61000/udp", false),
        (&own, udp("0.0.0.0:60001", MOSH), "60001/udp@203.0.113.0/24", false), // who its peer is cannot be seen
        (&own, udp("198.51.100.1:60001", MOSH), "22", false),
        (&own, udp("127.0.0.1:60001", MOSH), "22", false),
        (&own, udp("0.0.0.0:60001", WEB), "22", false), // listed as anybody's
        // A program in the terminal that asks for names.
        (&own_socket(MOSH), udp("0.0.0.0:60001", MOSH), "22", false),
    ];
    for (own, open, allow, locks_out) in rows {
        assert_eq!(judge(&[open], own, None, allow).locks_out(), locks_out, "{open:?} {allow}");
    }
    let expected = Cut {
        protocol: PortProtocol::Udp,
        port: 60001,
        peer: None,
        process: holders().remove(&MOSH),
        ownership: Ownership::Certain,
    };
    assert_eq!(judge(&[udp("0.0.0.0:60001", MOSH)], &own, None, "22").cut, [expected]);
}

#[test]
fn datagrams_are_listed_where_nothing_tells_that_they_live_on() {
    let udp = |local, remote, inode| socket(PortProtocol::Udp, Activity::Other, local, remote, inode);
    let rows: [(&[OpenSocket], &str, &[u16]); 9] = [
        (&[udp("0.0.0.0:53", None, WEB)], "22", &[53]),
        (&[udp("0.0.0.0:53", None, WEB), udp("[::]:53", None, WEB)], "22", &[53]),
        (&[udp("0.0.0.0:53", None, WEB)], "53/tcp", &[53]),
        (&[udp("0.0.0.0:53", None, WEB)], "53/udp@203.0.113.0/24", &[]),
        (&[udp("192.0.2.1:40000", Some("192.0.2.10:53"), WEB)], "22", &[]), // noted before the filter goes live
        (&[udp("0.0.0.0:51820", None, NOBODY_KNOWS)], "22", &[]),           // the same, of WireGuard
        (&[udp("127.0.0.53:53", None, WEB), udp("198.51.100.1:53", None, WEB)], "22", &[]),
        (&[udp("0.0.0.0:68", None, WEB), udp("[::]:546", None, WEB)], "22", &[]), // a DHCP client
        (&[udp("0.0.0.0:67", None, WEB), udp("[::]:547", None, WEB)], "22", &[67, 547]),
    ];
    for (open, after, expected) in rows {
        let outlook = judge(open, &OwnSession::default(), None, after);
        assert_eq!(outlook.cut.iter().map(|cut| cut.port).collect::<Vec<_>>(), expected, "{open:?} {after}");
        assert!(!outlook.locks_out(), "{open:?} {after}");
        // A port that was closed before is not cut now.
        assert_eq!(judge(open, &OwnSession::default(), Some(after), after).cut, []);
    }
    let expected = Cut {
        protocol: PortProtocol::Udp,
        port: 53,
        peer: None,
        process: holders().remove(&WEB),
        ownership: Ownership::Other,
    };
    assert_eq!(judge(&[udp("0.0.0.0:53", None, WEB)], &OwnSession::default(), None, "22").cut, [expected]);
}

#[test]
fn an_environment_of_a_session_that_is_over_makes_every_session_of_sshd_the_own_one() {
    let of = |text: &str| OwnSession { ssh: vec![text.parse().expect("four words")], ..OwnSession::default() };
    let open = two_sessions_and_a_visitor();
    let rows: [(&str, &[u64]); 2] = [("192.0.2.10 5 192.0.2.1 22", &[5]), ("192.0.2.10 4 192.0.2.1 22", &[5, 6])];
    for (connection, expected) in rows {
        let outlook = judge(&open, &of(connection), None, "443");
        let own = outlook
            .cut
            .iter()
            .filter(|cut| cut.ownership > Ownership::Other)
            .filter_map(|cut| Some(u64::from(cut.peer?.port())));
        assert_eq!(own.collect::<Vec<_>>(), expected, "{connection}");
    }
}

/// Which connection may be the user's own session, by the port of the peer.
fn owners(open: &[OpenSocket], tracked: &[TrackedConnection], own: &OwnSession) -> Vec<(u16, Ownership)> {
    let sockets = Sockets { open: open.to_vec(), ..Sockets::default() };
    let owned = owned(&sockets, tracked, own).into_iter();
    let mut owned: Vec<_> =
        owned.map(|open| (open.peer.port(), open.ownership)).filter(|open| open.1 > Ownership::Other).collect();
    owned.sort_unstable();
    owned
}

#[test]
fn a_session_through_a_relay_is_the_connection_of_the_relay() {
    use Ownership::{Certain, Possible};
    let sshd = [listener("[::]:22", SSHD), stream("127.0.0.1:22", "127.0.0.1:4000", SESSION)];
    let to_sshd = stream("127.0.0.1:4000", "127.0.0.1:22", RELAY_OUT);
    let web = [listener("0.0.0.0:80", WEB), stream("192.0.2.1:80", "192.0.2.10:7", WEB)];
    let outer = [listener("0.0.0.0:443", RELAY), stream("192.0.2.1:443", "192.0.2.10:5", RELAY)];
    let environment =
        OwnSession { ssh: vec!["127.0.0.1 4000 127.0.0.1 22".parse().expect("four words")], ..OwnSession::default() };
    for own in [own_socket(SESSION), environment] {
        let open = [&sshd[..], &[to_sshd], &web, &outer].concat();
        assert_eq!(owners(&open, &[], &own), [(5, Certain)], "one relay, for one connection: {own:?}");
        // 443 closes, and that is the end of it. 22 closes, and nothing happens to a session over loopback.
        assert!(judge(&open, &own, None, "22,80").locks_out());
        assert_eq!(judge(&open, &own, None, "443,22").cut.len(), 1, "the web server's");
        assert!(!judge(&open, &own, Some("22,443"), "443,22").locks_out());
    }
    let own = own_socket(SESSION);
    // In front of it one that has several connections.
    let inner = [listener("127.0.0.1:443", RELAY), stream("127.0.0.1:443", "127.0.0.1:4001", RELAY)];
    let front = [
        listener("[::]:8443", RELAY_2),
        stream("127.0.0.1:4001", "127.0.0.1:443", RELAY_2_OUT),
        stream("192.0.2.1:8443", "203.0.113.5:6", RELAY_2),
        stream("192.0.2.1:8443", "192.0.2.10:8", RELAY_2_MORE),
    ];
    let open = [&sshd[..], &[to_sshd], &web, &inner, &front].concat();
    assert_eq!(owners(&open, &[], &own), [(6, Possible), (8, Possible)]);
    // A transparent one has its client's address towards the server.
    let transparent = [
        listener("[::]:22", SSHD),
        stream("192.0.2.1:22", "192.0.2.10:5", SESSION),
        stream("192.0.2.10:5", "192.0.2.1:22", RELAY_OUT),
    ];
    let open = [&transparent[..], &outer].concat();
    assert_eq!(owners(&open, &[], &own), [(5, Certain)]);
    assert!(!judge(&open, &own, Some("22,443"), "443").cut.iter().any(|cut| cut.port == 22));
    // A request of a session's process to another server does not make that server's clients the session.
    let asks = [
        listener("127.0.0.1:5432", RELAY_2),
        stream("127.0.0.1:5432", "127.0.0.1:4002", RELAY_2_OUT),
        stream("127.0.0.1:4002", "127.0.0.1:5432", SESSION),
        listener("0.0.0.0:8443", RELAY_2),
        stream("192.0.2.1:8443", "192.0.2.10:8", RELAY_2),
    ];
    assert_eq!(owners(&asks, &[], &own), []);
    // A relay in a container: the connections that are redirected to it.
    let redirected = |opener: &str, inside: &str| TrackedConnection {
        opener: opener.parse().expect("an end"),
        target: "192.0.2.1:443".parse().expect("an end"),
        answers: Connection {
            protocol: PortProtocol::Tcp,
            remote: inside.parse().expect("an end"),
            local: opener.parse().expect("an end"),
        },
        stands: true,
    };
    let from_container = [listener("[::]:22", SSHD), stream("172.17.0.1:22", "172.17.0.2:4000", SESSION)];
    let tracked = [redirected("192.0.2.10:5", "172.17.0.2:443"), redirected("192.0.2.10:6", "172.17.0.3:443")];
    assert_eq!(owners(&from_container, &tracked, &own), [(5, Certain), (4000, Certain)]);
}

#[test]
fn where_nothing_tells_of_a_session_a_desktops_viewer_may_be_it() {
    let viewer = [listener("0.0.0.0:5900", DESKTOP), stream("192.0.2.1:5900", "192.0.2.10:5", DESKTOP)];
    let ssh = [listener("0.0.0.0:22", SSHD), stream("192.0.2.1:22", "192.0.2.10:6", SESSION)];
    let both = [&viewer[..], &ssh].concat();
    let nobody = OwnSession::default();
    assert_eq!(owners(&both, &[], &nobody), [(5, Ownership::Possible)]);
    assert!(judge(&both, &nobody, None, "22").locks_out());
    assert!(!judge(&both, &nobody, None, "22,5900").locks_out());
    assert_eq!(owners(&both, &[], &own_socket(SESSION)), [(6, Ownership::Certain)]);
    // In a `tmux` of an earlier session either may be it.
    let earlier =
        OwnSession { ssh: vec!["192.0.2.10 4 192.0.2.1 22".parse().expect("four words")], ..OwnSession::default() };
    assert_eq!(owners(&both, &[], &earlier), [(5, Ownership::Possible), (6, Ownership::Possible)]);
    // noVNC, or `ssh -L`: what comes in is at the relay.
    let relayed = [
        listener("127.0.0.1:5900", DESKTOP),
        stream("127.0.0.1:5900", "127.0.0.1:4000", DESKTOP),
        stream("127.0.0.1:4000", "127.0.0.1:5900", RELAY_OUT),
        listener("0.0.0.0:6080", RELAY),
        stream("192.0.2.1:6080", "192.0.2.10:5", RELAY),
    ];
    assert_eq!(owners(&relayed, &[], &nobody), [(5, Ownership::Possible)]);
}
