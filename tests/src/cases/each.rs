//! Rows that stand for several: one for each family, or for each transport.

use fw_common::PortProtocol;

use crate::{
    row::{Row, Scene, row},
    world::Family,
};

/// The same row over IPv4 and over IPv6.
pub(super) fn both(name: impl AsRef<str>, fill: impl Fn(Scene, Family) -> Row) -> Vec<Row> {
    Family::BOTH.map(|family| fill(row(format!("{} ({family})", name.as_ref())), family)).into()
}

/// The same row for every transport with ports, over IPv4 and over IPv6.
pub(super) fn every_transport(name: &str, fill: impl Fn(Scene, Family, PortProtocol) -> Row) -> Vec<Row> {
    PortProtocol::ALL
        .into_iter()
        .flat_map(|protocol| both(format!("{name} ({protocol})"), |scene, family| fill(scene, family, protocol)))
        .collect()
}

/// The rule that opens a port of one transport.
pub(super) fn rule(port: &str, protocol: PortProtocol) -> String {
    format!("{port}/{protocol}")
}
