//! The cells of the table.

use std::net::IpAddr;

use crate::{
    cmd::exposed::{
        exposure::{PortState, Reach},
        report::words::{addresses, reach, who},
    },
    host::{
        processes::Process,
        targets::endpoint::{Container, Target},
    },
};

#[test]
fn addresses_are_as_few_words_as_say_it() {
    let rows: [(&[&str], &str); 9] = [
        (&["0.0.0.0"], "any IPv4"),
        (&["::"], "any address"),
        (&["::6"], "any IPv6"),
        (&["0.0.0.0", "::6"], "any address"),
        (&["192.0.2.1"], "192.0.2.1"),
        (&["0.0.0.0", "192.0.2.1"], "any IPv4"),
        (&["0.0.0.0", "2001:db8::1"], "any IPv4, 2001:db8::1"),
        (&["127.0.0.1", "::1", "192.0.2.1"], "127.0.0.1, ::1, 192.0.2.1"),
        (&["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"], "192.0.2.1, 192.0.2.2, 2 more"),
    ];
    for (given, expected) in rows {
        let parse = |text: &str| -> IpAddr { text.parse().expect("an address") };
        let given: Vec<(IpAddr, bool)> =
            given.iter().map(|&text| if text == "::6" { (parse("::"), true) } else { (parse(text), false) }).collect();
        assert_eq!(addresses(&given), expected, "{given:?}");
    }
}

#[test]
fn states_stand_once_where_all_interfaces_agree() {
    let nets =
        |count: u8| (0..count).map(|net| format!("10.0.{net}.0/24").parse().expect("a network")).collect::<Vec<_>>();
    let open_to = |networks, except| PortState::OpenTo { networks: nets(networks), except: nets(except) };
    let rows: [(&[(&str, PortState)], &str); 8] = [
        (&[("eth0", PortState::Open), ("eth1", PortState::Open)], "open"),
        (&[("eth0", PortState::Closed), ("eth1", PortState::Open)], "open on eth1\nclosed on eth0"),
        (&[("eth0", PortState::Closed)], "closed on eth0"),
        (&[("eth0", open_to(1, 0)), ("eth1", open_to(1, 0))], "open to 10.0.0.0/24"),
        (&[("eth0", open_to(5, 0)), ("eth1", open_to(5, 0))], "open to 10.0.0.0/24, 10.0.1.0/24, 3 networks more"),
        (&[("eth0", open_to(2, 1)), ("eth1", open_to(2, 1))], "open to 10.0.0.0/24, 10.0.1.0/24 except 10.0.0.0/24"),
        (&[("eth0", PortState::OpenToMost { except: nets(1) })], "open to everyone except 10.0.0.0/24 on eth0"),
        (&[("eth0", PortState::Monitored), ("eth1", PortState::Monitored)], "open (monitor)"),
    ];
    for (states, expected) in rows {
        let states = states.iter().map(|(name, state)| ((*name).to_owned(), state.clone())).collect();
        assert_eq!(reach(&Reach::By(states), 2), expected);
    }
    assert_eq!(reach(&Reach::Local, 2), "local only");
    assert_eq!(reach(&Reach::Only("docker0".to_owned()), 2), "docker0 only");
}

#[test]
fn an_image_is_called_without_its_registry() {
    let container = |image: &str| {
        let (name, image) = ("ha".to_owned(), image.to_owned());
        who(&Target::Container(Container { name, image, forward_address: None, forward_port: 80 }))
    };
    assert_eq!(container("ghcr.io/home-assistant/home-assistant:stable"), "container ha, home-assistant:stable");
    assert_eq!(container("nginx"), "container ha, nginx");
    assert_eq!(who(&Target::Process(Process { pid: 7, name: "sshd".to_owned(), uid: 0 })), "sshd (7)");
}
