//! A file of packets cannot be read.

use pcap_file::{DataLink, pcap::PcapReadError, pcapng::PcapNgReadError};
use std::io;
use thiserror::Error;

/// Why a file of packets cannot be read.
#[derive(Debug, Error)]
pub enum CaptureError {
    /// It cannot be read at all.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// It is no pcap file.
    #[error("this is neither pcap nor pcapng ({0}); write it with tcpdump -w or Wireshark")]
    Header(PcapReadError),
    /// It is no pcapng file.
    #[error("this begins like pcapng, and is none ({0}); write it with tcpdump -w or Wireshark")]
    NgHeader(PcapNgReadError),
    /// A pcap file breaks off or contradicts itself.
    #[error("it cannot be read further: {0}")]
    Packet(PcapReadError),
    /// A pcapng file breaks off or contradicts itself.
    #[error("it cannot be read further: {0}")]
    Block(PcapNgReadError),
    /// The packets have no Ethernet header.
    #[error(
        "its packets are neither Ethernet frames nor plain IP but {0:?}, as of a capture on all interfaces at once; capture on the one that is \
         filtered: tcpdump -i eth0 -w FILE"
    )]
    NotEthernet(DataLink),
}
