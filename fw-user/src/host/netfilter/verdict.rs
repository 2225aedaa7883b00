//! The verdict of a ruleset on a packet, as far as a simple reading is sure.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    ptr,
};

use ipnet::IpNet;
use serde_json::Value;

use crate::host::netfilter::ruleset::{Chain, Ruleset};

/// The most nested jumps that the kernel follows (`NFT_JUMP_STACK_SIZE`).
const DEEPEST: usize = 16;

/// The first packet from outside to a port of this machine, or of a container.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet<'a> {
    /// `tcp`, `udp`, ...
    pub(crate) protocol: &'a str,
    pub(crate) port: u16,
    /// Whether it is IPv6.
    pub(crate) is_ipv6: bool,
    /// The interface where it arrives.
    pub(crate) interface: &'a str,
    /// Its destination address, if it is a single one.
    pub(crate) target: Option<IpAddr>,
    /// The interface where it leaves, if it is routed on.
    pub(crate) out: Option<&'a str>,
}

/// The verdict on a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    /// Every chain lets it pass.
    Passes,
    /// A chain drops it.
    Dropped,
    /// It depends on the sender, or on rules that are not read here.
    Unknown,
}

/// The possible results of a chain or a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Accept,
    Drop,
    /// The calling chain goes on.
    Return,
    /// The next rule is evaluated.
    Next,
}

/// Whether a rule matches a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Match {
    Yes,
    No,
    Maybe,
}

impl Match {
    const fn of(is_so: bool) -> Self {
        if is_so { Self::Yes } else { Self::No }
    }

    const fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Maybe => Self::Maybe,
        }
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, Self::Yes) => Self::Yes,
            _ => Self::Maybe,
        }
    }

    fn any(found: impl Iterator<Item = Self>) -> Self {
        found.fold(Self::No, |all, one| match (all, one) {
            (Self::Yes, _) | (_, Self::Yes) => Self::Yes,
            (Self::No, Self::No) => Self::No,
            _ => Self::Maybe,
        })
    }
}

impl Packet<'_> {
    /// The verdict of the chains at some hooks.
    pub(crate) fn fate(&self, ruleset: &Ruleset, hooks: &[&str]) -> Fate {
        let chains = ruleset.base_chains(hooks).filter(|chain| self.is_seen_by(chain));
        let fates: BTreeSet<Fate> = chains.map(|chain| self.fate_in(ruleset, chain)).collect();
        if fates.contains(&Fate::Dropped) {
            Fate::Dropped
        } else if fates.contains(&Fate::Unknown) {
            Fate::Unknown
        } else {
            Fate::Passes
        }
    }

    fn is_seen_by(&self, chain: &Chain) -> bool {
        let is_device = chain.devices.is_empty() || chain.devices.iter().any(|device| device == self.interface);
        let is_family = match chain.family.as_str() {
            "ip" => !self.is_ipv6,
            "ip6" => self.is_ipv6,
            "inet" | "netdev" => true,
            _ => false,
        };
        is_device && is_family
    }

    fn fate_in(&self, ruleset: &Ruleset, chain: &Chain) -> Fate {
        let policy = if chain.drops { Outcome::Drop } else { Outcome::Accept };
        let outcomes: BTreeSet<Outcome> = self
            .walk(&mut Walk { ruleset, known: HashMap::new() }, chain, 0)
            .into_iter()
            .map(|outcome| if matches!(outcome, Outcome::Accept | Outcome::Drop) { outcome } else { policy })
            .collect();
        match (outcomes.contains(&Outcome::Accept), outcomes.contains(&Outcome::Drop)) {
            (true, false) => Fate::Passes,
            (false, true) => Fate::Dropped,
            _ => Fate::Unknown,
        }
    }

    fn walk<'a>(&self, walk: &mut Walk<'a>, chain: &'a Chain, depth: usize) -> BTreeSet<Outcome> {
        if let Some(known) = walk.known.get(&ptr::from_ref(chain)) {
            return known.clone();
        }
        let outcomes = self.walk_rules(walk, chain, depth);
        walk.known.insert(chain, outcomes.clone());
        outcomes
    }

    fn walk_rules<'a>(&self, walk: &mut Walk<'a>, chain: &'a Chain, depth: usize) -> BTreeSet<Outcome> {
        let mut outcomes = BTreeSet::new();
        for rule in &chain.rules {
            let mut is_about = Match::Yes;
            for statement in rule {
                if is_about == Match::No {
                    break;
                }
                let found = match self.statement(walk, chain, statement, depth) {
                    Statement::Is(matched) => {
                        is_about = is_about.and(matched);
                        continue;
                    }
                    Statement::Ends(found) => found,
                };
                let goes_on = found.contains(&Outcome::Next);
                outcomes.extend(found.into_iter().filter(|outcome| *outcome != Outcome::Next));
                if is_about == Match::Yes && !goes_on {
                    return outcomes;
                }
                break;
            }
        }
        outcomes.insert(Outcome::Return);
        outcomes
    }

    fn statement<'a>(&self, walk: &mut Walk<'a>, chain: &'a Chain, statement: &Value, depth: usize) -> Statement {
        let Some((name, value)) = statement.as_object().and_then(|object| object.iter().next()) else {
            return Statement::Is(Match::Maybe);
        };
        let ends = |outcomes: &[Outcome]| Statement::Ends(outcomes.iter().copied().collect());
        match name.as_str() {
            "accept" => ends(&[Outcome::Accept]),
            "drop" | "reject" => ends(&[Outcome::Drop]),
            "return" => ends(&[Outcome::Return]),
            "continue" => ends(&[Outcome::Next]),
            "jump" | "goto" => {
                let target = value["target"].as_str().and_then(|target| walk.ruleset.chain(chain, target));
                let Some(target) = target.filter(|_| depth < DEEPEST) else {
                    return ends(&[Outcome::Accept, Outcome::Drop, Outcome::Next]);
                };
                let back = if name == "goto" { Outcome::Return } else { Outcome::Next };
                let outcomes = self.walk(walk, target, depth + 1).into_iter();
                Statement::Ends(outcomes.map(|one| if one == Outcome::Return { back } else { one }).collect())
            }
            "vmap" => self.verdict_map(walk, chain, value, depth),
            "match" => Statement::Is(self.matches(value)),
            // They do not change the verdict.
            "counter" | "log" | "meta" | "mangle" | "notrack" | "comment" | "ct helper" | "ct timeout" => {
                Statement::Is(Match::Yes)
            }
            // Limits, sets, matches of iptables, queues, and all other statements.
            "queue" | "tproxy" | "synproxy" => ends(&[Outcome::Accept, Outcome::Drop, Outcome::Next]),
            _ => Statement::Is(Match::Maybe),
        }
    }

    fn verdict_map<'a>(&self, walk: &mut Walk<'a>, chain: &'a Chain, map: &Value, depth: usize) -> Statement {
        let mut outcomes = BTreeSet::new();
        let Some(pairs) = map["data"]["set"].as_array() else {
            return Statement::Ends(BTreeSet::from([Outcome::Accept, Outcome::Drop, Outcome::Next]));
        };
        let mut is_sure = false;
        for pair in pairs {
            let is_about = self.compare(&map["key"], &pair[0]);
            if is_about == Match::No {
                continue;
            }
            if let Statement::Ends(found) = self.statement(walk, chain, &pair[1], depth) {
                outcomes.extend(found);
            }
            is_sure |= is_about == Match::Yes;
        }
        if !is_sure {
            outcomes.insert(Outcome::Next);
        }
        Statement::Ends(outcomes)
    }

    fn matches(&self, value: &Value) -> Match {
        let found = self.compare(&value["left"], &value["right"]);
        match value["op"].as_str() {
            Some("==" | "in") => found,
            Some("!=") => found.not(),
            _ => Match::Maybe,
        }
    }

    /// Whether the operand of a rule is one of the values.
    fn compare(&self, left: &Value, right: &Value) -> Match {
        if let Some(values) = right["set"].as_array().or_else(|| right.as_array()) {
            return Match::any(values.iter().map(|value| self.compare(left, value)));
        }
        if let Some(key) = left["meta"]["key"].as_str() {
            return self.compare_meta(key, right);
        }
        if left["ct"]["key"] == "state" {
            // The first packet of a connection, which tracking knows.
            return right.as_str().map_or(Match::Maybe, |state| Match::of(state == "new"));
        }
        match (left["payload"]["protocol"].as_str(), left["payload"]["field"].as_str()) {
            (Some(protocol @ ("tcp" | "udp" | "sctp" | "dccp" | "udplite" | "th")), Some(field)) => {
                if protocol != "th" && protocol != self.protocol {
                    Match::No
                } else if field == "dport" {
                    within(self.port, right)
                } else {
                    Match::Maybe
                }
            }
            (Some("icmp" | "icmpv6" | "igmp" | "esp" | "ah"), _) => Match::No,
            (Some("ip"), _) if self.is_ipv6 => Match::No,
            (Some("ip6"), _) if !self.is_ipv6 => Match::No,
            (Some("ip"), Some("protocol")) | (Some("ip6"), Some("nexthdr")) => self.is_protocol(right),
            (Some("ip" | "ip6"), Some("daddr")) => self.is_target(right),
            _ => Match::Maybe,
        }
    }

    fn compare_meta(&self, key: &str, right: &Value) -> Match {
        let is_called = |name: &str| match right.as_str().map(|word| (word, word.strip_suffix('*'))) {
            Some((_, Some(start))) => Match::of(name.starts_with(start)),
            Some((word, None)) => Match::of(word == name),
            None => Match::Maybe,
        };
        match key {
            "iif" | "iifname" => is_called(self.interface),
            "oif" | "oifname" => self.out.map_or(Match::Maybe, is_called),
            "l4proto" => self.is_protocol(right),
            "nfproto" => right.as_str().map_or(Match::Maybe, |word| Match::of(self.is_ipv6 == (word == "ipv6"))),
            "protocol" => right.as_str().map_or(Match::Maybe, |word| Match::of(self.is_ipv6 == (word == "ip6"))),
            _ => Match::Maybe,
        }
    }

    fn is_protocol(&self, right: &Value) -> Match {
        let number = match self.protocol {
            "tcp" => 6,
            "udp" => 17,
            "dccp" => 33,
            "sctp" => 132,
            _ => 136,
        };
        match (right.as_str(), right.as_u64()) {
            (Some(word), _) => Match::of(word == self.protocol),
            (_, Some(given)) => Match::of(given == number),
            _ => Match::Maybe,
        }
    }

    fn is_target(&self, right: &Value) -> Match {
        let Some(target) = self.target else { return Match::Maybe };
        let net = |address: &Value, len: Option<u64>| -> Option<IpNet> {
            let address: IpAddr = address.as_str()?.parse().ok()?;
            let whole = if address.is_ipv4() { 32 } else { 128 };
            IpNet::new(address, u8::try_from(len.unwrap_or(whole)).ok()?).ok()
        };
        let net = match right.get("prefix") {
            Some(prefix) => net(&prefix["addr"], prefix["len"].as_u64()),
            None => net(right, None),
        };
        net.map_or(Match::Maybe, |net| Match::of(net.contains(&target)))
    }
}

/// A path through a ruleset, with the results of the chains on it.
struct Walk<'a> {
    ruleset: &'a Ruleset,
    known: HashMap<*const Chain, BTreeSet<Outcome>>,
}

/// The result of a statement of a rule.
enum Statement {
    /// A condition.
    Is(Match),
    /// A verdict.
    Ends(BTreeSet<Outcome>),
}

fn within(port: u16, right: &Value) -> Match {
    let number = |value: &Value| value.as_u64();
    if let Some(range) = right["range"].as_array() {
        return match (range.first().and_then(number), range.get(1).and_then(number)) {
            (Some(first), Some(last)) => Match::of((first..=last).contains(&u64::from(port))),
            _ => Match::Maybe,
        };
    }
    number(right).map_or(Match::Maybe, |given| Match::of(given == u64::from(port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUT: &str = include_str!("input.json");

    fn packet(protocol: &'static str, port: u16) -> Packet<'static> {
        Packet { protocol, port, is_ipv6: false, interface: "eth0", target: None, out: None }
    }

    /// The kinds of rules that people write: ports in a list or a range, by interface, by sender, before and after a jump.
    #[test]
    fn what_is_sure_is_told_and_the_rest_is_unknown() {
        let ruleset = Ruleset::parse(INPUT).expect("nft wrote it");
        for (protocol, port, fate) in [
            ("tcp", 22, Fate::Passes),
            ("udp", 443, Fate::Passes),
            ("tcp", 23, Fate::Dropped),
            ("tcp", 99, Fate::Dropped),
            ("tcp", 100, Fate::Passes),
            ("tcp", 250, Fate::Passes),
            ("udp", 250, Fate::Dropped),
            ("tcp", 8005, Fate::Passes),
            ("udp", 8005, Fate::Dropped),
            // From some senders.
            ("tcp", 5432, Fate::Unknown),
            ("sctp", 22, Fate::Dropped),
        ] {
            for is_ipv6 in [false, true] {
                let packet = Packet { is_ipv6, ..packet(protocol, port) };
                let expected = if is_ipv6 && port == 5432 { Fate::Dropped } else { fate };
                assert_eq!(packet.fate(&ruleset, &["input"]), expected, "{protocol} {port}, IPv6: {is_ipv6}");
            }
        }
        let elsewhere = Packet { interface: "wlan0", ..packet("tcp", 8005) };
        assert_eq!(elsewhere.fate(&ruleset, &["input"]), Fate::Dropped);
        assert_eq!(packet("tcp", 23).fate(&ruleset, &["forward"]), Fate::Passes);
    }

    fn one_rule(policy: &str, expr: &str) -> Ruleset {
        let text = format!(
            r#"{{"nftables": [
                {{"chain": {{"family": "ip", "table": "t", "name": "c", "handle": 1, "type": "filter", "hook": "input", "prio": 0, "policy": "{policy}"}}}},
                {{"chain": {{"family": "ip", "table": "t", "name": "round", "handle": 2}}}},
                {{"rule": {{"family": "ip", "table": "t", "chain": "c", "handle": 3, "expr": {expr}}}}},
                {{"rule": {{"family": "ip", "table": "t", "chain": "round", "handle": 4, "expr": [{{"jump": {{"target": "round"}}}}]}}}}
            ]}}"#
        );
        Ruleset::parse(&text).expect("a ruleset")
    }

    #[test]
    fn what_is_not_understood_is_never_sure() {
        for (policy, expr, fate) in [
            ("drop", r#"[{"xt": {"type": "match", "name": "multiport"}}, {"accept": null}]"#, Fate::Unknown),
            ("accept", r#"[{"xt": {"type": "match", "name": "multiport"}}, {"drop": null}]"#, Fate::Unknown),
            ("accept", r#"[{"limit": {"rate": 5}}, {"drop": null}]"#, Fate::Unknown),
            ("accept", r#"[{"something-new": null}, {"drop": null}]"#, Fate::Unknown),
            (
                "accept",
                r#"[{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": "@ports"}}, {"drop": null}]"#,
                Fate::Unknown,
            ),
            (
                "accept",
                r#"[{"match": {"op": "<", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 1024}}, {"drop": null}]"#,
                Fate::Unknown,
            ),
            ("accept", r#"[{"jump": {"target": "round"}}]"#, Fate::Unknown),
            ("accept", r#"[{"jump": {"target": "gone"}}]"#, Fate::Unknown),
            ("accept", r#"[{"queue": {"num": 0}}]"#, Fate::Unknown),
            (
                "accept",
                r#"[{"match": {"op": "!=", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 80}}, {"reject": null}]"#,
                Fate::Dropped,
            ),
            (
                "drop",
                r#"[{"vmap": {"key": {"payload": {"protocol": "tcp", "field": "dport"}}, "data": {"set": [[22, {"accept": null}], [80, {"drop": null}]]}}}]"#,
                Fate::Passes,
            ),
            (
                "accept",
                r#"[{"vmap": {"key": {"ct": {"key": "state"}}, "data": {"set": [["established", {"accept": null}], ["new", {"drop": null}]]}}}]"#,
                Fate::Dropped,
            ),
            ("drop", r#"[{"vmap": {"key": {"meta": {"key": "iifname"}}, "data": "@zones"}}]"#, Fate::Unknown),
            ("drop", r#"[{"counter": {"packets": 0, "bytes": 0}}, {"accept": null}]"#, Fate::Passes),
        ] {
            assert_eq!(packet("tcp", 22).fate(&one_rule(policy, expr), &["input"]), fate, "{policy} {expr}");
        }
    }
}
