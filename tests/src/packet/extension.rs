//! IPv6 extension headers.

use fw_common::protocol::number;

use super::stack::{Around, Layer, Named, Stack};

/// An extension header: Next Header, a length or a reserved byte, and a body.
pub struct Extension {
    number: u8,
    next_header: Option<u8>,
    len: u8,
    body: Vec<u8>,
}

impl<L: Layer> Stack<L> {
    fn extension(self, number: u8, len: u8, body: Vec<u8>) -> Stack<Extension> {
        self.then(Extension { number, next_header: None, len, body })
    }

    /// A header in the common format (RFC 6564), 8 bytes long, under any number.
    #[must_use]
    pub fn common_extension(self, number: u8) -> Stack<Extension> {
        // The body is one PadN option of six bytes.
        self.extension(number, 0, vec![1, 4, 0, 0, 0, 0])
    }

    /// Hop-by-hop options: padding.
    #[must_use]
    pub fn hop_by_hop(self) -> Stack<Extension> {
        self.common_extension(number::HOP_BY_HOP)
    }

    /// Hop-by-hop options with a router alert (RFC 2711), as MLD is sent.
    #[must_use]
    pub fn router_alert(self) -> Stack<Extension> {
        self.extension(number::HOP_BY_HOP, 0, vec![5, 2, 0, 0, 1, 0])
    }

    /// Destination options: padding.
    #[must_use]
    pub fn destination_options(self) -> Stack<Extension> {
        self.common_extension(number::DESTINATION_OPTIONS)
    }

    /// Destination options of `units` times eight bytes, 1 to 256 units.
    #[must_use]
    pub fn long_destination_options(self, units: usize) -> Stack<Extension> {
        // Pad1, as often as it takes.
        self.extension(number::DESTINATION_OPTIONS, (units - 1) as u8, vec![0; units * 8 - 2])
    }

    /// A routing header of a type, without segments left and with one address as type 0 and type 2 have it.
    #[must_use]
    pub fn routing(self, routing_type: u8) -> Stack<Extension> {
        self.routing_on(routing_type, 0)
    }

    /// The same with segments left: the packet is to go on to the address.
    #[must_use]
    pub fn routing_on(self, routing_type: u8, segments_left: u8) -> Stack<Extension> {
        let mut body = vec![routing_type, segments_left, 0, 0, 0, 0];
        body.extend(crate::world::HOST.v6().octets());
        self.extension(number::ROUTING, 2, body)
    }

    /// A mobility header (RFC 6275): a binding refresh request.
    #[must_use]
    pub fn mobility(self) -> Stack<Extension> {
        self.extension(number::MOBILITY, 0, vec![0; 6])
    }

    /// An authentication header (RFC 4302) with 12 bytes of integrity check, 24 bytes long.
    #[must_use]
    pub fn authentication(self) -> Stack<Extension> {
        self.extension(number::AH, 4, vec![0; 22])
    }

    /// A fragment header: the offset in units of eight bytes, and whether more fragments follow.
    #[must_use]
    pub fn fragment(self, offset: u16, more: bool) -> Stack<Extension> {
        let [high, low] = (offset << 3 | u16::from(more)).to_be_bytes();
        self.extension(number::FRAGMENT, 0, vec![high, low, 0, 0, 0, 7])
    }
}

setters! { Extension:
    /// Set a fragment header's identification, which pieces of a datagram have in common.
    id(id: u32) => |layer| layer.body.splice(2.., id.to_be_bytes());
    /// Claim another Next Header than what follows.
    next_header(number: u8) => |layer| layer.next_header = Some(number);
    /// Claim a length, in the header's own units.
    header_len(units: u8) => |layer| layer.len = units;
}

impl Layer for Extension {
    fn named(&self) -> Option<Named> {
        Some(Named { ether_type: 0x88b5, protocol: self.number })
    }

    fn write(&self, payload: Vec<u8>, around: &Around) -> Vec<u8> {
        let next_header = self.next_header.unwrap_or_else(|| around.next_protocol());
        [&[next_header, self.len], &self.body[..], &payload].concat()
    }
}
