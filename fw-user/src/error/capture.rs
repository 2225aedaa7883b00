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
    /// It is not a pcap file.
    #[error("this is neither pcap nor pcapng ({0}); write it with tcpdump -w or Wireshark")]
    Header(PcapReadError),
    /// It is not a pcapng file.
    #[error("this begins like pcapng but is not valid ({0}); write it with tcpdump -w or Wireshark")]
    NgHeader(PcapNgReadError),
    /// A pcap file breaks off or contradicts itself.
    #[error("the rest cannot be read: {0}")]
    Packet(PcapReadError),
    /// A pcapng file breaks off or contradicts itself.
    #[error("the rest cannot be read: {0}")]
    Block(PcapNgReadError),
    /// The packets have no Ethernet header.
    #[error(
        "its packets are neither Ethernet frames nor plain IP but {0:?}, as in a capture on all interfaces; capture on the filtered \
         one: tcpdump -i eth0 -w FILE"
    )]
    NotEthernet(DataLink),
}
