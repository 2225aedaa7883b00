//! Netlink requests: a dump of all objects of a kind, and a change.

use std::{error::Error, fmt, io};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable, NlasIterator,
};
use netlink_sys::{Socket, SocketAddr};

/// The kernel answers a dump in pieces of 32 KiB at most (`netlink_dump`).
const ANSWER: usize = 64 * 1024;

/// Ask for all objects of a kind, and read until the kernel reports the end.
pub(crate) fn dump<T>(family: isize, question: T) -> io::Result<Vec<T>>
where
    T: NetlinkSerializable + NetlinkDeserializable + Into<NetlinkPayload<T>>,
{
    let socket = open(family)?;
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

/// Ask for one thing.
pub(crate) fn get<T>(family: isize, question: T) -> io::Result<T>
where
    T: NetlinkSerializable + NetlinkDeserializable + Into<NetlinkPayload<T>>,
{
    let socket = open(family)?;
    socket.send(&bytes(0, question), 0)?;
    let mut answer = Vec::with_capacity(ANSWER);
    socket.recv(&mut answer, 0)?;
    let mut found = Vec::new();
    read(&answer, &mut found)?;
    found.pop().ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// The bytes of a request for all objects of a kind.
pub(crate) fn request<T: NetlinkSerializable + Into<NetlinkPayload<T>>>(question: T) -> Vec<u8> {
    bytes(NLM_F_DUMP, question)
}

/// Read a piece of the answer; returns whether it was the last.
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

/// A change that the kernel refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// Its error.
    pub(crate) error: io::Error,
    /// The kernel's message about the refusal, if there is one.
    pub(crate) words: Option<String>,
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self { error, words: None }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.words {
            Some(words) => write!(f, "{words} ({})", self.error),
            None => self.error.fmt(f),
        }
    }
}

impl Error for Refusal {}

/// Ask for a change, and wait for the answer.
pub(crate) fn change<T>(family: isize, request: T) -> Result<(), Refusal>
where
    T: NetlinkSerializable + NetlinkDeserializable + Into<NetlinkPayload<T>>,
{
    let socket = open(family)?;
    // The answer is the error's number, the header of the request, and then attributes with the words (kernel 4.12).
    socket.set_ext_ack(true)?;
    socket.set_cap_ack(true)?;
    socket.send(&bytes(NLM_F_ACK, request), 0)?;
    let mut answer = Vec::with_capacity(ANSWER);
    loop {
        answer.clear();
        socket.recv(&mut answer, 0)?;
        let message = NetlinkMessage::<T>::deserialize(&answer).map_err(io::Error::other)?;
        if let NetlinkPayload::Error(answer) = message.payload {
            return match answer.code {
                None => Ok(()),
                Some(_) => Err(Refusal { error: answer.to_io(), words: words(&answer.header) }),
            };
        }
    }
}

/// The message in the attributes after the number of an error.
fn words(rest: &[u8]) -> Option<String> {
    /// `struct nlmsghdr`.
    const HEADER: usize = 16;
    /// `NLMSGERR_ATTR_MSG` of include/uapi/linux/netlink.h: text that ends with a zero.
    const MESSAGE: u16 = 1;
    let attributes = NlasIterator::new(rest.get(HEADER..)?);
    let message = attributes.filter_map(Result::ok).find(|attribute| attribute.kind() == MESSAGE)?;
    Some(String::from_utf8_lossy(message.value()).trim_end_matches('\0').to_owned())
}

fn open(family: isize) -> io::Result<Socket> {
    let mut socket = Socket::new(family)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    Ok(socket)
}

fn bytes<T: NetlinkSerializable + Into<NetlinkPayload<T>>>(flags: u16, request: T) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    let mut message = NetlinkMessage::new(header, request.into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}
