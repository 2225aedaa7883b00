//! Frames composed like a sentence:
//! `eth().vlan(5).ipv4().from("192.0.2.1").to("192.0.2.2").tcp(40000, 22).syn()`.
//!
//! Lengths, checksums and the numbers by which one header names the next come out right unless a packet is told to lie. Where nothing
//! else is said a frame goes from [`world::PEER`](crate::world::PEER) to [`world::HOST`](crate::world::HOST).

/// Methods that set fields of a layer and give the packet back.
macro_rules! setters {
    ($layer:ty: $($(#[$doc:meta])* $name:ident($($argument:ident: $kind:ty)?) => |$inner:ident| $set:expr;)*) => {
        impl $crate::packet::stack::Stack<$layer> {
            $($(#[$doc])*
            #[must_use]
            pub fn $name(mut self $(, $argument: $kind)?) -> Self {
                let $inner = &mut self.layer;
                $set;
                self
            })*
        }
    };
}

mod checksum;
mod extension;
mod ipv4;
mod ipv6;
mod link;
mod other;
mod stack;
mod stations;
mod transport;
mod words;

pub use checksum::Pseudo;
pub use extension::Extension;
pub use ipv4::Ipv4;
pub use ipv6::Ipv6;
pub use link::{Ethernet, Vlan, eth, ether_type};
pub use other::{Gre, Icmp, Raw};
pub use stack::{Around, Layer, Named, Payload, Stack};
pub use transport::{Dccp, Sctp, Tcp, Udp, UdpLite};
pub use words::{hex, words};
