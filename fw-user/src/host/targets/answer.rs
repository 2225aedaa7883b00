//! The published ports in Docker's answer to `GET /containers/json`.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use fw_common::PortProtocol;
use serde::Deserialize;

use crate::{
    host::targets::endpoint::{Container, Endpoint, Target},
    printable::printable,
};

/// How many digits of an ID are shown, as `docker ps` does.
const SHORT_ID: usize = 12;

/// A container. Docker writes `null` for what is empty.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Summary {
    id: String,
    names: Option<Vec<String>>,
    image: String,
    ports: Option<Vec<DockerPort>>,
    host_config: Option<HostConfig>,
    network_settings: Option<NetworkSettings>,
}

#[derive(Deserialize)]
struct DockerPort {
    #[serde(rename = "IP", default)]
    address: String,
    #[serde(rename = "PrivatePort")]
    inside: u16,
    /// Missing if the image names a port that nobody publishes.
    #[serde(rename = "PublicPort")]
    published: Option<u16>,
    #[serde(rename = "Type")]
    protocol: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostConfig {
    #[serde(default)]
    network_mode: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkSettings {
    networks: Option<BTreeMap<String, Option<Network>>>,
}

#[derive(Deserialize)]
struct Network {
    #[serde(rename = "IPAddress", default)]
    ipv4: String,
    #[serde(rename = "GlobalIPv6Address", default)]
    ipv6: String,
}

/// The ports that are published, each with its container.
pub(crate) fn endpoints(answer: &[u8]) -> serde_json::Result<Vec<Endpoint>> {
    let containers: Vec<Summary> = serde_json::from_slice(answer)?;
    Ok(containers
        .iter()
        .flat_map(|container| container.ports.iter().flatten().filter_map(|port| endpoint(container, port)))
        .collect())
}

fn endpoint(container: &Summary, port: &DockerPort) -> Option<Endpoint> {
    let protocol = PortProtocol::ALL.into_iter().find(|protocol| protocol.name() == port.protocol)?;
    let address = port.address.parse().unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    Some(Endpoint {
        protocol,
        local: SocketAddr::new(address, port.published?),
        only_ipv6: address.is_ipv6(),
        device: 0,
        target: Target::Container(Container {
            name: printable(&container.name()),
            image: printable(&image(&container.image)),
            forward_address: container.address(address.is_ipv6()),
            forward_port: port.inside,
        }),
    })
}

impl Summary {
    /// Its name. Docker writes a slash before it, and lists also the names that other containers have for it, with two.
    fn name(&self) -> String {
        let names = self.names.iter().flatten().filter_map(|name| name.strip_prefix('/'));
        names.clone().find(|name| !name.contains('/')).map_or_else(|| digits(&self.id), ToOwned::to_owned)
    }

    /// Its address, preferably on the network that it was started with. Without an IPv6 address, Docker forwards IPv6 to the IPv4 address.
    fn address(&self, prefers_ipv6: bool) -> Option<IpAddr> {
        let networks = self.network_settings.as_ref()?.networks.as_ref()?;
        let first = self.host_config.as_ref().map(|config| match config.network_mode.as_str() {
            "default" => "bridge",
            mode => mode,
        });
        let first = first.and_then(|name| networks.get(name)).into_iter();
        first.chain(networks.values()).flatten().find_map(|network| {
            let (ipv4, ipv6) = (network.ipv4.parse().ok(), network.ipv6.parse().ok());
            if prefers_ipv6 { ipv6.or(ipv4) } else { ipv4.or(ipv6) }
        })
    }
}

/// An image's name, or its ID if it has lost its name.
fn image(name: &str) -> String {
    name.strip_prefix("sha256:").map_or_else(|| name.to_owned(), digits)
}

fn digits(id: &str) -> String {
    id.chars().take(SHORT_ID).collect()
}
