//! Asking the kernel for everything of a kind.

use std::io;

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable,
};
use netlink_sys::{Socket, SocketAddr};

/// The kernel answers a dump in pieces of 32 KiB at most (`netlink_dump`).
const ANSWER: usize = 64 * 1024;

/// Ask for everything of a kind, and read until the kernel says that this was all.
pub(crate) fn dump<T>(family: isize, question: T) -> io::Result<Vec<T>>
where
    T: NetlinkSerializable + NetlinkDeserializable + Into<NetlinkPayload<T>>,
{
    let mut socket = Socket::new(family)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&request(question), 0)?;

    let mut found = Vec::new();
    let mut piece = Vec::with_capacity(ANSWER);
    loop {
        piece.clear();
        socket.recv(&mut piece, 0)?;
        if read(&piece, &mut found)? {
            return Ok(found);
        }
    }
}

/// The bytes that ask for everything of a kind.
pub(crate) fn request<T: NetlinkSerializable + Into<NetlinkPayload<T>>>(question: T) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut request = NetlinkMessage::new(header, question.into());
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    bytes
}

/// Read a piece of the answer. Says whether that was all.
pub(crate) fn read<T: NetlinkDeserializable>(piece: &[u8], found: &mut Vec<T>) -> io::Result<bool> {
    let mut rest = piece;
    while !rest.is_empty() {
        let message = NetlinkMessage::<T>::deserialize(rest).map_err(io::Error::other)?;
        match message.payload {
            NetlinkPayload::InnerMessage(answer) => found.push(answer),
            NetlinkPayload::Done(_) => return Ok(true),
            NetlinkPayload::Error(error) => return Err(error.to_io()),
            _ => {}
        }
        // Messages are padded to four bytes (`NLMSG_ALIGN`), the last one may not be.
        let len = (message.header.length as usize).next_multiple_of(4);
        rest = rest.get(len..).unwrap_or_default();
    }
    Ok(false)
}
