//! A list of rules as it is typed, separated by commas.

use fw_common::{
    PortProtocol,
    grammar::{Rule, parse},
    policy::Policy,
};

/// For any input: rules survive printing and reading, and a policy survives the kernel's maps.
pub(super) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut rules = Vec::new();
    for piece in text.split(',') {
        match parse(piece, services) {
            Ok(read) => rules.extend(read),
            Err(error) => assert_eq!(error.spec, piece, "the mistake is told of what was typed"),
        }
    }
    for rule in &rules {
        let printed = rule.to_string();
        assert_eq!(printed.parse::<Rule>().as_ref(), Ok(rule), "`{printed}` is read again");
    }
    let policy = Policy::new(rules.iter().copied());
    let mut one_by_one = Policy::default();
    for &rule in &rules {
        one_by_one.allow(rule);
        assert!(one_by_one.is_open_to_some(rule.protocol, rule.ports.first()), "{rule} opens its first port");
    }
    assert!(policy.means_the_same_as(&one_by_one), "one by one or all at once");
    if let Ok(compiled) = policy.compile() {
        assert!(compiled.decompile().means_the_same_as(&policy), "it comes back from the kernel's maps");
        assert_eq!(compiled.typed(policy.clone()).as_ref(), Some(&policy), "as it was typed");
    }
    for rule in rules {
        one_by_one.deny(&rule);
    }
    assert_eq!(one_by_one, Policy::default(), "nothing is left of what was taken back");
}

/// Names, in the manner of `/etc/services`, one of which cannot be.
fn services(name: &str) -> Vec<(PortProtocol, u16)> {
    match name {
        "domain" => vec![(PortProtocol::Tcp, 53), (PortProtocol::Udp, 53)],
        "ssh" => vec![(PortProtocol::Tcp, 22)],
        "nothing" => vec![(PortProtocol::Tcp, 0)],
        _ => Vec::new(),
    }
}
