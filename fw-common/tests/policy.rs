//! Policies: normal form, changes, and the way into the kernel's form and back.
#![cfg(feature = "std")]

use std::net::{IpAddr, Ipv4Addr};

use fw_common::{
    PortProtocol::{Tcp, Udp},
    abi::{CLASS_CLOSED, CLASS_OPEN},
    admission::Admission,
    compiled::DoesNotFit,
    forward::{Forward, ForwardError},
    grammar::{PortRange, Rule},
    policy::Policy,
    refuse::Refuse,
    source::Source,
};
use ipnet::IpNet;

fn rule(text: &str) -> Rule {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn policy(rules: &str) -> Policy {
    Policy::new(rules.split_whitespace().map(rule))
}

fn words<T: ToString>(rules: impl IntoIterator<Item = T>) -> String {
    rules.into_iter().map(|rule| rule.to_string()).collect::<Vec<_>>().join(" ")
}

fn text(policy: &Policy) -> String {
    words(policy.rules())
}

/// The entries of a list as they are typed, without names.
fn typed(entries: &str) -> Policy {
    let entries = entries.split_whitespace().map(|entry| entry.parse().unwrap_or_else(|error| panic!("{error}")));
    Policy::of(entries.map(|entry| (entry, None)))
}

fn typed_text(policy: &Policy) -> String {
    words(policy.entries().map(|(entry, _)| entry))
}

#[test]
fn entries_stay_as_they_were_typed() {
    for (before, denied, after) in [
        ("22 80/tcp 80", "", "22 80 80/tcp"),
        ("80/tcp@10.0.0.0/8 80/tcp", "80/tcp", "80/tcp@10.0.0.0/8"),
        ("80@10.0.0.0/8 80", "80", "80@10.0.0.0/8"),
        ("80@10.0.0.0/8 80", "80/tcp", "80@10.0.0.0/8 80/udp"),
        ("80@10.0.0.0/8 80", "80@10.0.0.0/8", "80"),
        ("20-30 25/tcp", "25", "20-24 26-30"),
        ("6000-6002", "6001/udp", "6000/udp 6000-6002/tcp 6002/udp"),
        ("53/tcp 53/udp", "53", ""),
        ("7 7/sctp", "7", "7/sctp"),
        ("22 all@10.0.0.1/32 all@[2001:db8::]/64", "", "all@10.0.0.1/32 all@[2001:db8::]/64 22"),
        ("22 all@10.0.0.1/32", "all@10.0.0.1", "22"),
        ("22 all@10.0.0.1/32", "22", "all@10.0.0.1/32"),
        (
            "all@10.0.0.1/32",
            "22@10.0.0.1",
            "1-21@10.0.0.1/32 1-65535/sctp@10.0.0.1/32 1-65535/dccp@10.0.0.1/32 1-65535/udplite@10.0.0.1/32 23-65535@10.0.0.1/32",
        ),
    ] {
        let mut policy = typed(before);
        for denied in denied.split_whitespace() {
            assert!(policy.deny_entry(&denied.parse().expect("an entry")), "{before} - {denied}");
        }
        assert_eq!(typed_text(&policy), after, "{before} - {denied}");
        assert_eq!(policy, typed(after), "{before} - {denied} opens what is left");
        let compiled = policy.compile().expect("few rules");
        assert_eq!(compiled.typed(policy.clone()), Some(policy), "{before} - {denied} is what is in force");
        assert_eq!(compiled.typed(typed("22 9/dccp")), None);
    }
}

#[test]
fn an_entry_that_adds_nothing_is_left_out_unless_it_is_for_another_network_or_has_a_comment() {
    let mut policy = typed("20-30 80/tcp");
    for (entry, comment, is_new, after) in [
        ("25", None, false, "20-30 80/tcp"),
        ("80/tcp", None, false, "20-30 80/tcp"),
        ("80", None, true, "20-30 80 80/tcp"),
        ("25@10.0.0.0/8", None, false, "20-30 25@10.0.0.0/8 80 80/tcp"),
        ("26", Some("why"), false, "20-30 25@10.0.0.0/8 26 80 80/tcp"),
    ] {
        let comment = comment.map(ToOwned::to_owned);
        assert_eq!(policy.allow_entry(entry.parse().expect("an entry"), comment), is_new, "{entry}");
        assert_eq!(typed_text(&policy), after, "{entry}");
    }
    let comments: Vec<&str> = policy.entries().filter_map(|(_, comment)| comment).collect();
    assert_eq!(comments, ["why"]);
}

#[test]
fn rules_that_say_the_same_become_one() {
    for (written, normal) in [
        ("22/tcp 22/tcp", "22/tcp"),
        ("443/tcp 22/tcp", "22/tcp 443/tcp"),
        ("20-25/tcp 24-30/tcp", "20-30/tcp"),
        ("20-25/tcp 26/tcp", "20-26/tcp"),
        ("20-25/tcp 27/tcp", "20-25/tcp 27/tcp"),
        ("65534/udp 65535/udp", "65534-65535/udp"),
        ("22/tcp 22/tcp@10.0.0.0/8", "22/tcp"),
        ("20-30/tcp@10.0.0.0/8 24-26/tcp", "20-23/tcp@10.0.0.0/8 24-26/tcp 27-30/tcp@10.0.0.0/8"),
        ("1-65535/tcp@10.0.0.0/8 1-65535/tcp", "1-65535/tcp"),
        ("60000-65535/tcp@10.0.0.0/8 65000-65535/tcp", "60000-64999/tcp@10.0.0.0/8 65000-65535/tcp"),
        ("22/udp@10.0.0.0/8 22/tcp", "22/tcp 22/udp@10.0.0.0/8"),
    ] {
        assert_eq!(text(&policy(written)), normal, "{written}");
    }
}

#[test]
fn deny_takes_back_what_allow_gave_and_nothing_else() {
    for (before, denied, after) in [
        ("22/tcp 80/tcp", "22/tcp", "80/tcp"),
        ("20-30/tcp", "25/tcp", "20-24/tcp 26-30/tcp"),
        ("20-30/tcp", "20-25/tcp", "26-30/tcp"),
        ("20-30/tcp", "25-40/tcp", "20-24/tcp"),
        ("1-65535/tcp", "1/tcp", "2-65535/tcp"),
        ("1-65535/tcp", "65535/tcp", "1-65534/tcp"),
        ("1-65535/tcp", "1-65535/tcp", ""),
        ("22/tcp@10.0.0.0/8 22/tcp@192.0.2.0/24", "22/tcp@10.0.0.0/8", "22/tcp@192.0.2.0/24"),
    ] {
        let mut policy = policy(before);
        assert!(policy.deny(&rule(denied)), "{before} - {denied}");
        assert_eq!(text(&policy), after, "{before} - {denied}");
    }
    for (before, denied) in
        [("22/tcp", "22/udp"), ("22/tcp", "23/tcp"), ("22/tcp", "22/tcp@10.0.0.0/8"), ("22/tcp@10.0.0.0/8", "22/tcp")]
    {
        let mut policy = policy(before);
        assert!(!policy.deny(&rule(denied)), "{before} - {denied}");
        assert_eq!(text(&policy), before);
    }
}

#[test]
fn allow_says_whether_anything_is_new() {
    let mut policy = policy("20-30/tcp");
    assert!(!policy.allow(rule("25/tcp")));
    assert!(!policy.allow(rule("25/tcp@10.0.0.0/8")), "everyone may already");
    assert!(policy.allow(rule("31/tcp")));
    assert_eq!(text(&policy), "20-31/tcp");
}

#[test]
fn a_compiled_policy_comes_back_the_same() {
    for rules in [
        "",
        "22/tcp",
        "1/udp 65535/udp",
        "1-65535/tcp 1-65535/udp 1-65535/sctp 1-65535/dccp 1-65535/udplite",
        "22/tcp@10.0.0.0/8 22/tcp@[2001:db8::]/32 80/tcp 100-200/udp@10.0.0.0/8 150-250/udp@192.0.2.0/24",
        "20-23/tcp@10.0.0.0/8 24-26/tcp 27-30/tcp@10.0.0.0/8",
        "1-65535/tcp@0.0.0.0/0",
    ] {
        let mut policy = policy(rules);
        policy.protocols = [0, 47, 63, 64, 255].into();
        for forward in ["drop", "pass", "10.8.0.0/24,2001:db8:5::/64", "0.0.0.0/0"] {
            policy.forward = forward.parse().expect("what the display writes");
            for (refuse, on_link) in [("nobody", &[][..]), ("lan", &["10.0.0.0/8", "192.0.2.0/24", "fe80::/10"])] {
                policy.refuse = refuse.parse().expect("what the display writes");
                policy.on_link = on_link.iter().map(|network| network.parse().expect("a network")).collect();
                let compiled = policy.compile().unwrap_or_else(|error| panic!("{rules}: {error}"));
                let back = compiled.decompile();
                assert!(back.means_the_same_as(&policy), "{rules}, {forward}, {refuse}");
                assert_eq!(back.on_link, policy.on_link, "{rules}, {forward}, {refuse}");
            }
        }
    }
}

#[test]
fn other_networks_on_the_link_are_no_other_policy() {
    let (one, mut other) = (policy("22/tcp"), policy("22/tcp"));
    other.on_link.insert("192.0.2.0/24".parse().expect("a network"));
    assert!(one.means_the_same_as(&other));
    other.refuse = Refuse::Lan;
    assert!(!one.means_the_same_as(&other));
}

#[test]
fn networks_to_route_on_to_are_written_as_the_fewest_that_mean_the_same() {
    for (typed, written) in [
        ("drop", "drop"),
        ("pass", "pass"),
        ("10.8.0.0/24", "10.8.0.0/24"),
        ("10.8.0.5", "10.8.0.5/32"),
        ("[2001:db8:5::]/64, 10.8.0.0/24", "10.8.0.0/24,2001:db8:5::/64"),
        ("2001:db8:5::/64,2001:db8:5::7", "2001:db8:5::/64"),
        ("10.8.0.0/25,10.8.0.128/25", "10.8.0.0/24"),
        ("::/0,0.0.0.0/0", "0.0.0.0/0,::/0"),
    ] {
        let forward: Forward = typed.parse().unwrap_or_else(|error| panic!("{typed}: {error}"));
        assert_eq!(forward.to_string(), written, "{typed}");
    }
}

#[test]
fn what_is_no_network_to_route_on_to_is_refused() {
    use ForwardError::{HostBits, Neither, NeverRouted, VerdictAmongNetworks};
    let error = |text: &str| text.parse::<Forward>().expect_err(text);
    for text in ["", "maybe", ",", "10.8.0.0/33", "10.8.0.0/24,", "2001:db8::/129", "Drop"] {
        assert!(matches!(error(text), Neither(_)), "{text}");
    }
    for text in ["10.8.0.1/24", "2001:db8:5::1/64", "[2001:db8:5::1]/64"] {
        assert!(matches!(error(text), HostBits(_)), "{text}");
    }
    for text in ["pass,10.8.0.0/24", "10.8.0.0/24,drop"] {
        assert!(matches!(error(text), VerdictAmongNetworks(_)), "{text}");
    }
    for text in ["127.0.0.0/8", "224.0.0.1", "ff02::/16", "::1", "fe80::/10", "255.255.255.255", "::ffff:10.8.0.0/120"]
    {
        assert!(matches!(error(text), NeverRouted(_)), "{text}");
    }
}

#[test]
fn networks_to_route_on_to_count_as_others_do() {
    let mut policy = policy("22/tcp@10.0.0.0/8");
    // Every other one, so that none are merged.
    let network = |n: u32| Ipv4Addr::from_bits(0x0a00_0000 | n << 1).to_string();
    let networks: Vec<String> = (0..65_536).map(network).collect();
    policy.forward = networks[1..].join(",").parse().expect("networks");
    assert!(policy.compile().is_ok());
    policy.on_link.insert("192.0.2.0/24".parse().expect("a network"));
    assert_eq!(policy.compile(), Err(DoesNotFit::Networks { count: 65_537, limit: 65_536 }));
    policy.on_link.clear();
    policy.forward = networks.join(",").parse().expect("networks");
    assert_eq!(policy.compile(), Err(DoesNotFit::Networks { count: 65_537, limit: 65_536 }));
}

#[test]
fn ports_with_the_same_networks_share_a_class() {
    let compiled =
        policy("22/tcp@10.0.0.0/8 22/udp@10.0.0.0/8 80/tcp 90/tcp@192.0.2.0/24").compile().expect("few rules");
    let class = |protocol, port: usize| compiled.classes(protocol)[port];
    assert_eq!(class(Tcp, 22), class(Udp, 22));
    assert_ne!(class(Tcp, 22), class(Tcp, 90));
    assert!(![CLASS_CLOSED, CLASS_OPEN].contains(&class(Tcp, 22)));
    assert_eq!((class(Tcp, 80), class(Tcp, 81), class(Udp, 80)), (CLASS_OPEN, CLASS_CLOSED, CLASS_CLOSED));
    assert_eq!(compiled.networks.len(), 2);
}

#[test]
fn port_0_is_never_open() {
    let compiled = policy("1-65535/tcp 1-65535/udp@10.0.0.0/8").compile().expect("two rules");
    assert_eq!((compiled.classes(Tcp)[0], compiled.classes(Udp)[0]), (CLASS_CLOSED, CLASS_CLOSED));
}

#[test]
fn more_networks_than_the_maps_hold_are_refused() {
    let networks = |count: u32| {
        Policy::new((0..count).map(|n| rule(&format!("22/tcp@10.{}.{}.{}", n >> 16, (n >> 8) & 255, n & 255))))
    };
    assert!(networks(65_536).compile().is_ok());
    assert_eq!(networks(65_537).compile(), Err(DoesNotFit::Networks { count: 65_537, limit: 65_536 }));
}

/// Each list has one network, so that the networks themselves fit. A look at each network for each list would take minutes.
#[test]
fn more_lists_than_there_are_numbers_are_refused() {
    let lists = |count: u16| {
        let of_tcp = (1..=63_000).map(|port| (Tcp, port));
        let of_udp = (1..=count - 63_000).map(|port| (Udp, port));
        let network = |n: u32| IpNet::from(IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 | n)));
        let rule = |((protocol, port), n)| {
            Some(Rule { protocol, ports: PortRange::new(port, port)?, source: Source::Network(network(n)) })
        };
        Policy::new(of_tcp.chain(of_udp).zip(0..).filter_map(rule))
    };
    let compiled = lists(63_487).compile().expect("each list has a number");
    let port_487 = compiled.networks.iter().find(|(class, ..)| *class == compiled.classes(Udp)[487]);
    assert_eq!(port_487, Some(&(63_487, "10.0.247.254/32".parse().expect("a network"), Admission::OPEN)));
    assert_eq!(lists(63_488).compile(), Err(DoesNotFit::Lists { count: 63_488, limit: 63_487 }));
}

#[test]
fn lists_that_overlap_are_counted_and_not_written_out() {
    // Each port from 1 to 8,192 begins another network's range: 8,192 lists of up to 8,192 networks.
    let rules = (0..8192_u32).map(|n| rule(&format!("{}-40000/tcp@10.{}.{}.0/24", n + 1, n >> 8, n & 255)));
    let error = Policy::new(rules).compile();
    assert_eq!(error, Err(DoesNotFit::Networks { count: 8192 * 8193 / 2, limit: 65_536 }));
}

#[test]
fn what_one_policy_opens_and_another_does_not() {
    for (one, other, left) in [
        ("20-30/tcp 22/udp", "25/tcp", "20-24/tcp 26-30/tcp 22/udp"),
        ("20-30/tcp 40-50/tcp", "25-45/tcp", "20-24/tcp 46-50/tcp"),
        ("20-30/tcp@10.0.0.0/8", "20-30/tcp", "20-30/tcp@10.0.0.0/8"),
        ("1-65535/tcp", "1/tcp 65535/tcp", "2-65534/tcp"),
        ("22/tcp", "1-65535/tcp", ""),
    ] {
        assert_eq!(words(policy(one).without(&policy(other))), left, "{one} - {other}");
    }
}

#[test]
fn a_policy_says_what_its_rules_for_everyone_and_for_the_network_say_together() {
    let policy = policy("20-25/tcp 26-30/tcp@10.0.0.0/8");
    for said in ["20/tcp", "20-25/tcp", "20-30/tcp@10.0.0.0/8", "25/tcp@192.0.2.0/24"] {
        assert!(policy.says(&rule(said)), "{said}");
    }
    for unsaid in ["26/tcp", "20-31/tcp@10.0.0.0/8", "26/tcp@10.0.0.0/9", "20/udp"] {
        assert!(!policy.says(&rule(unsaid)), "{unsaid}");
    }
}

#[test]
fn ports_that_are_open_to_anyone_at_all() {
    let policy = policy("20-25/tcp 26-30/tcp@10.0.0.0/8 28-35/tcp@192.0.2.0/24 40/udp");
    let open = policy.open_to_some(Tcp).iter().map(|ports| ports.to_string()).collect::<Vec<_>>();
    assert_eq!(open, ["20-35"]);
}

#[test]
fn rules_with_actions_come_back_from_the_kernels_form() {
    use fw_common::{actions::Action, rate::Rate};
    let limit = |count| Action::Limit(Rate { count, seconds: 30 });
    let everywhere = ["10.1.1.1", "10.1.2.3", "10.2.0.1", "192.0.2.1", "2001:db8::1"];
    for (entries, actions) in [
        ("22", vec![("22@10.1.0.0/16", Action::Deny)]),
        ("22 80@10.0.0.0/8", vec![("80@10.1.0.0/16", Action::Deny), ("22/tcp@10.1.2.3/32", limit(3))]),
        ("1-100@10.0.0.0/8", vec![("50-60/tcp", limit(6)), ("55/tcp@10.1.0.0/16", Action::Deny)]),
        (
            "",
            vec![("8096/tcp", Action::Until(7)), ("all@10.1.0.0/16", Action::Deny), ("8096@[2001:db8::]/32", limit(1))],
        ),
        ("22", vec![("22@10.1.1.1/32", Action::Until(9))]),
    ] {
        let mut policy = typed(entries);
        for &(entry, action) in &actions {
            policy.act(entry.parse().expect("an entry"), action, None);
        }
        let compiled = policy.compile().expect("few rules");
        assert_eq!(compiled.typed(policy.clone()).as_ref(), Some(&policy), "{entries} {actions:?}");
        let again = compiled.decompile();
        assert_eq!(again.compile().expect("few rules"), compiled, "{entries} {actions:?}");
        for (address, port) in
            everywhere.into_iter().flat_map(|address| [22, 50, 55, 80, 8096].map(|port| (address, port)))
        {
            let address: IpAddr = address.parse().expect("an address");
            let is_open = policy.is_open_to(Tcp, port, address);
            assert_eq!(again.is_open_to(Tcp, port, address), is_open, "{entries} {actions:?}: {port} to {address}");
        }
    }
}

#[test]
fn the_rule_typed_last_counts_for_its_network() {
    use fw_common::{actions::Action, rate::Rate};
    let entry = |text: &str| text.parse().expect("an entry");
    let limit = Action::Limit(Rate::DEFAULT);
    let mut policy = typed("22 80");
    assert!(policy.act(entry("22/tcp"), limit, None));
    assert!(!policy.act(entry("22/tcp"), limit, None), "it is there already");
    assert_eq!(typed_text(&policy), "22/udp 80");
    assert!(policy.allow_entry(entry("22"), None), "the limit ends");
    assert_eq!((typed_text(&policy), policy.actions().count()), ("22 22/udp 80".to_owned(), 0));
    assert!(policy.add_refusal(entry("22@10.0.0.0/8"), None));
    assert!(!policy.add_refusal(entry("23@10.0.0.0/8"), None), "23 is closed");
    assert_eq!(policy.refusal_around(&entry("22/tcp@10.1.0.0/16")), Some(&entry("22@10.0.0.0/8")));
    assert!(policy.allow_entry(entry("22@10.0.0.0/8"), None), "the refusal ends");
    assert_eq!((typed_text(&policy), policy.actions().count()), ("22 22/udp 80".to_owned(), 0));
    assert!(!policy.act(entry("80/tcp"), Action::Until(5), None), "it is open for ever");
    assert!(policy.act(entry("81/tcp"), Action::Until(5), None));
    assert!(policy.act(entry("81/tcp"), Action::Until(7), None), "it ends later");
    assert!(policy.deny_entry(&entry("81/tcp")));
    assert_eq!((policy.clone().without_ended(5), policy.actions().count()), (policy, 0));
}
