//! The exposure as JSON.

use std::path::Path;

use serde::Serialize;

use crate::{
    cmd::exposed::{
        beside::Beside,
        exposure::{ExposedPort, Exposure, Filter, IngressPath, PortState, Reach, Unused},
        report::facts::Facts,
    },
    host::{
        netfilter::Netfilter,
        targets::{Docker, endpoint::Target},
    },
    policy_text::words::PolicyJson,
};

/// `exposed --json`.
#[derive(Serialize)]
pub(crate) struct ExposedJson<'a> {
    interfaces: Vec<InterfaceJson<'a>>,
    ports: Vec<PortJson<'a>>,
    unused: Vec<UnusedJson<'a>>,
    docker: DockerJson<'a>,
    netfilter: NetfilterJson<'a>,
}

/// Whether its rules could be read.
#[derive(Serialize)]
struct NetfilterJson<'a> {
    state: &'static str,
    why: Option<&'a str>,
}

#[derive(Serialize)]
struct InterfaceJson<'a> {
    name: &'a str,
    class: &'static str,
    class_reason: &'a str,
    filters: Vec<FilterJson<'a>>,
}

/// A filter that judges inbound packets; `name` is null if there is none.
#[derive(Serialize)]
struct FilterJson<'a> {
    name: Option<&'a str>,
    kind: &'static str,
    monitor: bool,
    #[serde(flatten)]
    policy: Option<PolicyJson>,
}

#[derive(Serialize)]
struct PortJson<'a> {
    proto: &'static str,
    port: u16,
    state: &'static str,
    reached_by: Vec<ReachedJson<'a>>,
    addresses: Vec<String>,
    device: Option<&'a str>,
    process: Option<ProcessJson<'a>>,
    container: Option<ContainerJson<'a>>,
    client: bool,
    /// What netfilter does with its packets.
    netfilter: Option<&'static str>,
    passed: Option<u64>,
    dropped: Option<u64>,
}

#[derive(Serialize)]
struct ReachedJson<'a> {
    name: &'a str,
    state: &'static str,
    sources: Vec<String>,
    except: Vec<String>,
}

#[derive(Serialize)]
struct ProcessJson<'a> {
    name: &'a str,
    pid: i32,
}

#[derive(Serialize)]
struct ContainerJson<'a> {
    name: &'a str,
    image: &'a str,
    port: u16,
    forward: Vec<String>,
}

#[derive(Serialize)]
struct UnusedJson<'a> {
    name: &'a str,
    allow: Vec<String>,
}

#[derive(Serialize)]
struct DockerJson<'a> {
    state: &'static str,
    socket: Option<&'a Path>,
    why: Option<&'a str>,
}

impl<'a> ExposedJson<'a> {
    /// In the form for JSON.
    #[must_use]
    pub(crate) fn new(facts: &Facts<'a>) -> Self {
        let Facts { exposure, targets, netfilter, beside } = *facts;
        let (state, why) = match netfilter {
            Netfilter::Read(ruleset) if ruleset.is_empty() => ("no rules", None),
            Netfilter::Read(_) => ("read", None),
            Netfilter::Unreadable(why) => ("unreadable", Some(why.as_str())),
        };
        Self {
            netfilter: NetfilterJson { state, why },
            interfaces: exposure.paths.iter().map(|path| InterfaceJson::new(path, exposure)).collect(),
            ports: exposure.ports.iter().zip(beside).map(|(port, beside)| PortJson::new(port, *beside)).collect(),
            unused: exposure.unused.iter().map(UnusedJson::new).collect(),
            docker: DockerJson::new(targets.docker()),
        }
    }
}

impl<'a> InterfaceJson<'a> {
    fn new(path: &'a IngressPath, exposure: &'a Exposure) -> Self {
        let filter = |judge: &'a Option<String>| {
            let filter = judge.as_ref().and_then(|name| exposure.filters.get(name));
            let (kind, ruling) = match filter {
                None => ("none", None),
                Some(Filter::Unknown(_)) => ("unknown", None),
                Some(Filter::Ours(ruling)) => ("fw", Some(ruling)),
            };
            FilterJson {
                name: judge.as_deref(),
                kind,
                monitor: ruling.is_some_and(|ruling| ruling.monitors),
                policy: ruling.map(|ruling| PolicyJson::new(&ruling.policy)),
            }
        };
        let (class, class_reason) = (path.class.side.name(), path.class.why.as_str());
        Self { name: &path.name, class, class_reason, filters: path.judges.iter().map(filter).collect() }
    }
}

impl<'a> PortJson<'a> {
    fn new(port: &'a ExposedPort, beside: Option<Beside>) -> Self {
        let reached_by = match &port.reach {
            Reach::By(states) => states.iter().map(|(name, state)| ReachedJson::new(name, state)).collect(),
            Reach::Local | Reach::Only(_) => Vec::new(),
        };
        let (process, container) = match &port.endpoint.target {
            Target::Process(process) => (Some(ProcessJson { name: &process.name, pid: process.pid }), None),
            Target::Container(container) => {
                let forward = port.forwards.iter().map(ToString::to_string).collect();
                let (name, image) = (container.name.as_str(), container.image.as_str());
                (None, Some(ContainerJson { name, image, port: container.forward_port, forward }))
            }
            Target::Unseen => (None, None),
        };
        Self {
            proto: port.endpoint.protocol.name(),
            port: port.endpoint.local.port(),
            state: match &port.reach {
                Reach::Local => "local only",
                Reach::Only(_) => "elsewhere",
                Reach::By(_) => port.reach.worst().map_or("local only", PortState::name),
            },
            reached_by,
            addresses: port.addresses.iter().map(|(address, _)| address.to_string()).collect(),
            device: match &port.reach {
                Reach::Only(name) => Some(name),
                Reach::Local | Reach::By(_) => port.device.as_deref(),
            },
            process,
            container,
            client: port.is_of_client,
            netfilter: beside.map(Beside::name),
            passed: port.counted.map(|counted| counted.passed),
            dropped: port.counted.map(|counted| counted.dropped),
        }
    }
}

impl<'a> ReachedJson<'a> {
    fn new(name: &'a str, state: &PortState) -> Self {
        let [sources, except] =
            [state.networks(), state.except()].map(|networks| networks.iter().map(ToString::to_string).collect());
        Self { name, state: state.name(), sources, except }
    }
}

impl<'a> UnusedJson<'a> {
    fn new(unused: &'a Unused) -> Self {
        let allow = unused.policy.rules().iter().map(ToString::to_string).collect();
        Self { name: &unused.interface, allow }
    }
}

impl<'a> DockerJson<'a> {
    fn new(docker: &'a Docker) -> Self {
        let (state, socket, why) = match docker {
            Docker::Absent => ("absent", None, None),
            Docker::Read => ("read", None, None),
            Docker::Unreadable { socket, why } => ("unreadable", Some(socket.as_path()), Some(why.as_str())),
            #[cfg(not(feature = "docker"))]
            Docker::NotBuilt => ("not built", None, None),
        };
        Self { state, socket, why }
    }
}
