//! What people and programs get to read. Nothing here asks the kernel.

pub mod apply;
pub mod attach;
pub mod change;
pub mod doctor;
pub mod drops;
pub mod explain;
pub mod exposed;
pub mod lockout;
pub mod reasons;
pub mod stats;
pub mod status;

use comfy_table::{CellAlignment, Table, presets};
use fw_common::{PortProtocol, grammar::Rule, policy::Policy};
use serde::Serialize;

use crate::spec;

/// A policy in JSON: every piece can be given to `--allow` and `--allow-proto` again.
#[derive(Serialize)]
pub struct PolicyJson {
    allow: Vec<String>,
    allow_proto: Vec<String>,
    forward: String,
}

impl PolicyJson {
    /// As JSON has it.
    #[must_use]
    pub fn new(policy: &Policy) -> Self {
        Self {
            allow: policy.rules().iter().map(ToString::to_string).collect(),
            allow_proto: policy.protocols.iter().copied().map(spec::protocol_name).collect(),
            forward: policy.forward.to_string(),
        }
    }
}

/// The open ports as a person would have typed them, in one line.
#[must_use]
pub fn open_ports(policy: &Policy) -> String {
    let words = rule_words(policy);
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

/// The rules as a person would have typed them: a bare port where TCP and UDP are both open.
#[must_use]
pub fn rule_words(policy: &Policy) -> Vec<String> {
    let rules = policy.rules();
    let twin = |rule: &Rule, protocol| rules.binary_search(&Rule { protocol, ..*rule }).is_ok();
    let mut shown: Vec<(Rule, String)> = rules
        .iter()
        .filter_map(|rule| match rule.protocol {
            PortProtocol::Tcp if twin(rule, PortProtocol::Udp) => {
                Some((*rule, rule.to_string().replacen("/tcp", "", 1)))
            }
            PortProtocol::Udp if twin(rule, PortProtocol::Tcp) => None,
            _ => Some((*rule, rule.to_string())),
        })
        .collect();
    shown.sort_by_key(|(rule, _)| (rule.ports, rule.protocol, rule.source));
    shown.into_iter().map(|(_, text)| text).collect()
}

/// Whether names like `raspberrypi.local` are answered for others on the network.
#[must_use]
pub fn answers_mdns(policy: &Policy) -> bool {
    const MDNS: u16 = 5353;
    policy.is_open_to_some(PortProtocol::Udp, MDNS)
}

/// A table without lines: a head, and columns that are set right where they hold numbers.
fn table(head: &[&str], numbers: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head.to_vec());
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if numbers.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// The table's lines, set in by two columns.
fn indented(table: &Table) -> String {
    table.lines().fold(String::new(), |text, line| text + "  " + line.trim_end() + "\n")
}

/// Bytes with a unit.
pub(crate) fn bytes(count: u64) -> String {
    humansize::format_size(count, humansize::BINARY)
}
