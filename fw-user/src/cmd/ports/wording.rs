//! Translates the grammar of other firewalls for `allow` and `deny`.

use ipnet::IpNet;

use crate::cmd::{args::parse_network, boot::state::AtBoot};

/// The meaning of words after `allow` or `deny` that are not all ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meant {
    /// The ports, in fw-user's grammar.
    pub specs: Vec<String>,
    /// The interfaces among the words.
    pub interfaces: Vec<String>,
}

impl Meant {
    /// Reads `ssh from 192.168.1.0/24`, `80 on eth0` and `from 192.168.1.0/24 to any port 22 proto tcp`. `None` where there is nothing of the
    /// kind.
    #[must_use]
    pub(crate) fn read(words: &[String], is_interface: impl Fn(&str) -> bool) -> Option<Self> {
        let mut meant = Self::default();
        let (mut protocol, mut network) = (String::new(), String::new());
        let mut words = words.iter().flat_map(|list| list.split(',')).map(str::trim).filter(|word| !word.is_empty());
        while let Some(word) = words.next() {
            match word {
                "from" => network = parse_network(words.next()?).ok().map(at)?,
                "proto" => protocol = format!("/{}", words.next()?),
                "to" => drop(words.next().filter(|target| *target == "any")?),
                "on" | "in" | "dev" | "port" => {}
                name if is_interface(name) => meant.interfaces.push(name.to_owned()),
                port => meant.specs.push(port.to_owned()),
            }
        }
        if meant.specs.is_empty() || (network.is_empty() && protocol.is_empty() && meant.interfaces.is_empty()) {
            return None;
        }
        meant.specs.iter_mut().for_each(|spec| *spec += &format!("{protocol}{network}"));
        Some(meant)
    }

    /// The command to type.
    #[must_use]
    pub(crate) fn command(&self, verb: &str) -> String {
        let interfaces = self.interfaces.iter().map(|name| format!(" --interface {name}"));
        format!("fw-user {verb} {}{}", self.specs.join(" "), interfaces.collect::<String>())
    }
}

/// The effect of a reboot on the change, if known.
#[must_use]
pub(crate) fn after_reboot(name: &str, at_boot: &AtBoot) -> String {
    match at_boot {
        AtBoot::Unknown { .. } => String::new(),
        known => format!("{name}  after a reboot: {}\n", known.words(name)),
    }
}

/// A network as written after a port.
fn at(network: IpNet) -> String {
    let is_one = network.prefix_len() == network.max_prefix_len();
    let length = if is_one { String::new() } else { format!("/{}", network.prefix_len()) };
    match network {
        IpNet::V4(net) => format!("@{}{length}", net.addr()),
        IpNet::V6(net) => format!("@[{}]{length}", net.addr()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(text: &str) -> Option<String> {
        let words: Vec<String> = text.split(' ').map(ToOwned::to_owned).collect();
        Meant::read(&words, |name| name == "eth0").map(|meant| meant.command("allow"))
    }

    #[test]
    fn what_other_firewalls_take_is_put_in_our_words() {
        for (typed, command) in [
            ("ssh from 192.168.1.0/24", Some("ssh@192.168.1.0/24")),
            ("22/tcp from 192.168.1.7", Some("22/tcp@192.168.1.7")),
            ("22,80 from 2001:db8::/32", Some("22@[2001:db8::]/32 80@[2001:db8::]/32")),
            ("from 192.168.1.0/24 to any port 22 proto tcp", Some("22/tcp@192.168.1.0/24")),
            ("80 eth0", Some("80 --interface eth0")),
            ("80/tcp on eth0", Some("80/tcp --interface eth0")),
            ("22 from nowhere", None),
            ("22 from", None),
            ("eth0", None),
            ("22 to 192.168.1.5", None),
            ("no-such-service", None),
        ] {
            let command = command.map(|words| format!("fw-user allow {words}"));
            assert_eq!(meant(typed), command, "{typed}");
        }
    }
}
