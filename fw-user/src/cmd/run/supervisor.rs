//! Messages to the service manager, if one started this process (`sd_notify(3)`).

use sd_notify::NotifyState;

use crate::output::complain;

/// Send a message. The filter does not depend on its arrival.
pub(crate) fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        complain(&format!("fw-user: cannot notify the service manager: {error}"));
    }
}

/// Report that the files are read again; [`NotifyState::Ready`] follows.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => complain(&format!("fw-user: cannot notify the service manager: {error}")),
    }
}
