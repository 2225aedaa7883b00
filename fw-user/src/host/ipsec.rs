//! Whether `IPsec` tunnels end at this machine, from the kernel's policies (`ip xfrm policy`).

use std::{convert::Infallible, io};

use netlink_packet_core::{NetlinkDeserializable, NetlinkHeader, NetlinkPayload, NetlinkSerializable, NlasIterator};
use netlink_sys::protocols::NETLINK_XFRM;

use crate::host::netlink;

/// `XFRM_MSG_GETPOLICY` of `include/uapi/linux/xfrm.h`.
const GET_POLICY: u16 = 0x15;
/// `XFRM_MSG_NEWPOLICY`.
const NEW_POLICY: u16 = 0x13;
/// `struct xfrm_userpolicy_id`.
const QUESTION: usize = 64;
/// `struct xfrm_userpolicy_info`, which attributes follow.
const POLICY: usize = 168;
/// The offsets of its direction and its action.
const DIRECTION: usize = 160;
const ACTION: usize = 161;
/// `XFRM_POLICY_IN` and `XFRM_POLICY_ALLOW`.
const INBOUND: u8 = 0;
const ALLOW: u8 = 0;
/// `XFRMA_TMPL`: the transformation that packets must have.
const TEMPLATE: u16 = 5;
/// `XFRMA_IF_ID`: its packets arrive at an interface of their own.
const INTERFACE: u16 = 31;

/// A message of the kernel: its type, and the bytes after its header.
struct Message(u16, Vec<u8>);

impl NetlinkSerializable for Message {
    fn message_type(&self) -> u16 {
        self.0
    }

    fn buffer_len(&self) -> usize {
        self.1.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.1);
    }
}

impl NetlinkDeserializable for Message {
    type Error = Infallible;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Infallible> {
        Ok(Self(header.message_type, payload.to_vec()))
    }
}

impl From<Message> for NetlinkPayload<Message> {
    fn from(message: Message) -> Self {
        Self::InnerMessage(message)
    }
}

/// Whether decrypted packets arrive a second time at the interface of the encrypted ones: there is a policy for them without an interface of their
/// own. False if the kernel has no `IPsec`, or does not tell.
pub(crate) fn ends_here() -> bool {
    let ask = || -> io::Result<bool> {
        let answers = netlink::dump(NETLINK_XFRM, Message(GET_POLICY, vec![0; QUESTION]))?;
        Ok(answers.iter().any(|Message(kind, body)| *kind == NEW_POLICY && decrypts(body)))
    };
    ask().unwrap_or_default()
}

/// Whether a policy is for inbound encrypted packets without an interface of their own.
fn decrypts(policy: &[u8]) -> bool {
    let Some(attributes) = policy.get(POLICY..) else { return false };
    let has = |kind: u16| NlasIterator::new(attributes).flatten().any(|attribute| attribute.kind() == kind);
    policy[DIRECTION] == INBOUND && policy[ACTION] == ALLOW && has(TEMPLATE) && !has(INTERFACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `struct nlattr` and a value of four bytes.
    fn attribute(kind: u16) -> Vec<u8> {
        [&8_u16.to_ne_bytes()[..], &kind.to_ne_bytes(), &[0; 4]].concat()
    }

    fn policy(direction: u8, action: u8, attributes: &[u16]) -> Vec<u8> {
        let mut bytes = vec![0; POLICY];
        (bytes[DIRECTION], bytes[ACTION]) = (direction, action);
        bytes.extend(attributes.iter().copied().flat_map(attribute));
        bytes
    }

    #[test]
    fn policies_of_packets_that_come_in_encrypted_count() {
        for (direction, action, attributes, expected) in [
            (0, 0, &[16, 5][..], true),
            (1, 0, &[16, 5], false), // outbound
            (2, 0, &[16, 5], false), // forwarded
            (3, 0, &[16, 5], false), // a socket's
            (0, 1, &[16, 5], false), // blocked
            (0, 0, &[16], false),    // not encrypted: a daemon's exception for the LAN
            (0, 0, &[16, 5, 31], false),
            (0, 0, &[], false),
        ] {
            let policy = policy(direction, action, attributes);
            assert_eq!(decrypts(&policy), expected, "{direction}, {action}, {attributes:?}");
        }
        assert!(!decrypts(&policy(0, 0, &[5])[..POLICY - 1]), "cut off");
    }

    /// Of any kernel: one without `IPsec` has none.
    #[test]
    fn the_kernel_answers_or_has_none() {
        let _either = ends_here();
    }
}
