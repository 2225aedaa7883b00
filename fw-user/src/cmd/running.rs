//! The settings in force on an interface, for a comparison with a file or a command line.

use crate::{
    config::difference::Running,
    error::Result,
    kernel::{
        maps::policy_map::PolicyMap,
        meta::{AttachmentRecord, Egress},
        pins::Pins,
        shape,
    },
};

/// The settings in force on an interface that has a filter of this version.
pub(crate) fn running(pins: &Pins, name: &str) -> Result<Running> {
    let record = AttachmentRecord::read(pins, name)?;
    let map = PolicyMap::open(pins, name)?;
    Ok(Running {
        policy: map.read()?,
        monitor: map.in_force()?.monitors(),
        replies: record.egress != Egress::None,
        version: record.version,
        mode: Some(record.mode),
        flows: shape::capacity(pins),
    })
}
