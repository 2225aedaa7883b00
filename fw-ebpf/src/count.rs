//! Counters, a slice a CPU.

use aya_ebpf::helpers::bpf_get_smp_processor_id;
use fw_common::{
    Decision, PortProtocol, Reason,
    abi::{PortCounter, counter_page, rare_key, slot_of},
};

use crate::maps::{COUNTERS, PORT_COUNTERS, RARE_PORT_COUNTERS};

/// Count a judged packet under its reason and, where its ports were read and the port is what decided, under its port.
#[inline(always)]
pub(crate) fn count(decision: &Decision, bytes: usize) {
    // SAFETY: the helper takes no argument.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    count_reason(cpu, decision.reason, bytes);
    if let Some((protocol, port)) = decision.port {
        match protocol {
            PortProtocol::Tcp | PortProtocol::Udp => {
                if let Some(page) = PORT_COUNTERS.get_ptr_mut(counter_page(cpu, protocol, port)) {
                    // SAFETY: the map's value is a whole page, alive while the program runs, and this CPU's alone.
                    unsafe { (*page)[slot_of(port)].count(decision.verdict()) };
                }
            }
            PortProtocol::Sctp | PortProtocol::Dccp | PortProtocol::UdpLite => count_rare(protocol, port, decision),
        }
    }
}

#[inline(always)]
fn count_reason(cpu: u32, reason: Reason, bytes: usize) {
    if let Some(counters) = COUNTERS.get_ptr_mut(cpu) {
        // SAFETY: the map's value is alive while the program runs, and this CPU's alone.
        let counter = unsafe { &mut (*counters)[reason as usize % Reason::SLOTS] };
        counter.packets += 1;
        counter.bytes += bytes as u64;
    }
}

#[inline(never)]
fn count_rare(protocol: PortProtocol, port: u16, decision: &Decision) {
    let key = rare_key(protocol, port);
    if let Some(counter) = RARE_PORT_COUNTERS.get_ptr_mut(key) {
        // SAFETY: the map's value is alive while the program runs; CPUs that count at once may lose a packet of these transports.
        unsafe { (*counter).count(decision.verdict()) };
    } else {
        let mut counter = PortCounter::default();
        counter.count(decision.verdict());
        // A full table makes room; out of memory, the packet goes uncounted.
        let _unused = RARE_PORT_COUNTERS.insert(key, counter, 0);
    }
}
