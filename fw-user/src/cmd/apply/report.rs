//! What `apply` changes.

use std::path::PathBuf;

use serde::Serialize;

use crate::{
    config::difference::Difference,
    report::{difference, lockout::CutJson},
};

/// What there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    /// There was no filter.
    Attach,
    /// The filter that is there changes.
    Change,
    /// Nothing differs.
    None,
}

/// Of one interface.
#[derive(Debug, Serialize)]
pub(crate) struct AppliedInterface {
    /// The interface.
    pub name: String,
    /// The file that it follows.
    pub file: PathBuf,
    /// What there is to do.
    pub action: Action,
    /// What is otherwise then.
    #[serde(flatten)]
    pub difference: Difference,
    /// Which connections that cuts.
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
