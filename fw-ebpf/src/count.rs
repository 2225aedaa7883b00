//! Counters, with one slice per CPU.

use fw_common::{
    Decision, Reason, Verdict,
    abi::{COUNTED_PORTS, PAGE, PortSlot, RarePort, counter_page, rare_slot},
};

use crate::{
    clock::ticks,
    maps::{COUNTERS, PORT_COUNTERS, RARE_PORT_COUNTERS},
    slot::{cpu, slot},
};

/// How much a packet counts.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    /// Packets on the wire: more than one if GRO joined them.
    pub(crate) packets: u64,
    /// Their bytes, including the headers of each.
    pub(crate) bytes: usize,
}

/// Count a judged packet by its reason and, if its ports were read and the port decided, by its port. If no drop of its kind was recorded recently,
/// this one must be: then this returns how many of the kind this CPU has dropped.
#[inline(always)]
pub(crate) fn count(decision: Decision, size: Size) -> Option<u64> {
    let cpu = cpu();
    let packets = count_reason(cpu, decision.number(), size);
    let index = decision.port_index();
    if index < COUNTED_PORTS {
        let page = slot(&PORT_COUNTERS, counter_page(cpu, index as u32))?;
        count_port(&mut page[index as usize % PAGE], decision.verdict(), size.packets)
    } else if index <= u64::from(u32::MAX) {
        Some(count_rare(cpu, index as u32, decision)).filter(|&drops| drops != 0)
    } else {
        match decision.verdict() {
            Verdict::Pass => None,
            Verdict::Drop => Some(packets),
        }
    }
}

#[inline(always)]
fn count_reason(cpu: u32, reason: u8, size: Size) -> u64 {
    let Some(counters) = slot(&COUNTERS, cpu) else { return 0 };
    let counter = &mut counters[usize::from(reason) % Reason::SLOTS];
    counter.packets += size.packets;
    counter.bytes += size.bytes as u64;
    counter.packets
}

#[inline(always)]
fn count_port(slot: &mut PortSlot, verdict: Verdict, packets: u64) -> Option<u64> {
    match verdict {
        Verdict::Pass => {
            slot.passed += packets;
            None
        }
        Verdict::Drop => {
            let ticks = ticks();
            slot.drops.count(ticks, packets).then(|| {
                slot.drops.mark(ticks);
                slot.drops.packets()
            })
        }
    }
}

/// The same in the slot of a rare port; 0 if nothing must be recorded. The port evicts the slot's former port, but keeps the window of the last
/// record: a flood at random ports is recorded no more often than one at as many ports as there are slots. Not marked cold: that would put it into a
/// section of its own, whose calls aya 0.14 relocates wrongly.
#[inline(never)]
fn count_rare(cpu: u32, index: u32, decision: Decision) -> u64 {
    let Some(RarePort { port, slot }) = slot(&RARE_PORT_COUNTERS, rare_slot(cpu, index)) else { return 0 };
    let number = u64::from(index) + 1;
    if *port != number {
        *port = number;
        *slot = PortSlot { passed: 0, drops: slot.drops.restarted() };
    }
    count_port(slot, decision.verdict(), 1).unwrap_or(0)
}
