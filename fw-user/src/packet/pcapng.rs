//! Files of packets in the format of Wireshark (draft-ietf-opsawg-pcapng): each packet with its interface, its time to the nanosecond, and
//! a comment.

use std::{
    borrow::Cow,
    io::{self, Write},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use pcap_file::{
    DataLink, Endianness,
    pcapng::{
        PcapNgBlock, PcapNgWriteError, PcapNgWriter,
        blocks::{
            enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption},
            interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption, InterfaceTsResolution},
            interface_statistics::{InterfaceStatisticsBlock, InterfaceStatisticsOption},
            opt_common::CommonOption,
            section_header::{SectionHeaderBlock, SectionHeaderOption},
        },
    },
};

use crate::packet::headers::Seen;

/// The packet came in (draft-ietf-opsawg-pcapng, 4.3.1).
const INBOUND: u32 = 1;

/// Writes a file packet by packet.
pub(crate) struct Writer<W: Write>(PcapNgWriter<W>);

impl<W: Write> Writer<W> {
    /// Start a file of packets of these interfaces, with or without Ethernet headers, with at most `most` bytes of each packet.
    pub(crate) fn new<'a>(
        out: W,
        interfaces: impl IntoIterator<Item = (&'a str, bool)>,
        most: usize,
    ) -> io::Result<Self> {
        let application = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));
        let options = vec![SectionHeaderOption::UserApplication(application.into())];
        let section = SectionHeaderBlock { endianness: Endianness::native(), options, ..SectionHeaderBlock::default() };
        let mut writer = Self(PcapNgWriter::with_section_header(out, section).map_err(as_io)?);
        for (name, is_bare) in interfaces {
            let link = if is_bare { DataLink::RAW } else { DataLink::ETHERNET };
            let mut interface = InterfaceDescriptionBlock::new(link, most as u32);
            interface.options = vec![
                InterfaceDescriptionOption::IfName(name.into()),
                InterfaceDescriptionOption::IfTsResol(InterfaceTsResolution::NANO),
            ];
            writer.block(interface)?;
        }
        Ok(writer)
    }

    /// Add a packet of the interface with this number, from 0.
    pub(crate) fn packet(&mut self, interface: u32, at: SystemTime, frame: &Seen<'_>, comment: &str) -> io::Result<()> {
        self.block(EnhancedPacketBlock {
            interface_id: interface,
            timestamp: since_1970(at),
            original_len: frame.len as u32,
            data: Cow::Borrowed(frame.bytes),
            options: vec![
                EnhancedPacketOption::Common(CommonOption::Comment(comment.into())),
                EnhancedPacketOption::Flags(INBOUND),
            ],
        })
    }

    /// Note at the end how many packets of an interface are not in the file.
    pub(crate) fn left_out(&mut self, interface: u32, at: SystemTime, packets: u64) -> io::Result<()> {
        self.block(InterfaceStatisticsBlock {
            interface_id: interface,
            timestamp: since_1970(at),
            options: vec![InterfaceStatisticsOption::IsbIfDrop(packets)],
        })
    }

    /// Flush the output.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.0.get_mut().flush()
    }

    fn block<'a>(&mut self, block: impl PcapNgBlock<'a>) -> io::Result<()> {
        self.0.write_pcapng_block(block).map(drop).map_err(as_io)
    }
}

/// A clock that was never set may be before 1970.
fn since_1970(at: SystemTime) -> Duration {
    at.duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn as_io(error: PcapNgWriteError) -> io::Error {
    match error {
        PcapNgWriteError::Io(error) => error,
        other => io::Error::other(other),
    }
}
