//! Users.

use nix::unistd::{Uid, User};

/// The name of a user, or the ID of one that has none.
#[must_use]
pub(crate) fn name(uid: u32) -> String {
    User::from_uid(Uid::from_raw(uid)).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
}
