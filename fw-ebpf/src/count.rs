//! Counters, a slice a CPU.

use aya_ebpf::helpers::generated::bpf_get_smp_processor_id;
use fw_common::{
    Decision, Reason, Verdict,
    abi::{COUNTED_PORTS, PAGE, PortSlot, counter_page},
};

use crate::{
    clock::ticks,
    maps::{COUNTERS, PORT_COUNTERS, RARE_PORT_COUNTERS},
};

/// Count a judged packet under its reason and, where its ports were read and the port is what decided, under its port. A drop of a kind of
/// which none was recorded lately is to be recorded: then the answer is how many of the kind this CPU has dropped.
#[inline(always)]
pub(crate) fn count(decision: Decision, bytes: usize) -> Option<u64> {
    // SAFETY: the helper takes no argument.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    let packets = count_reason(cpu, decision.number(), bytes);
    let index = decision.port_index();
    if index < COUNTED_PORTS {
        let page = PORT_COUNTERS.get_ptr_mut(counter_page(cpu, index as u32))?;
        // SAFETY: the map's value is a whole page, alive while the program runs, and this CPU's alone.
        count_port(unsafe { &mut (*page)[index as usize % PAGE] }, decision.verdict())
    } else if index <= u64::from(u32::MAX) {
        Some(count_rare(index as u32, decision)).filter(|&drops| drops != 0)
    } else {
        match decision.verdict() {
            Verdict::Pass => None,
            Verdict::Drop => Some(packets),
        }
    }
}

#[inline(always)]
fn count_reason(cpu: u32, reason: u8, bytes: usize) -> u64 {
    let Some(counters) = COUNTERS.get_ptr_mut(cpu) else { return 0 };
    // SAFETY: the map's value is alive while the program runs, and this CPU's alone.
    let counter = unsafe { &mut (*counters)[usize::from(reason) % Reason::SLOTS] };
    counter.packets += 1;
    counter.bytes += bytes as u64;
    counter.packets
}

#[inline(always)]
fn count_port(slot: &mut PortSlot, verdict: Verdict) -> Option<u64> {
    match verdict {
        Verdict::Pass => {
            slot.passed += 1;
            None
        }
        Verdict::Drop => {
            let ticks = ticks();
            slot.drops.count(ticks).then(|| {
                slot.drops.mark(ticks);
                slot.drops.packets()
            })
        }
    }
}

/// The same in a table for all CPUs; 0 where nothing is to be recorded. Not marked cold: that would put it into a section of its own, whose
/// calls aya 0.14 leads elsewhere.
#[inline(never)]
fn count_rare(key: u32, decision: Decision) -> u64 {
    if let Some(slot) = RARE_PORT_COUNTERS.get_ptr_mut(key) {
        // SAFETY: the map's value is alive while the program runs; CPUs that count at once may lose a packet of these transports.
        count_port(unsafe { &mut *slot }, decision.verdict()).unwrap_or(0)
    } else {
        let mut slot = PortSlot::default();
        let drops = count_port(&mut slot, decision.verdict()).unwrap_or(0);
        // A full table makes room; out of memory, the packet goes uncounted.
        let _unused = RARE_PORT_COUNTERS.insert(key, slot, 0);
        drops
    }
}
