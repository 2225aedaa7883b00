//! Rules that do not keep ports open for ever: timed ones, limits and refusals. They become [admissions](Admission) of networks.

use std::{collections::BTreeMap, vec::Vec};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::{abi::Admission, bans::FOR_EVER, rate::Rate};

/// What a rule does to its ports, unless it opens them for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// Open them until then, in nanoseconds of `CLOCK_BOOTTIME`.
    Until(u64),
    /// Open them for so many TCP connections of each sender.
    Limit(Rate),
    /// Close them, whatever other rules open.
    Refuse,
}

impl Action {
    /// Whether it opens ports.
    #[must_use]
    pub const fn opens(self) -> bool {
        !matches!(self, Self::Refuse)
    }
}

/// What the rules of a port do for one network.
#[derive(Clone, Copy, Debug, Default)]
struct Grant {
    open_until: u64,
    limit: Option<Rate>,
    is_refused: bool,
}

/// The admissions of networks by the rules of a port: each with its network (`None` for everyone), and its action (`None` where it opens the port for
/// ever). The kernel looks up the longest prefix alone, so each admission also holds what the networks around it allow:
///
/// - A refusal closes the port to its whole network.
/// - Otherwise the limit of the smallest network counts, except where a rule for a network inside that one opens the port.
///
/// Networks that no rule opens the port to are left out.
pub(crate) fn admissions(
    rules: impl IntoIterator<Item = (Option<IpNet>, Option<Action>)>,
) -> impl Iterator<Item = (IpNet, Admission)> {
    let mut grants: BTreeMap<IpNet, Grant> = BTreeMap::new();
    for (source, action) in rules {
        for network in source.map_or(EVERYONE.to_vec(), |network| std::vec![network]) {
            let grant = grants.entry(network).or_default();
            match action {
                None => grant.open_until = FOR_EVER,
                Some(Action::Until(end)) => grant.open_until = grant.open_until.max(end),
                Some(Action::Limit(rate)) => grant.limit = Some(grant.limit.map_or(rate, |other| other.min(rate))),
                Some(Action::Refuse) => grant.is_refused = true,
            }
        }
    }
    // A network comes before those that it contains.
    let mut around: Vec<(IpNet, Admission, bool)> = Vec::new();
    let admitted = grants.into_iter().filter_map(move |(network, grant)| {
        while around.pop_if(|(outer, ..)| !outer.contains(&network)).is_some() {}
        let (outer, is_refused) =
            around.last().map_or((Admission::CLOSED, false), |&(_, admission, is_refused)| (admission, is_refused));
        let admission = if is_refused || grant.is_refused {
            Admission::CLOSED
        } else if let Some(rate) = grant.limit {
            Admission { open_until: 0, then: rate }
        } else {
            Admission { open_until: outer.open_until.max(grant.open_until), then: outer.then }
        };
        around.push((network, admission, is_refused || grant.is_refused));
        // What is closed needs an entry only inside a network that is open.
        (admission != Admission::CLOSED || outer != Admission::CLOSED).then_some((network, admission))
    });
    admitted.collect::<Vec<_>>().into_iter()
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
        let rules = rules.iter().map(|&(source, action)| (source.map(net), action));
        let found = admissions(rules).filter(|(network, _)| network.contains(&net(address)));
        found.max_by_key(|(network, _)| network.prefix_len()).map_or(Admission::CLOSED, |(_, admission)| admission)
    }

    #[test]
    fn the_smallest_network_decides_and_a_refusal_always() {
        let until = |end| Some(Action::Until(end));
        let limit = |rate| Some(Action::Limit(rate));
        let refuse = Some(Action::Refuse);
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
        let networks: Vec<IpNet> = admissions([(None, Some(Action::Until(5)))]).map(|(network, _)| network).collect();
        assert_eq!(networks, EVERYONE);
        assert_eq!(admissions([(Some(net("10.0.0.0/8")), Some(Action::Refuse))]).count(), 0);
    }
}
