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
        Some(printable(&target.to_string()))
    }
}

/// A process calls itself what it wants, also what a terminal would obey.
fn printable(name: &str) -> String {
    name.chars().map(|character| if character.is_control() { '?' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_name_of_a_process_moves_no_cursor_and_ends_no_line() {
        assert_eq!(super::printable("container web-1"), "container web-1");
        assert_eq!(super::printable("ss\u{1b}[2Jhd\n\u{9b}"), "ss?[2Jhd??");
    }
}
