//! Offloads that change packets before the filter sees them, read through ethtool's netlink family.

use ethtool::{EthtoolAttr, EthtoolFeatureAttr, EthtoolFeatureBit};
use futures_util::TryStreamExt;

use crate::{cmd::doctor::checks::Finding, host::interface::Interface};

/// The features that matter: the kernel's name and the usual one.
const FEATURES: [(&str, &str); 3] =
    [("rx-gro", "GRO"), ("rx-lro", "LRO"), ("rx-vlan-hw-parse", "VLAN tags removed by the hardware")];

/// Check an interface. No offload does harm: generic mode turns LRO off, drivers refuse native mode if it does not work with LRO, and ports are
/// judged with or without a VLAN tag.
pub(crate) async fn examine(interface: &Interface) -> Finding {
    match active(&interface.name).await {
        Ok(active) => {
            let state = |name| if active.iter().any(|bit| bit.name == name && bit.value) { "on" } else { "off" };
            let list: Vec<String> = FEATURES.map(|(name, called)| format!("{called} {}", state(name))).into();
            Finding::ok("offloads", list.join(", "))
        }
        Err(error) => Finding::note("offloads", format!("cannot check: {error}")),
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
