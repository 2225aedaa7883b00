//! Files of captured packets: pcap and pcapng, distinguished by their first bytes.

use std::io::{Cursor, Read};

use pcap_file::{
    DataLink,
    pcap::PcapReader,
    pcapng::{Block, PcapNgReader},
};

use crate::error::capture::CaptureError;

/// The first bytes of every pcapng file (draft-ietf-opsawg-pcapng, 4.1), in any byte order.
const PCAPNG: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// A captured frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Captured {
    /// The captured bytes.
    pub bytes: Vec<u8>,
    /// Its length on the wire, in bytes.
    pub len: usize,
    /// Whether it starts with its IP header.
    pub is_bare: bool,
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
        is_bare(reader.header().datalink)?;
        Ok(Self(Format::Pcap(reader)))
    }

    /// The next frame; `None` at the end.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Captured>, CaptureError> {
        match &mut self.0 {
            Format::Pcap(reader) => match reader.next_packet().transpose().map_err(CaptureError::Packet)? {
                Some(packet) => {
                    let (bytes, len) = (packet.data().to_vec(), packet.orig_len());
                    Ok(Some(captured(&bytes, len, is_bare(reader.header().datalink)?)))
                }
                None => Ok(None),
            },
            Format::PcapNg(reader) => {
                while let Some((block, state)) = reader.next_block().transpose().map_err(CaptureError::Block)? {
                    let (interface, bytes, len) = match block {
                        Block::EnhancedPacket(packet) => (packet.interface_id, packet.data, packet.original_len),
                        // All of them are of the first interface.
                        Block::SimplePacket(packet) => (0, packet.data, packet.original_len),
                        _ => continue,
                    };
                    let link = state.interfaces().get(interface as usize).map(|interface| is_bare(interface.linktype));
                    return Ok(Some(captured(&bytes, len, link.transpose()?.unwrap_or(false))));
                }
                Ok(None)
            }
        }
    }
}

fn captured(bytes: &[u8], len: u32, is_bare: bool) -> Captured {
    Captured { bytes: bytes.to_owned(), len: (len as usize).max(bytes.len()), is_bare }
}

/// Whether packets of this kind start with their IP header, rather than an Ethernet header.
fn is_bare(link: DataLink) -> Result<bool, CaptureError> {
    match link {
        DataLink::ETHERNET => Ok(false),
        DataLink::RAW | DataLink::IPV4 | DataLink::IPV6 => Ok(true),
        other => Err(CaptureError::NotEthernet(other)),
    }
}
