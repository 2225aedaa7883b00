//! What a service manager wants to know, where one started this (`sd_notify(3)`).

use sd_notify::NotifyState;

use crate::output::complain;

/// Tell it. The filter does not depend on whether it hears.
pub(crate) fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        complain(&format!("fw-user: the service manager cannot be told: {error}"));
    }
}

/// Tell that the files are read again. What follows is [`NotifyState::Ready`].
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => complain(&format!("fw-user: the service manager cannot be told: {error}")),
    }
}
