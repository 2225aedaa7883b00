//! What the interface does to packets before the filter sees them, asked by ethtool's netlink family.

use ethtool::{EthtoolAttr, EthtoolFeatureAttr, EthtoolFeatureBit};
use futures_util::TryStreamExt;

use crate::{cmd::doctor::checks::Finding, host::interface::Interface};

/// The features that matter, by the kernel's names, and what people call them.
const FEATURES: [(&str, &str); 3] =
    [("rx-gro", "GRO"), ("rx-lro", "LRO"), ("rx-vlan-hw-parse", "VLAN tags taken off by the hardware")];

/// Look at an interface. Whatever is on does no harm: generic mode turns LRO off, native mode is refused where it cannot be had with it,
/// and ports are judged with a VLAN tag or without.
pub(crate) async fn examine(interface: &Interface) -> Finding {
    match active(&interface.name).await {
        Ok(active) => {
            let state = |name| if active.iter().any(|bit| bit.name == name && bit.value) { "on" } else { "off" };
            let list: Vec<String> = FEATURES.map(|(name, called)| format!("{called} {}", state(name))).into();
            Finding::ok("offloads", list.join(", "))
        }
        Err(error) => Finding::note("offloads", format!("cannot be seen: {error}")),
    }
    .of(&interface.name)
}

async fn active(name: &str) -> Result<Vec<EthtoolFeatureBit>, Box<dyn std::error::Error + Send + Sync>> {
    let (connection, mut handle, _) = ethtool::new_connection()?;
    let connection = tokio::spawn(connection);
    let answers = match handle.feature().get(Some(name)).execute().await {
        Ok(answers) => answers.try_collect::<Vec<_>>().await,
        Err(error) => Err(error),
    };
    connection.abort();
    let attributes = answers?.into_iter().flat_map(|answer| answer.payload.nlas);
    let active = attributes.filter_map(|attribute| match attribute {
        EthtoolAttr::Feature(EthtoolFeatureAttr::Active(bits)) => Some(bits),
        _ => None,
    });
    Ok(active.flatten().collect())
}
