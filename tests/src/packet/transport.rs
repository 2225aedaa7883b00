//! The transports that carry ports.

use fw_common::{PortProtocol, protocol::number};

use super::{
    checksum,
    stack::{Around, Layer, Named, Stack},
};

const fn named(protocol: u8) -> Named {
    Named { ether_type: 0x88b5, protocol }
}

impl<L: Layer> Stack<L> {
    /// A TCP header with no flag set.
    #[must_use]
    pub fn tcp(self, source: u16, destination: u16) -> Stack<Tcp> {
        self.then(Tcp { source, destination, words: None, flags: 0, bad_checksum: false, options: Vec::new() })
    }

    /// A UDP header.
    #[must_use]
    pub fn udp(self, source: u16, destination: u16) -> Stack<Udp> {
        self.then(Udp { source, destination, len: None, no_checksum: false })
    }

    /// An SCTP packet with an INIT chunk.
    #[must_use]
    pub fn sctp(self, source: u16, destination: u16) -> Stack<Sctp> {
        self.then(Sctp { source, destination })
    }

    /// A DCCP request.
    #[must_use]
    pub fn dccp(self, source: u16, destination: u16) -> Stack<Dccp> {
        self.then(Dccp { source, destination })
    }

    /// A UDP-Lite header, its checksum covering the header alone.
    #[must_use]
    pub fn udp_lite(self, source: u16, destination: u16) -> Stack<UdpLite> {
        self.then(UdpLite { source, destination })
    }

    /// Any of the five: a TCP header comes with ACK, as in the middle of a connection.
    #[must_use]
    pub fn ports(self, protocol: PortProtocol, source: u16, destination: u16) -> Stack<Box<dyn Layer>> {
        match protocol {
            PortProtocol::Tcp => self.tcp(source, destination).ack().erased(),
            PortProtocol::Udp => self.udp(source, destination).erased(),
            PortProtocol::Sctp => self.sctp(source, destination).erased(),
            PortProtocol::Dccp => self.dccp(source, destination).erased(),
            PortProtocol::UdpLite => self.udp_lite(source, destination).erased(),
        }
    }
}

/// A TCP header (RFC 9293).
pub struct Tcp {
    source: u16,
    destination: u16,
    words: Option<u8>,
    flags: u8,
    bad_checksum: bool,
    options: Vec<u8>,
}

setters! { Tcp:
    /// Set flags by their bits: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128.
    flags(bits: u8) => |layer| layer.flags |= bits;
    /// Set FIN.
    fin() => |layer| layer.flags |= 0x01;
    /// Set SYN.
    syn() => |layer| layer.flags |= 0x02;
    /// Set RST.
    rst() => |layer| layer.flags |= 0x04;
    /// Set ACK.
    ack() => |layer| layer.flags |= 0x10;
    /// Claim a data offset in 32-bit words.
    data_offset(words: u8) => |layer| layer.words = Some(words);
    /// Get the checksum wrong.
    bad_checksum() => |layer| layer.bad_checksum = true;
    /// Append options; the list is filled up to a multiple of four with end-of-list.
    options(bytes: &[u8]) => |layer| layer.options.extend(bytes);
}

impl Layer for Tcp {
    fn named(&self) -> Option<Named> {
        Some(named(number::TCP))
    }

    fn write(&self, payload: Vec<u8>, around: &Around) -> Vec<u8> {
        let mut options = self.options.clone();
        options.resize(options.len().next_multiple_of(4), 0);
        let words = self.words.unwrap_or((5 + options.len() / 4) as u8);
        let mut bytes = [self.source.to_be_bytes(), self.destination.to_be_bytes()].concat();
        bytes.extend(1_u32.to_be_bytes());
        bytes.extend(0_u32.to_be_bytes());
        bytes.extend([words << 4, self.flags, 0xff, 0xff, 0, 0, 0, 0]);
        bytes.extend(options);
        bytes.extend(payload);
        let mut sum = checksum::transport(&bytes, bytes.len(), number::TCP, around.pseudo);
        if self.bad_checksum {
            sum[0] ^= 0x55;
        }
        bytes[16..18].copy_from_slice(&sum);
        bytes
    }
}

/// A UDP header (RFC 768).
pub struct Udp {
    source: u16,
    destination: u16,
    len: Option<u16>,
    no_checksum: bool,
}

setters! { Udp:
    /// Claim a length in bytes.
    len_field(bytes: u16) => |layer| layer.len = Some(bytes);
    /// Send no checksum: 0.
    no_checksum() => |layer| layer.no_checksum = true;
}

impl Layer for Udp {
    fn named(&self) -> Option<Named> {
        Some(named(number::UDP))
    }

    fn write(&self, payload: Vec<u8>, around: &Around) -> Vec<u8> {
        let len = self.len.unwrap_or(8 + payload.len() as u16);
        let fields = [self.source, self.destination, len, 0];
        let mut bytes: Vec<u8> = fields.into_iter().flat_map(u16::to_be_bytes).collect();
        bytes.extend(payload);
        if !self.no_checksum {
            let sum = checksum::transport(&bytes, bytes.len(), number::UDP, around.pseudo);
            bytes[6..8].copy_from_slice(&sum);
        }
        bytes
    }
}

/// An SCTP packet (RFC 9260) with an INIT chunk.
pub struct Sctp {
    source: u16,
    destination: u16,
}

impl Layer for Sctp {
    fn named(&self) -> Option<Named> {
        Some(named(number::SCTP))
    }

    fn write(&self, payload: Vec<u8>, _around: &Around) -> Vec<u8> {
        let mut bytes = [self.source.to_be_bytes(), self.destination.to_be_bytes()].concat();
        // Verification tag 0 and the checksum's place.
        bytes.extend([0; 8]);
        // INIT: tag, window, one stream each way, first sequence number.
        bytes.extend([1, 0, 0, 20, 0, 0, 0, 1, 0, 0, 0xff, 0xff, 0, 1, 0, 1, 0, 0, 0, 1]);
        bytes.extend(payload);
        let sum = checksum::crc32c(&bytes);
        bytes[8..12].copy_from_slice(&sum);
        bytes
    }
}

/// A DCCP request (RFC 4340, 5.1).
pub struct Dccp {
    source: u16,
    destination: u16,
}

impl Layer for Dccp {
    fn named(&self) -> Option<Named> {
        Some(named(number::DCCP))
    }

    fn write(&self, payload: Vec<u8>, around: &Around) -> Vec<u8> {
        let mut bytes = [self.source.to_be_bytes(), self.destination.to_be_bytes()].concat();
        // Five words of header, the checksum over everything; request with a long sequence number; service code.
        bytes.extend([5, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1]);
        bytes.extend(payload);
        let sum = checksum::transport(&bytes, bytes.len(), number::DCCP, around.pseudo);
        bytes[6..8].copy_from_slice(&sum);
        bytes
    }
}

/// A UDP-Lite header (RFC 3828).
pub struct UdpLite {
    source: u16,
    destination: u16,
}

impl Layer for UdpLite {
    fn named(&self) -> Option<Named> {
        Some(named(number::UDP_LITE))
    }

    fn write(&self, payload: Vec<u8>, around: &Around) -> Vec<u8> {
        let fields = [self.source, self.destination, 8, 0];
        let mut bytes: Vec<u8> = fields.into_iter().flat_map(u16::to_be_bytes).collect();
        bytes.extend(payload);
        let sum = checksum::transport(&bytes, 8, number::UDP_LITE, around.pseudo);
        bytes[6..8].copy_from_slice(&sum);
        bytes
    }
}
