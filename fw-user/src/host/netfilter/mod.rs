//! The verdict of netfilter, behind the filter, on a packet.

pub(crate) mod ruleset;
pub(crate) mod verdict;

use std::{
    fs,
    process::{Command, Stdio},
};

use crate::host::netfilter::ruleset::Ruleset;

/// The result of reading the ruleset.
#[derive(Clone, Debug)]
pub(crate) enum Netfilter {
    /// It was read.
    Read(Ruleset),
    /// It could not be read, with the reason.
    Unreadable(String),
}

impl Netfilter {
    /// Ask `nft`.
    pub(crate) fn ask() -> Self {
        // nft does not see the rules of the older iptables.
        if fs::read_to_string("/proc/net/ip_tables_names").is_ok_and(|names| !names.trim().is_empty()) {
            return Self::Unreadable("iptables-legacy has rules, which nft does not list".to_owned());
        }
        // Named sets can have very many members, which are not needed here.
        let output = Command::new("nft").args(["--json", "--terse", "list", "ruleset"]).stdin(Stdio::null()).output();
        match output {
            Err(error) => Self::Unreadable(format!("nft cannot be started: {error}")),
            Ok(output) if !output.status.success() => {
                let said = String::from_utf8_lossy(&output.stderr);
                Self::Unreadable(format!("nft: {}", said.lines().next().unwrap_or("it failed")))
            }
            Ok(output) => match Ruleset::parse(&String::from_utf8_lossy(&output.stdout)) {
                Some(ruleset) => Self::Read(ruleset),
                None => Self::Unreadable("nft printed no JSON".to_owned()),
            },
        }
    }
}
