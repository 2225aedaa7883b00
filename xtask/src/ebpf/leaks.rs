//! Checks that published files reveal nothing about the machine they were built on.

use anyhow::{Result, bail};

use super::remap::Folders;
use crate::workspace;

/// The folders of users' and machines' own files, wherever it was built.
pub const MACHINE_PATHS: [&str; 6] = ["/root/", "/home/", "/Users/", "/tmp/", "/usr/", "/var/"];

/// Refuse an object that contains a path of this machine, the name of a registry's host, or one of `paths`.
pub fn refuse(object: &[u8], folders: &Folders, paths: &[&str]) -> Result<()> {
    // Named here once more, so that a folder which the compiler was not told about is found too.
    let tree = workspace::root().display().to_string();
    let found = find(object, paths.iter().map(|&path| path.to_owned()).chain([tree]).chain(folders.traces()));
    if let Some((trace, around)) = found {
        bail!("the object contains {trace:?} (in {around:?}): a path or host of this machine must not be published");
    }
    Ok(())
}

/// The first of `traces` that is in the object, and the text that it is part of.
fn find(object: &[u8], traces: impl Iterator<Item = String>) -> Option<(String, String)> {
    for trace in traces {
        let hit = object.windows(trace.len()).position(|window| window == trace.as_bytes());
        if let Some(at) = hit {
            return Some((trace, text_around(object, at)));
        }
    }
    None
}

fn text_around(object: &[u8], at: usize) -> String {
    let printable = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    let before = object[..at].iter().rev().take(80).take_while(|byte| printable(byte)).count();
    let after = object[at..].iter().take(80).take_while(|byte| printable(byte)).count();
    String::from_utf8_lossy(&object[at - before..at + after]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace_in(object: &[u8]) -> Option<(String, String)> {
        find(object, ["/root/", "registry.example"].into_iter().map(String::from))
    }

    #[test]
    fn a_path_of_a_machine_is_found_with_the_text_around_it() {
        let found = trace_in(b"\0\x01fw/src/main.rs\0/x/root/cargo/lib.rs\0\xff");
        assert_eq!(found, Some(("/root/".into(), "/x/root/cargo/lib.rs".into())));
    }

    #[test]
    fn a_host_is_found_at_the_very_end() {
        assert_eq!(trace_in(b"\0registry.example"), Some(("registry.example".into(), "registry.example".into())));
    }

    #[test]
    fn neutral_names_are_no_trace() {
        assert_eq!(trace_in(b"fw/src/main.rs\0registry/aya/src/lib.rs\0rust/core/src/lib.rs\0/roo"), None);
    }
}
