//! Interfaces that come and go, as the kernel tells of them.

use futures_util::{FutureExt, Stream, StreamExt};
use rtnetlink::MulticastGroup;

use crate::error::{Error, Result};

/// What the kernel tells of interfaces.
pub(crate) struct Links(Box<dyn Stream<Item = ()> + Unpin + Send>);

impl Links {
    /// Listen from now on.
    pub(crate) fn listen() -> Result<Self> {
        let (connection, _, messages) = rtnetlink::new_multicast_connection(&[MulticastGroup::Link])
            .map_err(|error| Error::refused("listening for interfaces", error))?;
        tokio::spawn(connection);
        Ok(Self(Box::new(messages.map(drop))))
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
