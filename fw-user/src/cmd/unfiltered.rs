//! The outside interfaces that have an address and no filter, and what is open there.

use std::path::{Path, PathBuf};

use fw_common::{
    grammar::{PortRange, Rule},
    policy::Policy,
    source::Source,
};
use ipnet::IpNet;
use serde::Serialize;

use crate::{
    cmd::exposed::{
        chosen_by_kernel,
        exposure::{
            ExposureFacts, Filter, IngressPath, PortState,
            paths::{self, BARE},
        },
        filters,
    },
    config::{folder, pattern},
    error::Result,
    host::{
        class::Side,
        network::{Network, is_link_local},
        targets::{self, Targets},
    },
    kernel::pins::Pins,
    output::complain,
    policy_text::words::{open_ports, rule_words},
};

/// An interface through which other machines reach this one, without a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unfiltered {
    pub(crate) name: String,
    /// Its class.
    pub(crate) class: Side,
    /// Whether a filter can be put there.
    can_be_filtered: bool,
    /// The configuration file whose `except` leaves it out.
    pub(crate) left_out_by: Option<PathBuf>,
    /// Its addresses with the networks on its link.
    nets: Vec<IpNet>,
    /// The services there.
    open: Policy,
}

/// All of them, and the commands that close them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gaps {
    pub(crate) unfiltered: Vec<Unfiltered>,
    /// The policy of the attached filters, if they agree.
    policy: Option<Policy>,
    /// The filtered interfaces with their networks.
    filtered: Vec<(String, Vec<IpNet>)>,
}

/// In JSON.
#[derive(Serialize)]
pub(crate) struct UnfilteredJson<'a> {
    name: &'a str,
    class: Side,
    addresses: Vec<String>,
    open: Vec<String>,
    /// The file whose `except` leaves it out.
    except: Option<&'a Path>,
}

/// Find them after a change, which stays even if this fails.
pub(crate) async fn look(pins: &Pins, config: &Path) -> Gaps {
    Gaps::find(pins, config).await.unwrap_or_else(|error| {
        complain(&format!("note: cannot tell whether another interface is open: {error}"));
        Gaps::default()
    })
}

impl Gaps {
    /// Find them. Sockets and Docker are asked only if there is one.
    pub(crate) async fn find(pins: &Pins, config: &Path) -> Result<Self> {
        let network = Network::ask()?;
        // An unreadable folder leaves nothing out.
        let files = folder::read(config).unwrap_or_default();
        let filters = filters::read(pins, &network)?;
        let nets = |index: u32| -> Vec<IpNet> {
            network.addresses.iter().filter(|(at, _)| *at == index).map(|(_, net)| *net).collect()
        };
        let with_filter = network.interfaces.iter().filter(|one| filters.contains_key(&one.name));
        let filtered = with_filter.map(|one| (one.name.clone(), nets(one.index))).collect();
        let is_unfiltered = |path: &IngressPath| !path.addresses.is_empty() && path.judges.contains(&None);
        let paths = paths::paths(&network, &filters, &files, &[]);
        let found: Vec<IngressPath> = paths.into_iter().filter(is_unfiltered).collect();
        let mut policies: Vec<Policy> = filters.values().filter_map(Filter::policy).cloned().collect();
        policies.dedup();
        let policy = if policies.len() == 1 { policies.pop() } else { None };
        if found.is_empty() {
            return Ok(Self { unfiltered: Vec::new(), policy, filtered });
        }
        let targets = Targets::read(&targets::docker_socket()).await?;
        let facts = ExposureFacts {
            network: &network,
            filters,
            endpoints: targets.endpoints(),
            chosen_by_kernel: chosen_by_kernel(),
            files: &files,
        };
        let ports = facts.judge(&[]).ports;
        let open = |path: &IngressPath| {
            let is_open = |name: &str, state: &PortState| name == path.name && *state == PortState::Open;
            let open = ports.iter().filter(|port| !port.is_of_client && port.reach.is_by(is_open));
            Policy::new(open.filter_map(|port| {
                let number = port.endpoint.local.port();
                Some(Rule {
                    protocol: port.endpoint.protocol,
                    ports: PortRange::new(number, number)?,
                    source: Source::Everyone,
                })
            }))
        };
        let unfiltered = found.iter().map(|path| Unfiltered {
            name: path.name.clone(),
            class: path.class.side,
            can_be_filtered: path.can_be_filtered,
            left_out_by: path.left_out_by.clone(),
            nets: nets(path.index),
            open: open(path),
        });
        Ok(Self { unfiltered: unfiltered.collect(), policy, filtered })
    }

    /// Leave out interfaces that are meant to be open, by name or pattern.
    pub(crate) fn without(mut self, names: &[String]) -> Self {
        self.unfiltered.retain(|one| !names.iter().any(|name| pattern::matches(name, &one.name)));
        self
    }

    /// The text for people, with the command that closes each.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for one in &self.unfiltered {
            text += &format!("{}  {}\n", one.name, one.words());
            if one.left_out_by.is_none() {
                text += &format!("  fix     {}\n", self.fix(one));
            }
        }
        for (filtered, one, net) in self.in_one_network() {
            text += &format!(
                "{filtered} and {name} are in one network ({net}): {name} answers for both, and replies may come in by either\n  fix     {}\n",
                self.command(&[filtered, &one.name]),
                name = one.name,
            );
        }
        text
    }

    /// For programs.
    pub(crate) fn json(&self) -> Vec<UnfilteredJson<'_>> {
        let json =
            |one: &'_ Unfiltered| (one.nets.iter().map(|net| net.addr().to_string()).collect(), rule_words(&one.open));
        self.unfiltered
            .iter()
            .map(|one| {
                let (addresses, open) = json(one);
                UnfilteredJson {
                    name: &one.name,
                    class: one.class,
                    addresses,
                    open,
                    except: one.left_out_by.as_deref(),
                }
            })
            .collect()
    }

    /// The command that closes one.
    pub(crate) fn fix(&self, one: &Unfiltered) -> String {
        if one.can_be_filtered {
            self.command(&[&one.name])
        } else {
            format!("{BARE}; close {} with another firewall", one.name)
        }
    }

    fn command(&self, names: &[&str]) -> String {
        let allow = self.policy.as_ref().map_or_else(|| "PORTS".to_owned(), |policy| rule_words(policy).join(","));
        format!("fw-user attach {} --allow {allow}", names.join(" "))
    }

    /// Each interface without a filter that shares a network with one that has one.
    fn in_one_network(&self) -> Vec<(&str, &Unfiltered, IpNet)> {
        let mut found = Vec::new();
        for one in self.unfiltered.iter().filter(|one| one.can_be_filtered && one.left_out_by.is_none()) {
            let shared = self.filtered.iter().find_map(|(name, nets)| {
                let net = nets
                    .iter()
                    .map(IpNet::trunc)
                    .find(|net| !is_link_local(net.addr()) && one.nets.iter().any(|other| other.trunc() == *net))?;
                Some((name.as_str(), one, net))
            });
            found.extend(shared);
        }
        found
    }
}

impl Unfiltered {
    /// The open ports, in one line.
    pub(crate) fn words(&self) -> String {
        let addresses: Vec<String> = self.nets.iter().map(|net| net.addr().to_string()).collect();
        let open = if self.open.is_closed() {
            "nobody listens there now".to_owned()
        } else {
            format!("open there: {}", open_ports(&self.open))
        };
        let addresses = addresses.join(", ");
        match &self.left_out_by {
            Some(file) => format!("left out by `except` in {} ({addresses}): {open}", file.display()),
            None => format!("NOT FILTERED ({addresses}): {open}"),
        }
    }
}
