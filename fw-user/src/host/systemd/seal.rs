//! The checksum in the last line of a file, which shows whether somebody edited it since the program wrote it.

use std::fmt::Write as _;

/// The start of the last line, a comment in units and udev rules.
const MARK: &str = "# Written by the program, checksum ";

/// The text, followed by its checksum.
#[must_use]
pub(crate) fn seal(mut text: String) -> String {
    let sum = checksum(&text);
    // Writing to a string cannot fail.
    let _infallible = writeln!(text, "{MARK}{sum:016x}");
    text
}

/// Whether some version of the program wrote exactly this text.
#[must_use]
pub(crate) fn is_intact(text: &str) -> bool {
    text.rfind(MARK).is_some_and(|at| seal(text[..at].to_owned()) == text)
}

/// FNV-1a, 64 bits: it finds edits, not forgeries. Whoever can forge it can write the file.
fn checksum(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_edit_is_noticed_and_nothing_else() {
        let sealed = seal("[Unit]\nAfter=local-fs.target\n".to_owned());
        assert!(is_intact(&sealed));
        assert!(!is_intact(&sealed.replace("local-fs", "remote-fs")));
        assert!(!is_intact(&format!("{sealed}\n[Service]\n")));
        assert!(!is_intact("[Unit]\n"));
        assert!(!is_intact(""));
    }
}
