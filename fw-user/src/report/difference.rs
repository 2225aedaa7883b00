//! The changes of an interface, one per line: `+` opens, `-` closes.

use crate::config::difference::{Difference, Setting};

/// The lines of a difference.
#[must_use]
pub(crate) fn lines(difference: &Difference) -> Vec<String> {
    let Difference { opened, closed, opened_proto, closed_proto, settings } = difference;
    let rules = [("+", opened), ("-", closed)];
    let rules = rules.into_iter().flat_map(|(sign, rules)| rules.iter().map(move |rule| format!("{sign} {rule}")));
    let protocols = [("+", opened_proto), ("-", closed_proto)];
    let protocols =
        protocols.into_iter().flat_map(|(sign, words)| words.iter().map(move |word| format!("{sign} {word}")));
    rules.chain(protocols).chain(settings.iter().map(setting_words)).collect()
}

/// The lines, below that of the interface.
#[must_use]
pub(crate) fn text(difference: &Difference) -> String {
    lines(difference).iter().fold(String::new(), |text, line| text + &format!("  {line}\n"))
}

fn setting_words(Setting { what, from, to }: &Setting) -> String {
    match (*what, to.as_str()) {
        ("monitor", "on") => "enforce -> monitor: verdicts are counted, nothing is dropped".to_owned(),
        ("monitor", _) => "monitor -> enforce: everything that is not allowed is dropped".to_owned(),
        _ => format!("{what} {from} -> {to}"),
    }
}
