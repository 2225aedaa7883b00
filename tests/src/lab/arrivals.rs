//! The packets that got past XDP. netfilter counts every packet with ports when it first sees it, before any rule can drop or change it, again after
//! reassembly, and once more if the packet is for this machine itself.
//!
//! This is the witness for packets that no listener would ever report: a lone FIN, a datagram without a socket, a first piece.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::{Lab, Namespace, stats::InterfaceStats, wait};

/// Protocols are counted by destination port where they have ports (`nft` leaves the numbers of others unread), and later pieces by
/// themselves.
const TABLE: &str = "
table inet arrivals {}
delete table inet arrivals
table inet arrivals {
    set seen { type inet_proto . inet_service; size 65535; flags dynamic; counter; }
    set whole { type inet_proto . inet_service; size 65535; flags dynamic; counter; }
    set here { type inet_proto . inet_service; size 65535; flags dynamic; counter; }
    set protocols { type inet_proto; size 65535; flags dynamic; counter; }
    counter later {}
    chain seen {
        type filter hook prerouting priority -450;
        update @protocols { meta l4proto }
        ip frag-off & 0x1fff != 0 counter name later return
        frag frag-off != 0 counter name later return
        meta l4proto { 6, 17, 33, 132, 136 } update @seen { meta l4proto . th dport }
    }
    chain whole {
        type filter hook prerouting priority -350;
        ip frag-off & 0x3fff != 0 return
        frag frag-off != 0 return
        frag more-fragments 1 return
        meta l4proto { 6, 17, 33, 132, 136 } update @whole { meta l4proto . th dport }
    }
    chain here {
        type filter hook input priority -350;
        frag frag-off != 0 return
        frag more-fragments 1 return
        meta l4proto { 6, 17, 33, 132, 136 } update @here { meta l4proto . th dport }
    }
}";

/// The packets that netfilter has seen since it began to count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// Packets by stage, protocol and destination port.
    ports: BTreeMap<(&'static str, u8, u16), u64>,
    protocols: BTreeMap<u8, u64>,
    /// Fragments with an offset, of whatever.
    pub later_pieces: u64,
}

impl Arrivals {
    /// Packets to a port, of any protocol: at the stage that saw most of them.
    #[must_use]
    pub fn at(&self, port: u16) -> u64 {
        STAGES.into_iter().map(|stage| self.sum(stage, |at| at == port)).max().unwrap_or_default()
    }

    /// Whole packets to a port, of any protocol: with all their pieces, if there were any.
    #[must_use]
    pub fn whole_at(&self, port: u16) -> u64 {
        ["whole", "here"].into_iter().map(|stage| self.sum(stage, |at| at == port)).max().unwrap_or_default()
    }

    /// Packets or pieces of an IP protocol.
    #[must_use]
    pub fn of_protocol(&self, number: u8) -> u64 {
        self.protocols.get(&number).copied().unwrap_or_default()
    }

    fn sum(&self, stage: &str, fits: impl Fn(u16) -> bool) -> u64 {
        self.ports.iter().filter(|((of, _, port), _)| *of == stage && fits(*port)).map(|(_, count)| count).sum()
    }
}

const STAGES: [&str; 3] = ["seen", "whole", "here"];

impl Namespace {
    /// Count what arrives from now on, from 0.
    ///
    /// # Errors
    /// No nftables here.
    pub fn count_arrivals(&self) -> Result<()> {
        self.nft(TABLE)
    }

    /// The arrivals since [`Namespace::count_arrivals`].
    ///
    /// # Errors
    /// That was not called.
    pub fn arrivals(&self) -> Result<Arrivals> {
        let listed: serde_json::Value = serde_json::from_str(&self.run("nft -j -n list table inet arrivals")?)?;
        let objects = listed["nftables"].as_array().context("nft lists no objects")?;
        let mut arrivals = Arrivals::default();
        for object in objects {
            if let Some(packets) = object["counter"]["packets"].as_u64() {
                arrivals.later_pieces = packets;
            }
            let set = &object["set"];
            for element in set["elem"].as_array().into_iter().flatten() {
                let element = &element["elem"];
                let packets = element["counter"]["packets"].as_u64().context("an element without its counter")?;
                let number = |value: &serde_json::Value| value.as_u64().context("no number");
                match STAGES.into_iter().find(|stage| set["name"] == *stage) {
                    None => {
                        let protocol = number(&element["val"])?.try_into()?;
                        arrivals.protocols.insert(protocol, packets);
                    }
                    Some(stage) => {
                        let key = &element["val"]["concat"];
                        let (protocol, port) = (number(&key[0])?.try_into()?, number(&key[1])?.try_into()?);
                        arrivals.ports.insert((stage, protocol, port), packets);
                    }
                }
            }
        }
        Ok(arrivals)
    }
}

/// A moment at which everything that the LAN host had sent was judged.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    judged: u64,
    sent: u64,
}

impl Lab {
    /// Now. Nothing may be under way.
    ///
    /// # Errors
    /// Nothing is attached.
    pub fn moment(&self) -> Result<Moment> {
        // In this order: what comes in between is awaited in vain otherwise.
        Ok(Moment { judged: judged(&self.stats("eth0")?), sent: self.sent_by_lan()? })
    }

    /// Wait until everything has been judged that the LAN host has sent since, and return how much that is, and the counters.
    ///
    /// # Errors
    /// Some of it never is.
    pub fn await_judged(&self, since: Moment) -> Result<(u64, InterfaceStats)> {
        let sent = self.sent_by_lan()? - since.sent;
        let stats =
            self.await_stats(format!("{sent} packets to be judged"), |now| judged(now) - since.judged >= sent)?;
        Ok((sent, stats))
    }

    /// How many packets the LAN host has sent to the Pi.
    ///
    /// # Errors
    /// There is no such cable.
    pub fn sent_by_lan(&self) -> Result<u64> {
        let link: serde_json::Value = serde_json::from_str(&self.lan.run("ip -json -statistics link show eth0")?)?;
        link[0]["stats64"]["tx"]["packets"].as_u64().with_context(|| format!("no count of packets in {link}"))
    }

    /// Wait until netfilter on the Pi has seen what it must.
    ///
    /// # Errors
    /// It has not.
    pub fn await_arrivals(&self, what: &str, fit: impl Fn(&Arrivals) -> bool) -> Result<Arrivals> {
        wait::until(what, || Ok(Some(self.pi.arrivals()?).filter(&fit)))
    }
}

fn judged(stats: &InterfaceStats) -> u64 {
    stats.passed.packets + stats.dropped.packets
}
