//! What `apply` changes.

use std::path::PathBuf;

use serde::Serialize;

use crate::{
    config::difference::{Difference, Setting},
    report::lockout::CutJson,
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
    let mut text = match action {
        Action::Attach => format!("{name}  attach, according to {file}\n"),
        Action::Change => format!("{name}  change, according to {file}\n"),
        Action::None => format!("{name}  matches {file}; nothing to do\n"),
    };
    let Difference { opened, closed, opened_proto, closed_proto, settings } = difference;
    for (sign, words) in [("+", opened), ("-", closed), ("+", opened_proto), ("-", closed_proto)] {
        for word in words {
            text += &format!("  {sign} {word}\n");
        }
    }
    for setting in settings {
        text += &format!("  {}\n", setting_words(setting));
    }
    text
}

fn setting_words(Setting { what, from, to }: &Setting) -> String {
    match (*what, to.as_str()) {
        ("monitor", "on") => "enforce -> monitor: verdicts are counted, nothing is dropped".to_owned(),
        ("monitor", _) => "monitor -> enforce: everything that is not allowed is dropped".to_owned(),
        _ => format!("{what} {from} -> {to}"),
    }
}
