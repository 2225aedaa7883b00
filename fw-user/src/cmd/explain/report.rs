//! The filter's verdict on a packet, and the reason.

use std::{collections::BTreeSet, net::IpAddr};

use fw_common::{
    PortProtocol, Reason, Verdict,
    actions::Action,
    entry::{Entry, Protocols},
    flow::Timeouts,
    forward::{Forward, Networks},
    grammar::Rule,
    limit::Limit,
    policy::Policy,
    refuse::Refuse,
};
use ipnet::IpNet;
use serde::Serialize;

use crate::{
    kernel::dry_run::Judgement,
    packet::headers::{self, Headers},
    policy_text::{
        self, timeouts,
        words::{acting_rule, entry_words},
    },
    report::reasons,
};

/// The filter that gave the verdict.
pub(crate) struct FilterFacts {
    /// Its interface.
    pub name: String,
    /// Whether other interfaces have a filter too, so that commands must name this one.
    pub is_one_of_several: bool,
    /// The policy.
    pub policy: Policy,
    /// Whether nothing is dropped.
    pub monitors: bool,
    /// Whether replies are tracked.
    pub tracks_replies: bool,
    /// Notes on every answer.
    pub notes: Vec<String>,
}

/// A packet and its verdict.
pub(crate) struct Answer<'a> {
    /// The filter that gave the verdict.
    pub filter: &'a FilterFacts,
    /// Its number in the file, from 1.
    pub number: Option<u64>,
    /// Its headers.
    pub headers: Headers,
    /// The listener at its destination.
    pub target: Option<String>,
    /// The network that it is routed on to, if any.
    pub onward: Option<IpNet>,
    /// The networks that its sender is banned with.
    pub bans: BTreeSet<IpNet>,
    /// Its length in bytes.
    pub len: usize,
    /// Its verdict, or why there is none.
    pub judgement: Result<Judgement, String>,
    /// Whether the command line named the sender, so that a rule may be for it alone.
    pub is_sender_meant: bool,
    /// Notes on this answer.
    pub notes: Vec<String>,
}

/// A line of `explain --json`.
#[derive(Serialize)]
pub(crate) struct ExplainJson<'a> {
    interface: &'a str,
    packet: Option<u64>,
    proto: String,
    source: Option<IpAddr>,
    source_port: Option<u16>,
    destination: Option<IpAddr>,
    port: Option<u16>,
    length: usize,
    verdict: Option<String>,
    reason: Option<&'static str>,
    because: Option<String>,
    monitor: bool,
    rule: Option<String>,
    target: Option<&'a str>,
    fix: Option<String>,
    /// The former name of `fix`.
    cure: Option<String>,
    notes: Vec<&'a str>,
    error: Option<&'a str>,
}

impl<'a> ExplainJson<'a> {
    /// In the form for JSON.
    #[must_use]
    pub(crate) fn new(answer: &'a Answer<'_>) -> Self {
        let headers = &answer.headers;
        let judgement = answer.judgement.as_ref().ok();
        let fix = judgement.and_then(|judgement| answer.fix(judgement.reason));
        Self {
            interface: &answer.filter.name,
            packet: answer.number,
            proto: headers.kind(),
            source: headers.source,
            source_port: headers.ports.map(|(source, _)| source),
            destination: headers.destination,
            port: headers.ports.map(|(_, destination)| destination),
            length: answer.len,
            verdict: judgement.map(|judgement| judgement.reason.verdict().to_string()),
            reason: judgement.map(|judgement| judgement.reason.name()),
            because: judgement.map(|judgement| because(judgement.reason)),
            monitor: answer.filter.monitors,
            rule: judgement.and_then(|judgement| answer.rule(judgement.reason)),
            target: answer.target.as_deref(),
            fix: fix.clone(),
            cure: fix,
            notes: answer.notes.iter().chain(&answer.filter.notes).map(String::as_str).collect(),
            error: answer.judgement.as_ref().err().map(String::as_str),
        }
    }
}

/// One packet in full, for people.
#[must_use]
pub(crate) fn text(answer: &Answer<'_>) -> String {
    let mut lines = vec![format!("{}  {}", answer.filter.name, answer.headers)];
    let mut line = |label: &str, what: &str| lines.push(format!("  {label:<9}{what}"));
    match &answer.judgement {
        Ok(judgement) => {
            let reason = judgement.reason;
            line("verdict", &answer.verdict(judgement));
            if !answer.bans.is_empty() {
                line("banned", &format!("the sender, by {}, whatever port it asks for", answer.bans_joined(", ")));
            }
            line("reason", &format!("{reason}: {}", because(reason)));
            answer.rule(reason).iter().for_each(|rule| line("rule", rule));
            answer.target.iter().for_each(|target| line("listens", target));
            answer.fix(reason).iter().for_each(|fix| line("fix", fix));
        }
        Err(why) => line("unknown", why),
    }
    answer.notes.iter().chain(&answer.filter.notes).for_each(|note| line("note", note));
    lines.push(String::new());
    lines.join("\n")
}

/// One packet of many in one line, for people.
#[must_use]
pub(crate) fn line(answer: &Answer<'_>) -> String {
    let number = answer.number.unwrap_or_default();
    let headers = &answer.headers;
    match &answer.judgement {
        Ok(judgement) => {
            let verdict = match judgement.reason.verdict() {
                Verdict::Drop if judgement.passes => "would drop".to_owned(),
                verdict => verdict.to_string(),
            };
            let width = if answer.filter.monitors { 10 } else { 4 };
            format!("{number:>6}  {verdict:<width$}  {:<15}  {headers}\n", judgement.reason.name())
        }
        Err(why) => format!("{number:>6}  not judged: {why}  {headers}\n"),
    }
}

fn because(reason: Reason) -> String {
    format!("it {}", reasons::words(reason))
}

impl Answer<'_> {
    fn verdict(&self, judgement: &Judgement) -> String {
        let name = &self.filter.name;
        match judgement.reason.verdict() {
            Verdict::Drop if judgement.passes => format!("would drop; {name} only monitors, so it passes"),
            verdict if self.is_refused(judgement.reason) => {
                format!("{verdict}; the sender is on the link and is refused at once (--refuse lan)")
            }
            verdict => verdict.to_string(),
        }
    }

    /// Whether the sender gets an answer, if the packet is plain.
    fn is_refused(&self, reason: Reason) -> bool {
        let Some((PortProtocol::Tcp | PortProtocol::Udp, _)) = self.headers.target() else { return false };
        let policy = &self.filter.policy;
        let is_on_link = |source: IpAddr| policy.on_link.iter().any(|network| network.contains(&source));
        reason == Reason::ClosedPort && policy.refuse == Refuse::Lan && self.headers.source.is_some_and(is_on_link)
    }

    /// The rule that lets it in, or the rules of its port that do not include the sender.
    fn rule(&self, reason: Reason) -> Option<String> {
        let rules = self.rules_at_port();
        match reason {
            Reason::Allowed | Reason::Forwarded => rules
                .into_iter()
                .filter(|rule| {
                    let sender = self.headers.source;
                    sender.map_or(rule.source.is_everyone(), |sender| {
                        rule.source.has(sender, &self.filter.policy.on_link)
                    })
                })
                .max_by_key(|rule| (rule.source.network().map(|network| network.prefix_len()), rule.source))
                .map(|rule| self.words(rule)),
            Reason::ClosedPort if self.refusal().is_some() => {
                self.refusal().map(|refusal| format!("{} is refused", Entry::from(refusal)))
            }
            Reason::ClosedPort if !rules.is_empty() => {
                let rules: Vec<String> = rules.iter().map(|rule| self.words(*rule)).collect();
                Some(format!("{} is not for this sender", rules.join(", ")))
            }
            Reason::Protocol => {
                let protocol = self.headers.protocol.filter(|number| self.filter.policy.protocols.contains(number))?;
                Some(format!("--allow-proto {}", policy_text::protocol_name(protocol)))
            }
            _ => None,
        }
    }

    /// A rule, or the entry for every port that it is a part of.
    fn words(&self, rule: Rule) -> String {
        let is_part = |entry: &&Entry| entry.protocols == Protocols::Every && entry.source == rule.source;
        let mut entries = self.filter.policy.entries().map(|(entry, _)| entry);
        entries.find(is_part).map_or_else(|| rule.to_string(), ToString::to_string)
    }

    /// The refusal of its port to its sender.
    fn refusal(&self) -> Option<Rule> {
        let (protocol, port) = self.headers.target()?;
        let source = self.headers.source?;
        let mut refusals = self.filter.policy.refusals_at(protocol, port);
        refusals.find(|rule| rule.source.has(source, &self.filter.policy.on_link))
    }

    fn rules_at_port(&self) -> Vec<Rule> {
        let Some((protocol, port)) = self.headers.target() else { return Vec::new() };
        let mut rules: Vec<Rule> = self.filter.policy.rules_at(protocol, port).collect();
        rules.sort_unstable();
        rules
    }

    fn bans_joined(&self, separator: &str) -> String {
        self.bans.iter().map(ToString::to_string).collect::<Vec<_>>().join(separator)
    }

    /// The commands that would let it pass, or what else to do.
    fn fix(&self, reason: Reason) -> Option<String> {
        let fix = self.fix_of_policy(reason);
        let is_command = fix.as_ref().is_none_or(|fix| fix.starts_with("fw-user "));
        if self.bans.is_empty() || reason.verdict() == Verdict::Pass || !is_command {
            return fix;
        }
        let unban = format!("fw-user unban {}", self.bans_joined(" "));
        Some(fix.map_or_else(|| unban.clone(), |fix| format!("{unban}; {fix}")))
    }

    /// The command that changes the policy so that it would let the packet pass, or what else to do.
    fn fix_of_policy(&self, reason: Reason) -> Option<String> {
        if let Some(forward) = self.forward() {
            let mut policy = self.filter.policy.clone();
            policy.forward = forward;
            return Some(self.attach(&policy));
        }
        match reason {
            Reason::ClosedPort => {
                if let Some(refusal) = self.refusal() {
                    return Some(format!("fw-user allow {refusal}"));
                }
                let (protocol, port) = self.headers.target().filter(|&(_, port)| port != 0)?;
                let sender = match self.headers.source.filter(|_| self.is_sender_meant) {
                    Some(IpAddr::V4(address)) => format!("@{address}"),
                    Some(IpAddr::V6(address)) => format!("@[{address}]"),
                    None => String::new(),
                };
                let interface = if self.filter.is_one_of_several {
                    format!(" --interface {}", self.filter.name)
                } else {
                    String::new()
                };
                Some(format!("fw-user allow {port}/{protocol}{sender}{interface}"))
            }
            Reason::ClosedProtocol => {
                let mut policy = self.filter.policy.clone();
                policy.protocols.insert(self.headers.protocol?);
                Some(self.attach(&policy))
            }
            reason => reasons::advice(reason).map(ToOwned::to_owned),
        }
    }

    /// The value of `forward` that also lets this packet be routed on; `None` if it is not routed on.
    fn forward(&self) -> Option<Forward> {
        let network = self.onward.filter(|_| self.filter.policy.forward != Forward::Pass)?;
        let mut networks = self.filter.policy.forward.networks().to_vec();
        networks.push(network);
        Networks::new(networks).map(Forward::To)
    }

    /// The command that replaces the policy in force and changes nothing else.
    fn attach(&self, policy: &Policy) -> String {
        let limited = policy.actions().filter(|(_, action, _)| matches!(action, Action::Limit(_)));
        let allowed = entry_words(policy).into_iter().chain(limited.map(|(entry, ..)| entry.to_string()));
        let allowed: Vec<String> = allowed.collect();
        let mut words = vec![format!("fw-user attach {} --allow {}", self.filter.name, allowed.join(","))];
        if !policy.protocols.is_empty() {
            let names: Vec<String> = policy.protocols.iter().copied().map(headers::protocol_name).collect();
            words.push(format!("--allow-proto {}", names.join(",")));
        }
        if policy.forward != Forward::Drop {
            words.push(format!("--forward {}", policy.forward));
        }
        if policy.refuse != Refuse::Nobody {
            words.push(format!("--refuse {}", policy.refuse));
        }
        if policy.timeouts.udp != Timeouts::DEFAULT.udp {
            words.push(format!("--udp-timeout {}", timeouts::words(policy.timeouts.udp).replace(' ', "")));
        }
        if !self.filter.tracks_replies {
            words.push("--no-replies".to_owned());
        }
        if self.filter.monitors {
            words.push("--monitor".to_owned());
        }
        // `attach` takes no other rules. They are typed behind it.
        let lasting = policy.actions().filter(|(_, action, _)| !matches!(action, Action::Until(_)));
        let acting = lasting.map(|(entry, action, _)| acting_rule(entry, action));
        let ping = policy.ping.map(|rate| format!("limit {}", Limit::Ping(rate)));
        acting.chain(ping).fold(words.join(" "), |commands, rule| format!("{commands} && fw-user {rule}"))
    }
}
