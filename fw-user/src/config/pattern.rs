//! Patterns of interface names: `*` stands for any characters, `?` for one.

/// The characters that make a word a pattern.
const WILD: [char; 2] = ['*', '?'];
/// The characters that would make it one in other programs.
const FOREIGN: [char; 5] = ['[', ']', '{', '}', '!'];

/// Whether a word is a pattern, or looks like one.
#[must_use]
pub(crate) fn is_pattern(word: &str) -> bool {
    word.contains(WILD) || word.contains(FOREIGN)
}

/// Refuse a pattern that matches no name; the message says what to write.
pub(crate) fn check(word: &str) -> Result<(), String> {
    if word.contains(FOREIGN) {
        return Err(format!(
            "`{word}` is not a pattern; * stands for any characters and ? for one: write for example \"et*\""
        ));
    }
    if word.contains(|c: char| matches!(c, '/' | ':') || c.is_whitespace()) {
        return Err(format!("`{word}` has a character that no interface's name has; write for example \"et*\""));
    }
    if word.replace('*', "").len() >= libc::IFNAMSIZ {
        return Err(format!("`{word}` matches no name, since those have up to 15 bytes; shorten it"));
    }
    Ok(())
}

/// Whether a pattern matches a name, or every name that another pattern matches. A word without wildcards matches itself.
#[must_use]
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    // A wildcard in the name needs a wildcard that covers at least as much.
    let meets = |wide: char, narrow: char| wide == narrow || (wide == '?' && narrow != '*');
    walk(pattern, name, meets, false)
}

/// Whether there may be a name that both patterns match.
#[must_use]
pub(crate) fn overlap(one: &str, other: &str) -> bool {
    walk(one, other, |a, b| a == b || a == '?' || b == '?', true)
}

/// Whether two words match character by character. `*` in the first word, and with `takes_both` in the other, matches any number of characters.
fn walk(one: &str, other: &str, meets: impl Fn(char, char) -> bool, takes_both: bool) -> bool {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    // Whether the rest of the first word matches the rest of the other, by the length of that rest.
    let mut rest = vec![false; other.len() + 1];
    for at in (0..=one.len()).rev() {
        let below = rest.clone();
        for there in (0..=other.len()).rev() {
            let is_star = one.get(at) == Some(&'*');
            let is_other_star = takes_both && other.get(there) == Some(&'*');
            let after = there < other.len() && rest[there + 1];
            rest[there] = match (one.get(at), other.get(there)) {
                (None, None) => true,
                (Some(_), _) if is_star => below[there] || after,
                (_, Some(_)) if is_other_star => after || (at < one.len() && below[there]),
                (Some(&a), Some(&b)) => meets(a, b) && below[there + 1],
                _ => false,
            };
        }
    }
    rest[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters_and_a_question_mark_for_one() {
        for (pattern, name, expected) in [
            ("*", "eth0", true),
            ("et*", "eth0", true),
            ("et*", "et", true),
            ("et*", "wlan0", false),
            ("*0", "wlan0", true),
            ("*0", "wlan1", false),
            ("e*0*", "enp0s3", true),
            ("eth?", "eth0", true),
            ("eth?", "eth", false),
            ("eth?", "eth10", false),
            ("**", "eth0", true),
            ("eth0", "eth0", true),
            ("eth0", "eth01", false),
            // Of patterns.
            ("*", "et*", true),
            ("et*", "eth*", true),
            ("eth*", "et*", false),
            ("eth?", "eth*", false),
            ("eth*", "eth?", true),
            ("e?h*", "eth*", true),
            ("?th", "?th", true),
            ("eth", "et?", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn patterns_overlap_where_both_match_some_name() {
        for (one, other, expected) in [
            ("*", "et*", true),
            ("et*", "wl*", false),
            ("et*", "*0", true),
            ("e*h", "*0", false),
            ("eth?", "eth0", true),
            ("eth?", "eth", false),
            ("a*b", "a?b", true),
            ("a*", "*b", true),
            ("*a*", "b?", true),
            ("b?", "*", true),
            ("", "*", true),
            ("", "?", false),
        ] {
            assert_eq!(overlap(one, other), expected, "{one} {other}");
            assert_eq!(overlap(other, one), expected, "{other} {one}");
        }
    }

    /// The time is at most the product of the lengths.
    #[test]
    fn a_pattern_made_to_take_long_does_not() {
        let pattern = "*a".repeat(2_000);
        assert!(!matches(&pattern, &"a".repeat(1_999)));
        assert!(overlap(&pattern, &"a*".repeat(2_000)));
    }
}
