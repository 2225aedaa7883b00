//! The table of cases: the verdict on each packet, derived from the protocols' specifications and from the promises of this firewall.
//!
//! One file a section. Every kind of packet has a hit, a near miss and, where it makes sense, a guard that another protocol with the
//! same numbers is not meant; over IPv4 and IPv6.

mod bans;
mod each;
mod essential;
mod forwarding;
mod forwarding_to;
mod from_lan;
mod ipv4;
mod ipv4_fragments;
mod ipv4_martians;
mod ipv6;
mod ipv6_chain;
mod ipv6_fragments;
mod limits;
mod link;
mod mdns;
mod multicast;
mod ports;
mod protocols;
mod refusals;
mod replies;
mod sources;
mod timed;
mod timeouts;
mod transport;
mod trusted;

use fw_common::Reason;

use crate::row::Row;

/// Every reason that a frame can have by itself. That it was decrypted, Linux alone knows.
pub fn reasons() -> impl Iterator<Item = Reason> {
    Reason::ALL.iter().copied().filter(|reason| *reason != Reason::Decrypted)
}

/// Every row.
#[must_use]
pub fn all() -> Vec<Row> {
    [
        link::rows(),
        ipv4::rows(),
        ipv4_martians::rows(),
        ipv4_fragments::rows(),
        ipv6::rows(),
        ipv6_chain::rows(),
        ipv6_fragments::rows(),
        ports::rows(),
        sources::rows(),
        trusted::rows(),
        from_lan::rows(),
        refusals::rows(),
        timed::rows(),
        limits::rows(),
        transport::rows(),
        protocols::rows(),
        replies::rows(),
        timeouts::rows(),
        multicast::rows(),
        mdns::rows(),
        essential::rows(),
        forwarding::rows(),
        forwarding_to::rows(),
        bans::rows(),
    ]
    .concat()
}
