//! The result of `attach`, in a few lines for people.

use crate::{
    cmd::boot::state::AtBoot,
    config::difference::Difference,
    kernel::{
        attach::plan::{Attached, Plan},
        meta::{Egress, Mode},
    },
    policy_text::{
        self, timeouts,
        words::{answers_mdns, refused, router, typed_rules},
    },
    report::difference,
};

/// The outcome for one interface.
#[must_use]
pub(crate) fn head(name: &str, outcome: &Attached, difference: Option<&Difference>) -> String {
    let verb = match (&outcome.before, outcome.rebuilt) {
        (_, true) => "renewed without a gap",
        (Some(_), _) => "replaced",
        (None, _) => "attached",
    };
    let mode = match (outcome.record.mode, &outcome.not_native) {
        (Mode::Native, _) => "native mode: packets are filtered in the driver".to_owned(),
        (Mode::Tc, Some(why)) => format!("tc mode: packets are filtered at TC ingress, because {why}"),
        (Mode::Tc, None) => "tc mode: packets are filtered at TC ingress".to_owned(),
        (Mode::Generic, Some(why)) => format!(
            "generic mode: packets are filtered in the network stack, because {why}, and the kernel has no TCX (Linux 6.6)"
        ),
        (Mode::Generic, None) => "generic mode: packets are filtered in the network stack".to_owned(),
    };
    let mut lines = vec![format!("{name}  {verb}, {mode}")];
    lines.extend(difference.map(difference::lines).into_iter().flatten().map(|line| format!("  {line}")));
    lines.push(String::new());
    lines.join("\n")
}

/// Facts about all of the interfaces.
#[must_use]
pub(crate) fn policy(attached: &[(String, Attached)], plan: &Plan) -> String {
    let mut lines: Vec<String> =
        typed_rules(&plan.policy).into_iter().map(|(what, rules)| format!("  {what:<7} {rules}")).collect();
    lines.push(if plan.terms.monitors {
        "  MONITOR ONLY  nothing is dropped yet; `fw-user stats` shows what would be, `fw-user enforce` starts dropping"
            .to_owned()
    } else {
        let names: Vec<&str> = attached.iter().map(|(name, _)| name.as_str()).collect();
        format!(
            "  closed  every other TCP, UDP, SCTP, DCCP and UDP-Lite port on {}, including the ones Docker publishes",
            names.join(", ")
        )
    });
    lines.extend(refused(plan.policy.refuse).map(|line| format!("  refuse  {line}")));
    if !plan.policy.protocols.is_empty() {
        let names: Vec<String> = plan.policy.protocols.iter().copied().map(policy_text::protocol_name).collect();
        lines.push(format!("  also    {} packets, including everything they carry", names.join(", ")));
    }
    if let Some(timeouts) = timeouts::unusual(&plan.policy.timeouts) {
        lines.push(format!("  replies {timeouts}"));
    }
    lines.extend(router(&plan.policy.forward).map(|line| format!("  router  {line}")));
    if attached.iter().any(|(_, outcome)| outcome.record.egress == Egress::None) {
        lines.push("  note    replies are not tracked: all outbound traffic fails except ping and DHCP".to_owned());
    }
    if !answers_mdns(&plan.policy) && !plan.terms.monitors {
        lines.push(
            "  note    mDNS is closed: names like raspberrypi.local stop working; fw-user allow mdns opens it"
                .to_owned(),
        );
    }
    lines.push(String::new());
    lines.join("\n")
}

/// Whether a reboot keeps the filter, if it needs a line.
#[must_use]
pub(crate) fn boot(name: &str, outcome: &Attached, plan: &Plan, at_boot: &AtBoot, is_all: bool) -> Option<String> {
    let whom = if is_all { "--all" } else { name };
    let is_new = outcome.before.is_none() && plan.terms.deadline.is_none();
    match at_boot {
        AtBoot::Filtered { .. } | AtBoot::Absent(_) => Some(format!("  boot    {}", at_boot.words(name))),
        AtBoot::Open { .. } if is_new => {
            Some(format!("  boot    a reboot opens every port; fw-user enable {whom} attaches the filter again"))
        }
        AtBoot::Unknown { .. } if is_new => Some(format!(
            "  boot    a reboot removes the filter unless something attaches it again; with systemd: fw-user enable {whom}"
        )),
        AtBoot::Open { .. } if plan.terms.deadline.is_none() => Some(format!("  boot    {}", at_boot.words(name))),
        AtBoot::Open { .. } | AtBoot::Unknown { .. } => None,
    }
}
