//! What is in force on an interface, to be compared with a file or with what was typed.

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

/// What is in force on an interface that has a filter of this version.
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
