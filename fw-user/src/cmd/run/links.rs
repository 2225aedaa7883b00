//! Interfaces that come, go and change sides, as the kernel tells of them.

use futures_util::{FutureExt, Stream, StreamExt, future};
use netlink_packet_core::NetlinkPayload;
use rtnetlink::{MulticastGroup, packet_route::RouteNetlinkMessage};

use crate::error::{Error, Result};

/// What the kernel tells of interfaces, and of what decides which way they lead: addresses and default routes.
pub(crate) struct Links(Box<dyn Stream<Item = ()> + Unpin + Send>);

impl Links {
    /// Listen from now on.
    pub(crate) fn listen() -> Result<Self> {
        use MulticastGroup::{Ipv4Ifaddr, Ipv4Route, Ipv6Ifaddr, Ipv6Route, Link};
        let groups = [Link, Ipv4Ifaddr, Ipv6Ifaddr, Ipv4Route, Ipv6Route];
        let (connection, _, messages) = rtnetlink::new_multicast_connection(&groups)
            .map_err(|error| Error::refused("listening for interfaces", error))?;
        tokio::spawn(connection);
        let of_interest = messages.filter(|(message, _)| future::ready(matters(&message.payload)));
        Ok(Self(Box::new(of_interest.map(drop))))
    }

    /// Wait until something has changed about some interface. Of a burst of messages, and a container that starts makes many, one is
    /// enough.
    pub(crate) async fn changed(&mut self) -> Result<()> {
        if self.0.next().await.is_none() {
            // More than the socket could hold: it is anybody's guess what they were.
            *self = Self::listen()?;
            return Ok(());
        }
        while let Some(Some(())) = self.0.next().now_or_never() {}
        Ok(())
    }
}

/// Whether a message may change what is to be filtered. Of the routes of a router with all networks of the world, only a default route does.
fn matters(payload: &NetlinkPayload<RouteNetlinkMessage>) -> bool {
    match payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route)) => {
            route.header.destination_prefix_length == 0
        }
        _ => true,
    }
}
