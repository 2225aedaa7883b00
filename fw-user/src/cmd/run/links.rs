//! The kernel's messages about interfaces that appear, disappear or change their class, and about the networks on their links.

use futures_util::{FutureExt, Stream, StreamExt, future};
use netlink_packet_core::NetlinkPayload;
use rtnetlink::{MulticastGroup, packet_route::RouteNetlinkMessage};

use crate::{
    error::{Error, Result},
    host::routes,
};

/// The kernel's messages about interfaces, about what decides their class (addresses and default routes), and about routes without a gateway.
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

    /// Wait until some interface has changed. One message of a burst is enough; a starting container causes many.
    pub(crate) async fn changed(&mut self) -> Result<()> {
        if self.0.next().await.is_none() {
            // The socket lost messages, so anything may have changed.
            *self = Self::listen()?;
            return Ok(());
        }
        while let Some(Some(())) = self.0.next().now_or_never() {}
        Ok(())
    }
}

/// Whether a message may change what must be filtered. Of all routes only default routes and those without a gateway may: a router has very many.
fn matters(payload: &NetlinkPayload<RouteNetlinkMessage>) -> bool {
    match payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route)) => {
            route.header.destination_prefix_length == 0 || !routes::on_link(route).is_empty()
        }
        _ => true,
    }
}
