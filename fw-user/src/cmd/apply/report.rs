//! The changes that `apply` makes.

use std::path::PathBuf;

use serde::Serialize;

use crate::{
    config::difference::Difference,
    report::{difference, lockout::CutJson},
};

/// The action of `apply` on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    /// Attach: there was no filter.
    Attach,
    /// Change the attached filter.
    Change,
    /// Nothing differs.
    None,
}

/// The change of one interface.
#[derive(Debug, Serialize)]
pub(crate) struct AppliedInterface {
    /// The interface.
    pub name: String,
    /// The file that it follows.
    pub file: PathBuf,
    /// The action.
    pub action: Action,
    /// The settings that change.
    #[serde(flatten)]
    pub difference: Difference,
    /// The connections that this cuts.
    pub cut: Vec<CutJson>,
}

/// For people.
#[must_use]
pub(crate) fn text(outcome: &AppliedInterface) -> String {
    let AppliedInterface { name, file, action, difference, cut: _ } = outcome;
    let file = file.display();
    let text = match action {
        Action::Attach => format!("{name}  attach, according to {file}\n"),
        Action::Change => format!("{name}  change, according to {file}\n"),
        Action::None => format!("{name}  matches {file}; nothing to do\n"),
    };
    text + &difference::text(difference)
}
