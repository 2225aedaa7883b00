//! Whom packets would have met.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::{
    packet::headers::Headers,
    targets::{self, Targets},
};

/// How long it is believed who listens where.
const BELIEVED_FOR: Duration = Duration::from_secs(5);

/// Who listens where, asked for when somebody wants to know.
#[derive(Default)]
pub(super) struct Meets {
    asked: Option<Instant>,
    targets: Option<Targets>,
}

impl Meets {
    /// Whom a packet would have met: nobody where nobody listens, or where it cannot be seen.
    pub(super) async fn who(&mut self, headers: &Headers) -> Option<String> {
        let ((protocol, port), destination) = (headers.target()?, headers.destination?);
        if self.asked.is_none_or(|asked| asked.elapsed() > BELIEVED_FOR) {
            // What the packet did is worth telling without it.
            self.targets = Targets::read(&targets::docker_socket()).await.ok();
            self.asked = Some(Instant::now());
        }
        let target = self.targets.as_ref()?.of_address(protocol, SocketAddr::new(destination, port))?;
        Some(target.to_string())
    }
}
