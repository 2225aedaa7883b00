//! Whom packets would have met.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::{
    host::targets::{self, Targets},
    packet::headers::Headers,
};

/// How long it is believed who listens where.
const BELIEVED_FOR: Duration = Duration::from_secs(5);
/// How many times as long as it took to find out, where that is more: a Docker that hangs must not be what is waited for most of the time.
const TIMES_AS_LONG: u32 = 30;

/// Who listens where, asked for when somebody wants to know.
#[derive(Default)]
pub(crate) struct Receivers {
    believed_until: Option<Instant>,
    targets: Option<Targets>,
}

impl Receivers {
    /// Whom a packet would have met: nobody where nobody listens, or where it cannot be seen.
    pub(crate) async fn who(&mut self, headers: &Headers) -> Option<String> {
        let ((protocol, port), destination) = (headers.target()?, headers.destination?);
        let now = Instant::now();
        if self.believed_until.is_none_or(|until| now > until) {
            // What the packet did is worth telling without it.
            self.targets = Targets::read(&targets::docker_socket()).await.ok();
            self.believed_until = Some(Instant::now() + BELIEVED_FOR.max(now.elapsed() * TIMES_AS_LONG));
        }
        let target = self.targets.as_ref()?.of_address(protocol, SocketAddr::new(destination, port))?;
        Some(target.to_string())
    }
}
