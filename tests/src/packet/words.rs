//! A frame as words, read by another parser than the one under test.

use std::fmt::Write as _;

use etherparse::{LaxNetSlice, LaxSlicedPacket, LinkSlice, TransportSlice};

/// The contents of a frame, for people: as far as `etherparse` reads it, and the error that stopped it.
#[must_use]
pub fn words(frame: &[u8]) -> String {
    let packet = match LaxSlicedPacket::from_ethernet(frame) {
        Ok(packet) => packet,
        Err(error) => return format!("{} bytes: {error}", frame.len()),
    };
    let mut text = format!("{} bytes", frame.len());
    // Writing to a String cannot fail; the result is of use to other writers.
    let mut say = |part: std::fmt::Arguments<'_>| write!(text, ", {part}").expect("a String takes all");
    if let Some(LinkSlice::Ethernet2(eth)) = &packet.link {
        say(format_args!("{} > {}", mac(eth.source()), mac(eth.destination())));
        say(format_args!("type {:#06x}", eth.ether_type().0));
    }
    for tag in &packet.link_exts {
        say(format_args!("{:?}", tag.to_header()));
    }
    match &packet.net {
        Some(LaxNetSlice::Ipv4(ip)) => {
            let header = ip.header();
            say(format_args!("IPv4 {} > {}", header.source_addr(), header.destination_addr()));
            say(format_args!("{} of {} header bytes", header.slice().len(), header.total_len()));
            say(format_args!("offset {} x 8, more {}", header.fragments_offset().value(), header.more_fragments()));
            say(format_args!("protocol {}", header.protocol().0));
            if !header.options().is_empty() {
                say(format_args!("options {:02x?}", header.options()));
            }
        }
        Some(LaxNetSlice::Ipv6(ip)) => {
            let header = ip.header();
            say(format_args!("IPv6 {} > {}", header.source_addr(), header.destination_addr()));
            say(format_args!("payload {}, next header {}", header.payload_length(), header.next_header().0));
            // As bytes: etherparse 0.21 reads past the end of some broken chains when it is asked for their headers.
            let chain = ip.extensions().slice();
            if !chain.is_empty() {
                say(format_args!("extension headers {chain:02x?}"));
            }
        }
        Some(other) => say(format_args!("{other:?}")),
        None => {}
    }
    match &packet.transport {
        Some(TransportSlice::Tcp(tcp)) => {
            say(format_args!("TCP {} > {}", tcp.source_port(), tcp.destination_port()));
            let flags = [
                (tcp.syn(), "SYN"),
                (tcp.ack(), "ACK"),
                (tcp.fin(), "FIN"),
                (tcp.rst(), "RST"),
                (tcp.psh(), "PSH"),
                (tcp.urg(), "URG"),
            ];
            let set: Vec<_> = flags.into_iter().filter_map(|(is_set, name)| is_set.then_some(name)).collect();
            say(format_args!("flags {}", if set.is_empty() { "none".into() } else { set.join("+") }));
        }
        Some(TransportSlice::Udp(udp)) => {
            say(format_args!("UDP {} > {}, length {}", udp.source_port(), udp.destination_port(), udp.length()));
        }
        Some(other) => say(format_args!("{other:?}")),
        None => {}
    }
    if let Some((error, layer)) = &packet.stop_err {
        say(format_args!("unreadable at {layer}: {error}"));
    }
    text
}

/// The bytes of a frame in hexadecimal digits, as `fw-user explain --hex` takes them.
#[must_use]
pub fn hex(frame: &[u8]) -> String {
    frame.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

fn mac(bytes: [u8; 6]) -> String {
    bytes.map(|byte| format!("{byte:02x}")).join(":")
}
