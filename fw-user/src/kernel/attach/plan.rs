//! What `attach` is asked for and what comes of it, and the object that is loaded for it.

use fw_common::{
    abi::{Active, DEFAULT_FLOWS, map},
    policy::Policy,
};

use crate::{
    error::Result,
    kernel::{
        attach::{egress::Hook, ingress::ModeChoice, native::NotNative, spare::Spare},
        maps::policy_map::Terms,
        meta::AttachmentRecord,
        object,
        pins::Pins,
        shape::{self, Shapes},
    },
};

/// What `attach` was asked for.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What may come in.
    pub policy: Policy,
    /// Whether anything is dropped, and until when all this holds.
    pub terms: Terms,
    /// Which XDP mode.
    pub mode: ModeChoice,
    /// Capacity of each flow table; what is there already, or [`DEFAULT_FLOWS`], without.
    pub flows: Option<u32>,
    /// Whether replies are tracked.
    pub replies: bool,
    /// Which hook tracks them.
    pub hook: Hook,
    /// Whether the programs write diagnostics.
    pub debug: bool,
    /// Whether another XDP program that is on the interface is taken off.
    pub replace: bool,
    /// Given where the interface has appeared a moment ago, and nothing is open there that could be cut: the programs that may be ready for it.
    pub fresh: Option<Spare>,
}

/// What `attach` came to.
#[derive(Debug)]
pub struct Attached {
    /// The attachment's record.
    pub record: AttachmentRecord,
    /// What was in force of a filter of ours that was there before.
    pub before: Option<Active>,
    /// Whether a filter of another version, or one whose pins were damaged, was given new maps. It cannot be given the old ones back.
    pub rebuilt: bool,
    /// Why it is not in native mode, where that was tried.
    pub not_native: Option<NotNative>,
    /// The loaded object, from which diagnostics can be read. Dropping it changes nothing. Nothing was loaded where only the policy
    /// changed.
    pub ebpf: Option<aya::Ebpf>,
}

/// The object around an interface's maps, which are made where they are missing.
pub(crate) fn load(pins: &Pins, name: &str, plan: &Plan) -> Result<aya::Ebpf> {
    pins.prepare(name)?;
    let is_capacity = |flows| shape::capacity(pins) == Some(flows);
    if let Some(spare) = plan.fresh.as_ref().filter(|_| !plan.debug && plan.flows.is_none_or(is_capacity))
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
