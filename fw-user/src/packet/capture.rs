//! Files of captured packets: pcap and pcapng, told apart by how they begin.

use std::io::{Cursor, Read};

use pcap_file::{
    DataLink,
    pcap::PcapReader,
    pcapng::{Block, PcapNgReader},
};

use crate::error::capture::CaptureError;

/// How every pcapng file begins (draft-ietf-opsawg-pcapng, 4.1), whatever its byte order.
const PCAPNG: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// A captured frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Captured {
    /// What was kept of it.
    pub bytes: Vec<u8>,
    /// Its length on the wire, in bytes.
    pub len: usize,
}

/// A file that is read packet by packet.
pub(crate) struct Capture(Format);

enum Format {
    Pcap(PcapReader<Box<dyn Read>>),
    PcapNg(PcapNgReader<Box<dyn Read>>),
}

impl Capture {
    /// Read the beginning.
    pub(crate) fn open(mut file: impl Read + 'static) -> Result<Self, CaptureError> {
        let mut begin = Vec::new();
        file.by_ref().take(PCAPNG.len() as u64).read_to_end(&mut begin)?;
        let is_ng = begin == PCAPNG;
        let whole: Box<dyn Read> = Box::new(Cursor::new(begin).chain(file));
        if is_ng {
            return Ok(Self(Format::PcapNg(PcapNgReader::new(whole).map_err(CaptureError::NgHeader)?)));
        }
        let reader = PcapReader::new(whole).map_err(CaptureError::Header)?;
        check(reader.header().datalink)?;
        Ok(Self(Format::Pcap(reader)))
    }

    /// The next frame; nothing at the end.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Captured>, CaptureError> {
        match &mut self.0 {
            Format::Pcap(reader) => match reader.next_packet().transpose().map_err(CaptureError::Packet)? {
                Some(packet) => Ok(Some(captured(packet.data(), packet.orig_len()))),
                None => Ok(None),
            },
            Format::PcapNg(reader) => {
                while let Some((block, state)) = reader.next_block().transpose().map_err(CaptureError::Block)? {
                    let (interface, frame) = match block {
                        Block::EnhancedPacket(packet) => {
                            (packet.interface_id, captured(&packet.data, packet.original_len))
                        }
                        // All of them are of the first interface.
                        Block::SimplePacket(packet) => (0, captured(&packet.data, packet.original_len)),
                        _ => continue,
                    };
                    if let Some(interface) = state.interfaces().get(interface as usize) {
                        check(interface.linktype)?;
                    }
                    return Ok(Some(frame));
                }
                Ok(None)
            }
        }
    }
}

fn captured(bytes: &[u8], len: u32) -> Captured {
    Captured { bytes: bytes.to_owned(), len: (len as usize).max(bytes.len()) }
}

fn check(link: DataLink) -> Result<(), CaptureError> {
    if link == DataLink::ETHERNET { Ok(()) } else { Err(CaptureError::NotEthernet(link)) }
}
