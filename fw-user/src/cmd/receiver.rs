//! The receivers of packets.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::{
    host::targets::{self, Targets},
    packet::headers::Headers,
};

/// How long the list of listeners is believed.
const BELIEVED_FOR: Duration = Duration::from_secs(5);
/// The factor of the time that it took to read the list, if that is longer: a hanging Docker must not take most of the time.
const TIMES_AS_LONG: u32 = 30;

/// The listeners, read when needed.
#[derive(Default)]
pub(crate) struct Receivers {
    believed_until: Option<Instant>,
    targets: Option<Targets>,
}

impl Receivers {
    /// The receiver of a packet; `None` if nobody listens, or if it is unknown.
    pub(crate) async fn who(&mut self, headers: &Headers) -> Option<String> {
        let ((protocol, port), destination) = (headers.target()?, headers.destination?);
        let now = Instant::now();
        if self.believed_until.is_none_or(|until| now > until) {
            // The packet is worth printing without it.
            self.targets = Targets::read(&targets::docker_socket()).await.ok();
            self.believed_until = Some(Instant::now() + BELIEVED_FOR.max(now.elapsed() * TIMES_AS_LONG));
        }
        let target = self.targets.as_ref()?.of_address(protocol, SocketAddr::new(destination, port))?;
        Some(target.to_string())
    }
}
