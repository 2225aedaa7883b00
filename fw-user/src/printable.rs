//! Names that others gave, as a terminal can be shown them.

/// A name without what a terminal would obey instead of showing it: a process calls itself what it wants, also "up one line" or "from here on
/// right to left".
pub(crate) fn printable(name: &str) -> String {
    name.chars().map(|character| if is_obeyed(character) { '?' } else { character }).collect()
}

/// Control characters, and the ones of Unicode that end lines, turn the direction of what follows, or take no room.
fn is_obeyed(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn what_shows_stays_and_what_moves_or_hides_does_not() {
        for (name, shown) in [
            ("container web-1", "container web-1"),
            ("caf\u{e9} \u{1f600}", "caf\u{e9} \u{1f600}"),
            ("ss\u{1b}[2Jhd\n\u{9b}\u{7f}", "ss?[2Jhd???"),
            ("\u{202e}dhss\u{2066}", "?dhss?"),
            ("ssh\u{200b}d\u{feff}\u{2028}", "ssh?d??"),
        ] {
            assert_eq!(printable(name), shown);
        }
    }
}
