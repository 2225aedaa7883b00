//! Text from others, made safe for a terminal.

/// A name without control characters that a terminal would obey: a process may have any name, even "up one line" or "from here on right to left".
pub(crate) fn printable(name: &str) -> String {
    name.chars().map(|character| if is_obeyed(character) { '?' } else { character }).collect()
}

/// The same for lines of text: line ends and tabs stay.
pub(crate) fn printable_text(text: &str) -> String {
    let is_layout = |character| matches!(character, '\n' | '\t');
    text.chars().map(|character| if is_obeyed(character) && !is_layout(character) { '?' } else { character }).collect()
}

/// The same for JSON, in which every character has an escape that means it.
pub(crate) fn printable_json(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if is_obeyed(character) {
            text.extend(character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            text.push(character);
        }
    }
    text
}

/// Control characters, and those of Unicode that end lines, change the direction of the text, or have no width.
fn is_obeyed(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use super::{printable, printable_json, printable_text};

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

    #[test]
    fn lines_stay_lines_and_are_shown() {
        assert_eq!(printable_text("one\ttwo\n\u{1b}[31mthree\r\n"), "one\ttwo\n?[31mthree?\n");
    }

    #[test]
    fn json_says_the_same_and_is_shown() {
        let said = serde_json::json!({"a\u{9b}b": ["\u{1b}[2J\n\u{202e}", "caf\u{e9}"]});
        let json = printable_json(&said.to_string());
        assert!(!json.contains(super::is_obeyed), "{json:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).expect("it is JSON"), said);
    }
}
