//! The Pi's netfilter rules: the `input` chain that its owner trusts, and what Docker does about published ports.

use anyhow::{Context, Result};

use super::{namespace::Namespace, wait};

/// The address of the container's server that is published on port 9125 without permission.
pub const CLOSED_TARGET: u16 = 80;
/// The address of the container's server that is published on port 80, as intended.
pub const OPEN_TARGET: u16 = 8080;

/// Everything but SSH, HTTP and HTTPS is dropped. The counter tells when a packet has met its end here.
const INPUT: &str = "
table inet filter {
    counter refused {}
    chain input {
        type filter hook input priority filter; policy drop;
        iif lo accept
        ct state established,related accept
        meta l4proto { icmp, ipv6-icmp } accept
        meta l4proto { tcp, udp } th dport { 22, 80, 443 } accept
        counter name refused
    }
}";

/// The rules that Docker writes, for both families: packets to published ports are redirected from everywhere except the bridge, including those from
/// the host itself, and packets from containers that leave the bridge get the host's address.
fn published(family: &str, loopback: &str, subnet: &str, container: &str) -> String {
    let rules: String = ["tcp", "udp"]
        .into_iter()
        .flat_map(|protocol| {
            [(9125, CLOSED_TARGET), (80, OPEN_TARGET)].map(|(port, target)| {
                format!("iifname != docker0 {protocol} dport {port} counter dnat to {container}:{target}\n")
            })
        })
        .collect();
    format!(
        "table {family} nat {{
            chain DOCKER {{
                {rules}
            }}
            chain PREROUTING {{
                type nat hook prerouting priority dstnat; policy accept;
                fib daddr type local counter jump DOCKER
            }}
            chain OUTPUT {{
                type nat hook output priority -100; policy accept;
                {family} daddr != {loopback} fib daddr type local counter jump DOCKER
            }}
            chain POSTROUTING {{
                type nat hook postrouting priority srcnat; policy accept;
                {family} saddr {subnet} oifname != docker0 counter masquerade
            }}
        }}"
    )
}

impl Namespace {
    /// Drop everything that comes in but ports 22, 80 and 443, ICMP and replies.
    ///
    /// # Errors
    /// No nftables here.
    pub fn close_input(&self) -> Result<()> {
        self.nft(INPUT)
    }

    /// Let everything in as far as netfilter is concerned.
    ///
    /// # Errors
    /// [`Namespace::close_input`] was not called.
    pub fn open_input(&self) -> Result<()> {
        self.nft("delete table inet filter")
    }

    /// Publish the first container's ports as Docker does: [`CLOSED_TARGET`] on 9125 and [`OPEN_TARGET`] on 80.
    ///
    /// # Errors
    /// No nftables here.
    pub fn publish_ports(&self) -> Result<()> {
        self.nft(&published("ip", "127.0.0.0/8", "172.17.0.0/16", "172.17.0.2"))?;
        self.nft(&published("ip6", "::1", "fd00:17::/64", "[fd00:17::2]"))
    }

    /// How many packets the input chain has dropped.
    ///
    /// # Errors
    /// [`Namespace::close_input`] was not called.
    pub fn refused_by_input(&self) -> Result<u64> {
        let listed: serde_json::Value = serde_json::from_str(&self.run("nft -j list counter inet filter refused")?)?;
        listed["nftables"]
            .as_array()
            .into_iter()
            .flatten()
            .find_map(|object| object["counter"]["packets"].as_u64())
            .with_context(|| format!("no counter in {listed}"))
    }

    /// Wait until the input chain has dropped more than `before` packets.
    ///
    /// # Errors
    /// It has not.
    pub fn await_refused_by_input(&self, before: u64) -> Result<()> {
        wait::until("the input chain to drop a packet", || Ok((self.refused_by_input()? > before).then_some(())))
    }
}
