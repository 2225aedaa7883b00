//! The ruleset of this network namespace, as `nft --json` prints it.

use serde_json::Value;

/// A chain with its rules.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chain {
    pub(crate) family: String,
    table: String,
    name: String,
    /// The hook that calls it; `None` if only other chains call it.
    hook: Option<String>,
    /// Whether it filters, rather than only translates.
    is_filter: bool,
    /// Whether its policy is to drop.
    pub(crate) drops: bool,
    /// The devices whose packets it sees, if not all.
    pub(crate) devices: Vec<String>,
    /// Each rule with its statements.
    pub(crate) rules: Vec<Vec<Value>>,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ruleset(Vec<Chain>);

impl Ruleset {
    /// Read what `nft --json list ruleset` prints.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let listed: Value = serde_json::from_str(text).ok()?;
        let mut chains: Vec<Chain> = Vec::new();
        for object in listed["nftables"].as_array()? {
            let word = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
            if let Some(chain) = object.get("chain") {
                let devices = match &chain["dev"] {
                    Value::String(device) => vec![device.clone()],
                    Value::Array(devices) => devices.iter().filter_map(|one| Some(one.as_str()?.to_owned())).collect(),
                    _ => Vec::new(),
                };
                chains.push(Chain {
                    family: word(chain, "family"),
                    table: word(chain, "table"),
                    name: word(chain, "name"),
                    hook: chain["hook"].as_str().map(ToOwned::to_owned),
                    is_filter: chain["type"] == "filter",
                    drops: chain["policy"] == "drop",
                    devices,
                    rules: Vec::new(),
                });
            }
            if let Some(rule) = object.get("rule") {
                let (family, table, name) = (word(rule, "family"), word(rule, "table"), word(rule, "chain"));
                let is_its =
                    |chain: &&mut Chain| (&chain.family, &chain.table, &chain.name) == (&family, &table, &name);
                if let Some(chain) = chains.iter_mut().find(is_its) {
                    chain.rules.push(rule["expr"].as_array().cloned().unwrap_or_default());
                }
            }
        }
        Some(Self(chains))
    }

    /// Whether nothing in it filters inbound packets.
    pub(crate) fn is_empty(&self) -> bool {
        !self.0.iter().any(|chain| chain.is_filter && chain.hook.is_some())
    }

    /// The chains at these hooks that filter.
    pub(crate) fn base_chains<'a>(&'a self, hooks: &'a [&str]) -> impl Iterator<Item = &'a Chain> {
        let is_called = |chain: &&Chain| chain.hook.as_deref().is_some_and(|hook| hooks.contains(&hook));
        self.0.iter().filter(|chain| chain.is_filter).filter(is_called)
    }

    /// The chain of this name in the table of another one.
    pub(crate) fn chain(&self, beside: &Chain, name: &str) -> Option<&Chain> {
        self.0
            .iter()
            .find(|chain| (&chain.family, &chain.table) == (&beside.family, &beside.table) && chain.name == name)
    }

    /// Whether a rule redirects packets to a port before routing, as Docker's rules do.
    pub(crate) fn redirects(&self, is_ipv6: bool, protocol: &str, port: u16) -> bool {
        let is_family =
            |chain: &&Chain| matches!((chain.family.as_str(), is_ipv6), ("ip", false) | ("ip6", true) | ("inet", _));
        let is_about = |rule: &&Vec<Value>| {
            let is_port = |one: &Value| {
                let left = &one["match"]["left"]["payload"];
                left["protocol"] == protocol && left["field"] == "dport" && one["match"]["right"] == u64::from(port)
            };
            rule.iter().any(is_port) && rule.iter().any(|one| one.get("dnat").is_some() || is_iptables_dnat(one))
        };
        self.0.iter().filter(is_family).flat_map(|chain| &chain.rules).any(|rule| is_about(&rule))
    }
}

/// A target of iptables that nft does not translate.
fn is_iptables_dnat(statement: &Value) -> bool {
    statement["xt"]["type"] == "target" && statement["xt"]["name"] == "DNAT"
}
