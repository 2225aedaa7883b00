//! Netlink requests: a dump of all objects of a kind, and a change.

use std::{error::Error, fmt, io};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable, NlasIterator,
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

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
        if family == NETLINK_ROUTE {
            make_legible(&mut piece);
        }
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

/// Replace each byte that is not UTF-8 in the names of links by a question mark. The library refuses the whole answer for one such byte, and root can
/// name an interface with any bytes.
fn make_legible(mut piece: &mut [u8]) {
    /// `RTM_NEWLINK` of include/uapi/linux/rtnetlink.h.
    const NEW_LINK: u16 = 16;
    /// `struct nlmsghdr` and `struct ifinfomsg`.
    const HEADERS: usize = 16 + 16;
    while let Some(&[a, b, c, d, e, f]) = piece.first_chunk() {
        let (length, kind) = (u32::from_ne_bytes([a, b, c, d]) as usize, u16::from_ne_bytes([e, f]));
        let (message, rest) = piece.split_at_mut(length.next_multiple_of(4).clamp(4, piece.len()));
        if kind == NEW_LINK {
            make_attributes_legible(message.get_mut(HEADERS..).unwrap_or_default());
        }
        piece = rest;
    }
}

/// The same of the attributes of a link.
fn make_attributes_legible(mut attributes: &mut [u8]) {
    /// Numbers of `include/uapi/linux/if_link.h`: a name, a description, a list of other names.
    const NAME: u16 = 3;
    const ALIAS: u16 = 20;
    const OTHER_NAMES: u16 = 52;
    const OTHER_NAME: u16 = 53;
    /// `struct nlattr`: a length that counts these bytes too, and a kind with two flags.
    const HEADER: usize = 4;
    const FLAGS: u16 = 0xc000;
    while let Some(&[a, b, c, d]) = attributes.first_chunk() {
        let length = usize::from(u16::from_ne_bytes([a, b])).next_multiple_of(4).clamp(HEADER, attributes.len());
        let (attribute, rest) = attributes.split_at_mut(length);
        let value = &mut attribute[HEADER..];
        match u16::from_ne_bytes([c, d]) & !FLAGS {
            NAME | ALIAS | OTHER_NAME => {
                while let Err(error) = str::from_utf8(value) {
                    value[error.valid_up_to()] = b'?';
                }
            }
            OTHER_NAMES => make_attributes_legible(value),
            _ => {}
        }
        attributes = rest;
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// An attribute, padded.
    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = (4 + value.len()) as u16;
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn message(kind: u16, attributes: &[Vec<u8>]) -> Vec<u8> {
        let attributes = attributes.concat();
        let length = (32 + attributes.len()) as u32;
        [&length.to_ne_bytes()[..], &kind.to_ne_bytes()[..], &[0; 26], &attributes].concat()
    }

    #[test]
    fn names_of_links_that_are_not_utf8_are_made_legible_and_nothing_else_is_touched() {
        let names = |name: &[u8], other: &[u8]| {
            let others = attribute(0x8034, &attribute(53, other));
            vec![attribute(4, b"\xff\xfe"), attribute(3, name), attribute(20, name), others]
        };
        let given =
            [message(16, &names(b"w\xff\xe2\x82\0", b"\xc3\0")), message(24, &names(b"\xff\0", b"\xff\0"))].concat();
        let expected = [message(16, &names(b"w???\0", b"?\0")), message(24, &names(b"\xff\0", b"\xff\0"))].concat();
        let mut piece = given;
        make_legible(&mut piece);
        assert_eq!(piece, expected);
        let umlaut = message(16, &names("wän0\0".as_bytes(), b"\0"));
        piece.clone_from(&umlaut);
        make_legible(&mut piece);
        assert_eq!(piece, umlaut);
    }

    #[test]
    fn broken_answers_are_left_alone() {
        for mut piece in [vec![], vec![0; 3], vec![0; 40], vec![0xff; 40], message(16, &[vec![0; 4], vec![2, 0, 3, 0]])]
        {
            make_legible(&mut piece);
        }
    }
}
