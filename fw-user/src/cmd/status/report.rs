//! The attached filters.

use std::time::{Duration, SystemTime};

use fw_common::policy::Policy;
use serde::Serialize;

use crate::{
    cmd::{
        boot::state::{AtBoot, AtBootJson},
        unfiltered::{Gaps, UnfilteredJson},
    },
    host::class::Class,
    kernel::meta::{AttachmentRecord, Egress},
    policy_text::{
        self, timeouts,
        words::{PolicyJson, refused, router, typed_rules},
    },
    report::{table::bytes, user},
};

/// Everything that `status` knows.
pub(crate) struct Status {
    /// One for each interface that has pins.
    pub interfaces: Vec<InterfaceStatus>,
    /// The outside interfaces that have an address and no filter.
    pub gaps: Gaps,
    /// Bytes that the shared maps take.
    pub shared_memory: u64,
    /// How many flows each of the two tables holds at most.
    pub flow_capacity: Option<u32>,
    /// How many networks are banned; `None` if the ledger cannot be read.
    pub bans: Option<usize>,
    /// Whether the kernel holds these bans.
    pub are_bans_in_force: bool,
}

/// An interface that has pins, or a filter of ours.
pub(crate) struct InterfaceStatus {
    /// The name.
    pub name: String,
    /// `active`, or why not.
    pub state: String,
    /// Whether it had a filter that is not there any more.
    pub is_gone: bool,
    /// How the interface is classed, and why; nothing for one that is gone.
    pub class: Option<Class>,
    /// The problems, if any.
    pub problems: Vec<String>,
    /// The fix.
    pub fix: Option<String>,
    /// The contents of its maps; `None` if they cannot be read.
    pub details: Option<Details>,
    /// The effect of a reboot.
    pub at_boot: AtBoot,
    /// Bytes that its own maps take.
    pub memory: u64,
}

/// The contents of an interface's maps.
pub(crate) struct Details {
    /// The record of the attachment.
    pub record: AttachmentRecord,
    /// The policy.
    pub policy: Policy,
    /// Whether nothing is dropped.
    pub monitors: bool,
    /// How long the last change can still be confirmed, if it waits for that.
    pub confirm_within: Option<Duration>,
    /// Whether packets that this machine's `IPsec` has decrypted pass.
    pub passes_decrypted: bool,
}

impl Status {
    /// The open interfaces: those whose filter is gone, and outside ones without a filter that no file leaves out.
    pub(crate) fn open(&self) -> Vec<&str> {
        let mut open: Vec<&str> = self.gone().collect();
        open.extend(
            self.gaps
                .unfiltered
                .iter()
                .filter(|one| one.left_out_by.is_none())
                .map(|one| one.name.as_str())
                .filter(|name| !self.gone().any(|gone| gone == *name)),
        );
        open
    }

    fn gone(&self) -> impl Iterator<Item = &str> {
        self.interfaces.iter().filter(|one| one.is_gone).map(|one| one.name.as_str())
    }

    /// Bytes that all maps take.
    fn memory(&self) -> u64 {
        self.shared_memory + self.interfaces.iter().map(|interface| interface.memory).sum::<u64>()
    }
}

/// `status --json`.
#[derive(Serialize)]
pub(crate) struct StatusJson<'a> {
    interfaces: Vec<InterfaceJson<'a>>,
    unfiltered: Vec<UnfilteredJson<'a>>,
    map_memory: u64,
    flow_capacity: Option<u32>,
    bans: Option<usize>,
}

#[derive(Serialize)]
struct InterfaceJson<'a> {
    name: &'a str,
    state: &'a str,
    class: Option<&'static str>,
    class_reason: Option<&'a str>,
    problems: &'a [String],
    fix: Option<&'a str>,
    /// The former name of `fix`.
    cure: Option<&'a str>,
    map_memory: u64,
    boot: AtBootJson,
    #[serde(flatten)]
    details: Option<DetailsJson<'a>>,
}

#[derive(Serialize)]
struct DetailsJson<'a> {
    mode: &'static str,
    egress: &'static str,
    since: String,
    uid: u32,
    version: &'a str,
    monitor: bool,
    confirm_within: Option<u64>,
    passes_decrypted: bool,
    #[serde(flatten)]
    policy: PolicyJson,
}

impl<'a> StatusJson<'a> {
    /// In the form for JSON.
    #[must_use]
    pub(crate) fn new(status: &'a Status) -> Self {
        Self {
            interfaces: status.interfaces.iter().map(InterfaceJson::new).collect(),
            unfiltered: status.gaps.json(),
            map_memory: status.memory(),
            flow_capacity: status.flow_capacity,
            bans: status.bans,
        }
    }
}

impl<'a> InterfaceJson<'a> {
    fn new(interface: &'a InterfaceStatus) -> Self {
        Self {
            name: &interface.name,
            state: &interface.state,
            class: interface.class.as_ref().map(|class| class.side.name()),
            class_reason: interface.class.as_ref().map(|class| class.why.as_str()),
            problems: &interface.problems,
            fix: interface.fix.as_deref(),
            cure: interface.fix.as_deref(),
            map_memory: interface.memory,
            boot: interface.at_boot.json(),
            details: interface.details.as_ref().map(DetailsJson::new),
        }
    }
}

impl<'a> DetailsJson<'a> {
    fn new(details: &'a Details) -> Self {
        Self {
            mode: details.record.mode.name(),
            egress: egress_name(details.record.egress),
            since: rfc3339(details.record.since),
            uid: details.record.uid,
            version: &details.record.version,
            monitor: details.monitors,
            confirm_within: details.confirm_within.map(|left| left.as_secs()),
            passes_decrypted: details.passes_decrypted,
            policy: PolicyJson::new(&details.policy),
        }
    }
}

/// The word for what tracks replies.
pub(crate) const fn egress_name(egress: Egress) -> &'static str {
    match egress {
        Egress::None => "none",
        Egress::Tcx => "tcx",
        Egress::Clsact { .. } => "clsact",
    }
}

fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

/// For people.
#[must_use]
pub(crate) fn text(status: &Status) -> String {
    let gone: Vec<&str> = status.gone().collect();
    let mut text = if gone.is_empty() {
        String::new()
    } else {
        format!("NOT FILTERED: every port is open on {}\n", gone.join(", "))
    };
    if status.interfaces.is_empty() {
        text += "fw is not attached to any interface; start with: fw-user attach --all --allow 22\n";
        return text + &status.gaps.text();
    }
    text += &status.interfaces.iter().map(interface_text).collect::<String>();
    text += &status.gaps.text();
    text += &match status.bans {
        _ if !status.are_bans_in_force => {
            "bans  the last change was interrupted; `fw-user bans` puts it in force\n".to_owned()
        }
        None | Some(0) => String::new(),
        Some(1) => "bans  1 network\n".to_owned(),
        Some(count) => format!("bans  {count} networks\n"),
    };
    text += &format!(
        "maps take {} in total; they hold up to {} flows for each of IPv4 and IPv6\n",
        bytes(status.memory()),
        status.flow_capacity.unwrap_or_default()
    );
    text
}

fn interface_text(interface: &InterfaceStatus) -> String {
    let InterfaceStatus { name, state, is_gone: _, class, problems, fix, details, at_boot, memory: _ } = interface;
    let mut text = format!("{name}  {state}");
    if let Some(details) = details {
        text += &details_text(details);
    } else {
        text += "\n";
    }
    if let Some(class) = class {
        text += &format!("  class   {class}\n");
    }
    text += &format!("  boot    {}\n", at_boot.words(name));
    for problem in problems {
        text += &format!("  problem {problem}\n");
    }
    if let Some(fix) = fix {
        text += &format!("  fix     {fix}\n");
    }
    text
}

fn details_text(details: &Details) -> String {
    let Details { record, policy, monitors, confirm_within, passes_decrypted } = details;
    let user = user::name(record.uid);
    let age = SystemTime::now().duration_since(record.since).unwrap_or_default();
    // Seconds are noise in an age of hours.
    let age = Duration::from_secs(if age.as_secs() < 3600 { age.as_secs() } else { age.as_secs() / 60 * 60 });
    let mut text = format!(
        ", {} mode, replies by {}\n  since   {} ({}), by {user}, fw-user {}\n",
        record.mode.name(),
        egress_name(record.egress),
        rfc3339(record.since),
        humantime::format_duration(age),
        record.version
    );
    for (what, rules) in typed_rules(policy) {
        text += &format!("  {what:<7} {rules}\n");
    }
    if policy.needs_lan() {
        let networks: Vec<String> = policy.on_link.iter().map(ToString::to_string).collect();
        let networks = if networks.is_empty() { "no network".to_owned() } else { networks.join(", ") };
        text += &format!("  lan     {networks}\n");
    }
    if *monitors {
        text += "  MONITOR ONLY  nothing is dropped; `fw-user enforce` closes what is not open\n";
    }
    if let Some(left) = confirm_within {
        let seconds = left.as_secs();
        text += &format!("  ON TRIAL  reverts in {seconds} s unless you run `fw-user confirm`\n");
    }
    if let Some(refused) = refused(policy.refuse) {
        text += &format!("  refuse  {refused}\n");
    }
    if !policy.protocols.is_empty() {
        let names: Vec<String> = policy.protocols.iter().copied().map(policy_text::protocol_name).collect();
        text += &format!("  also    {}\n", names.join(", "));
    }
    if let Some(timeouts) = timeouts::unusual(&policy.timeouts) {
        text += &format!("  replies {timeouts}\n");
    }
    if *passes_decrypted {
        text += "  also    packets that this machine's IPsec decrypts, whatever their port
";
    }
    if let Some(router) = router(&policy.forward) {
        text += &format!(
            "  router  {router}
"
        );
    }
    text
}
