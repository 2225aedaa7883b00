//! Rules that do not keep ports open for ever: timed ones, limits and refusals. They become [admissions](Admission) of networks.

use std::{collections::BTreeMap, vec::Vec};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::{admission::Admission, bans::FOR_EVER, rate::Rate, source::Source};

/// What a rule does to its ports, unless it opens them for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// Open them until then, in nanoseconds of `CLOCK_BOOTTIME`.
    Until(u64),
    /// Open them for so many TCP connections of each sender.
    Limit(Rate),
    /// Close them, whatever other rules open.
    Deny,
}

impl Action {
    /// Whether it opens ports.
    #[must_use]
    pub const fn opens(self) -> bool {
        !matches!(self, Self::Deny)
    }
}

/// Whom a rule is for, and its action (`None` where it opens its ports for ever).
pub(crate) type Grant = (Source, Option<Action>);

/// What the rules of a port do for one network, together.
#[derive(Clone, Copy, Debug, Default)]
struct Together {
    open_until: u64,
    limit: Option<Rate>,
    is_refused: bool,
}

/// The admissions of networks by the rules of a port, for senders on the link or for all others. The kernel looks up the longest prefix alone, so each
/// admission also holds what the networks around it allow:
///
/// - A refusal closes the port to all its senders.
/// - Otherwise the limit of the smallest network counts, except where a rule for a network inside that one opens the port. The link is inside everyone,
///   and every named network is inside the link.
///
/// Networks that no rule opens the port to are left out.
pub(crate) fn admissions(rules: impl IntoIterator<Item = Grant>, is_on_link: bool) -> Vec<(IpNet, Admission)> {
    let (mut everyone, mut lan) = (Together::default(), Together::default());
    let mut grants: BTreeMap<IpNet, Together> = BTreeMap::new();
    for (source, action) in rules {
        let grant = match source {
            Source::Everyone => &mut everyone,
            Source::Lan => &mut lan,
            Source::Network(network) => grants.entry(network).or_default(),
        };
        grant.add(action);
    }
    let mut widest = everyone.inside(Admitted::NOBODY);
    if is_on_link {
        widest = lan.inside(widest);
    }
    let mut list = Vec::new();
    // A network comes before those that it contains.
    let mut around: Vec<(IpNet, Admitted)> = Vec::new();
    for network in EVERYONE {
        grants.entry(network).or_default();
    }
    for (network, grant) in grants {
        while around.pop_if(|(outer, _)| !outer.contains(&network)).is_some() {}
        let outer = around.last().map_or(widest, |(_, outer)| *outer);
        let admitted = grant.inside(outer);
        around.push((network, admitted));
        // What is closed needs an entry only inside a network that is open.
        if admitted.admission != Admission::CLOSED || around.len() > 1 && outer.admission != Admission::CLOSED {
            list.push((network, admitted.admission));
        }
    }
    list
}

/// What all rules of a port do for a network.
#[derive(Clone, Copy)]
struct Admitted {
    admission: Admission,
    is_refused: bool,
}

impl Admitted {
    const NOBODY: Self = Self { admission: Admission::CLOSED, is_refused: false };
}

impl Together {
    fn add(&mut self, action: Option<Action>) {
        match action {
            None => self.open_until = FOR_EVER,
            Some(Action::Until(end)) => self.open_until = self.open_until.max(end),
            Some(Action::Limit(rate)) => self.limit = Some(self.limit.map_or(rate, |other| other.min(rate))),
            Some(Action::Deny) => self.is_refused = true,
        }
    }

    /// What it makes of senders for whom the wider networks do this.
    fn inside(self, outer: Admitted) -> Admitted {
        let is_refused = outer.is_refused || self.is_refused;
        let admission = if is_refused {
            Admission::CLOSED
        } else if let Some(rate) = self.limit {
            Admission { open_until: 0, then: rate }
        } else {
            Admission { open_until: outer.admission.open_until.max(self.open_until), then: outer.admission.then }
        };
        Admitted { admission, is_refused }
    }
}

/// The networks of everyone.
pub(crate) const EVERYONE: [IpNet; 2] = [
    IpNet::V4(Ipv4Net::new_assert(std::net::Ipv4Addr::UNSPECIFIED, 0)),
    IpNet::V6(Ipv6Net::new_assert(std::net::Ipv6Addr::UNSPECIFIED, 0)),
];

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().expect("a network")
    }

    const SIX: Rate = Rate { count: 6, seconds: 30 };
    const TWO: Rate = Rate { count: 2, seconds: 1 };

    /// The admission of an address by the longest prefix.
    fn of(rules: &[(Option<&str>, Option<Action>)], address: &str) -> Admission {
        let rules = rules.iter().map(|&(source, action)| {
            (
                source.map_or(Source::Everyone, |net_| match net_ {
                    "lan" => Source::Lan,
                    text => Source::Network(net(text)),
                }),
                action,
            )
        });
        let list = admissions(rules, address == ON_LINK);
        let found = list.into_iter().filter(|(network, _)| network.contains(&net(address)));
        found.max_by_key(|(network, _)| network.prefix_len()).map_or(Admission::CLOSED, |(_, admission)| admission)
    }

    /// An address that is on the link in these tests.
    const ON_LINK: &str = "10.9.9.9/32";

    #[test]
    fn the_link_is_inside_everyone_and_around_each_network() {
        let lan = Some("lan");
        let limit = Some(Action::Limit(SIX));
        let refuse = Some(Action::Deny);
        let off_link = "10.8.8.8/32";
        let eight = Some("10.0.0.0/8");
        let limited = Admission { open_until: 0, then: SIX };
        for (rules, on, off) in [
            (vec![(lan, None)], Admission::OPEN, Admission::CLOSED),
            (vec![(None, None), (lan, refuse)], Admission::CLOSED, Admission::OPEN),
            (vec![(None, limit), (lan, None)], Admission { open_until: FOR_EVER, then: SIX }, limited),
            (vec![(None, None), (lan, limit)], limited, Admission::OPEN),
            (vec![(lan, limit), (eight, None)], Admission { open_until: FOR_EVER, then: SIX }, Admission::OPEN),
            (vec![(lan, None), (eight, refuse)], Admission::CLOSED, Admission::CLOSED),
            (vec![(lan, refuse), (eight, None)], Admission::CLOSED, Admission::OPEN),
        ] {
            assert_eq!((of(&rules, ON_LINK), of(&rules, off_link)), (on, off), "{rules:?}");
        }
    }

    #[test]
    fn the_smallest_network_decides_and_a_refusal_always() {
        let until = |end| Some(Action::Until(end));
        let limit = |rate| Some(Action::Limit(rate));
        let refuse = Some(Action::Deny);
        let (eight, sixteen, host) = (Some("10.0.0.0/8"), Some("10.1.0.0/16"), Some("10.1.1.1/32"));
        let inside = "10.1.1.1/32";
        let limited = |open_until, then| Admission { open_until, then };
        for (rules, expected) in [
            (vec![(None, None)], Admission::OPEN),
            (vec![(None, None), (host, refuse)], Admission::CLOSED),
            (vec![(None, None), (sixteen, refuse), (host, None)], Admission::CLOSED),
            (vec![(sixteen, refuse)], Admission::CLOSED),
            (vec![(sixteen, refuse), (host, None)], Admission::CLOSED),
            (vec![(None, limit(SIX))], limited(0, SIX)),
            (vec![(None, limit(SIX)), (eight, None)], limited(FOR_EVER, SIX)),
            (vec![(None, None), (eight, limit(SIX))], limited(0, SIX)),
            (vec![(None, None), (eight, limit(SIX)), (sixteen, limit(TWO))], limited(0, TWO)),
            (vec![(None, None), (eight, limit(SIX)), (sixteen, None)], limited(FOR_EVER, SIX)),
            (vec![(None, limit(SIX)), (host, until(5))], limited(5, SIX)),
            (vec![(eight, until(9)), (host, until(5))], limited(9, Rate::NONE)),
            (vec![(eight, until(9)), (sixteen, limit(SIX)), (host, until(5))], limited(5, SIX)),
            (vec![(sixteen, until(9)), (sixteen, limit(SIX))], limited(0, SIX)),
            (vec![(sixteen, limit(TWO)), (sixteen, limit(SIX))], limited(0, TWO)),
            (vec![(Some("10.2.0.0/16"), None)], Admission::CLOSED),
        ] {
            assert_eq!(of(&rules, inside), expected, "{rules:?}");
        }
    }

    #[test]
    fn everyone_is_everyone_of_both_families() {
        let networks =
            |source, action| admissions([(source, Some(action))], false).into_iter().map(|(network, _)| network);
        assert_eq!(networks(Source::Everyone, Action::Until(5)).collect::<Vec<_>>(), EVERYONE);
        assert_eq!(networks(Source::Network(net("10.0.0.0/8")), Action::Deny).count(), 0);
    }
}
