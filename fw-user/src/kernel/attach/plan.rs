//! The plan and the result of an attachment, and the object that is loaded for it.

use fw_common::{
    abi::{DEFAULT_FLOWS, map},
    active::Active,
    policy::Policy,
};

use crate::{
    bans::store,
    error::Result,
    kernel::{
        attach::{egress::Hook, ingress::ModeChoice, native::NotNative, spare::Arrival},
        maps::policy_map::Terms,
        meta::AttachmentRecord,
        object,
        pins::Pins,
        shape::{self, Shapes},
    },
};

/// The plan for an attachment.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The policy.
    pub policy: Policy,
    /// Whether it drops packets, and its deadline.
    pub terms: Terms,
    /// The mode.
    pub mode: ModeChoice,
    /// Capacity of each flow table; `None` for the existing one, or [`DEFAULT_FLOWS`].
    pub flows: Option<u32>,
    /// Whether replies are tracked.
    pub replies: bool,
    /// The hook that tracks them.
    pub hook: Hook,
    /// Whether the programs write diagnostics.
    pub debug: bool,
    /// Whether to take off another XDP program on the interface.
    pub replace: bool,
    /// Set for an interface that has just appeared.
    pub arrival: Option<Arrival>,
}

/// The result of an attachment.
#[derive(Debug)]
pub struct Attached {
    /// The attachment's record.
    pub record: AttachmentRecord,
    /// The settings of our former filter, if there was one.
    pub before: Option<Active>,
    /// Whether a filter of another version, or with damaged pins, got new maps. Its old maps cannot be restored.
    pub rebuilt: bool,
    /// Why native mode failed, if it was tried.
    pub not_native: Option<NotNative>,
    /// The loaded object, from which diagnostics can be read. Dropping it changes nothing. `None` if only the policy changed.
    pub ebpf: Option<aya::Ebpf>,
}

/// The object with an interface's maps; creates missing ones, and puts the bans in force.
pub(crate) fn load(pins: &Pins, name: &str, plan: &Plan) -> Result<aya::Ebpf> {
    pins.prepare(name)?;
    let ebpf = load_maps(pins, name, plan)?;
    store::restore(pins);
    Ok(ebpf)
}

fn load_maps(pins: &Pins, name: &str, plan: &Plan) -> Result<aya::Ebpf> {
    let is_capacity = |flows| shape::capacity(pins) == Some(flows);
    if let Some(Arrival { spare, .. }) =
        plan.arrival.as_ref().filter(|_| !plan.debug && plan.flows.is_none_or(is_capacity))
        && let Some(ebpf) = spare.take(pins, name)?
    {
        return Ok(ebpf);
    }
    let flows = plan.flows.or_else(|| shape::capacity(pins)).unwrap_or(DEFAULT_FLOWS);
    object::load(pins, name, Shapes::on_this_machine(flows)?, plan.debug)
}

pub(crate) fn write_record(ebpf: &mut aya::Ebpf, record: &AttachmentRecord) -> Result<()> {
    match ebpf.map_mut(map::META) {
        Some(meta) => record.write(meta),
        None => unreachable!("the embedded object has the map"),
    }
}
