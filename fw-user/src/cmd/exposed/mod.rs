//! `fw-user exposed`.

pub(crate) mod args;
pub(crate) mod beside;
pub(crate) mod exposure;
pub(crate) mod filters;
pub(crate) mod report;

use std::{fs, ops::RangeInclusive, path::Path};

use crate::{
    cmd::exposed::{args::ExposedArgs, beside::Beside, exposure::ExposureFacts},
    config::folder,
    error::Result,
    host::{
        interface,
        netfilter::Netfilter,
        network::Network,
        privilege,
        targets::{self, Targets},
    },
    kernel::pins::Pins,
    output::{json, print},
};

pub(crate) async fn run(pins: &Pins, config: &Path, args: &ExposedArgs) -> Result<()> {
    privilege::check()?;
    interface::named(&args.interfaces)?;
    let network = Network::ask()?;
    let filters = filters::read(pins, &network)?;
    let targets = Targets::read(&targets::docker_socket()).await?;
    let facts = ExposureFacts {
        network: &network,
        filters,
        endpoints: targets.endpoints(),
        chosen_by_kernel: chosen_by_kernel(),
        // An unreadable folder leaves nothing out.
        files: &folder::read(config).unwrap_or_default(),
    };
    let exposure = facts.judge(&args.interfaces);
    let netfilter = Netfilter::ask();
    let ruleset = match &netfilter {
        Netfilter::Read(ruleset) => Some(ruleset).filter(|ruleset| !ruleset.is_empty()),
        Netfilter::Unreadable(_) => None,
    };
    let judge = |port| beside::of(port, &exposure, &network, ruleset?);
    let beside: Vec<Option<Beside>> = exposure.ports.iter().map(judge).collect();
    let facts = report::Facts { exposure: &exposure, targets: &targets, netfilter: &netfilter, beside: &beside };
    print(&if args.json { json(&report::ExposedJson::new(&facts))? } else { report::text(&facts) })
}

/// The range from which the kernel chooses ports; the kernel's default if it is unreadable.
pub(crate) fn chosen_by_kernel() -> RangeInclusive<u16> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut ends = text.split_whitespace().map(str::parse);
    match (ends.next(), ends.next()) {
        (Some(Ok(first)), Some(Ok(last))) => first..=last,
        _ => 32_768..=60_999,
    }
}
