//! Every `unsafe` is a conscious act: how many there are in which file is committed, macros and attributes included.
//!
//! That each block says why it is sound is clippy's to check.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result, bail};
use proc_macro2::{TokenStream, TokenTree};

use xtask::workspace;

/// Where there is code.
const FOLDERS: [&str; 5] = ["fw-common", "fw-ebpf", "fw-user", "tests", "xtask"];
/// What is committed: a number and a file a line.
const COMMITTED: &str = include_str!("unsafe.txt");

/// Compare what there is with what is committed.
pub(super) fn check() -> Result<()> {
    let mut found = BTreeMap::new();
    for folder in FOLDERS {
        count_in(&workspace::root().join(folder), &mut found)?;
    }
    let committed = COMMITTED.lines().map(entry).collect::<Result<BTreeMap<_, _>>>()?;
    if found == committed {
        println!("lint: {} `unsafe` in {} files, as committed", found.values().sum::<usize>(), found.len());
        return Ok(());
    }
    let mut difference = String::new();
    for file in found.keys().chain(committed.keys().filter(|file| !found.contains_key(*file))) {
        let [now, then] = [&found, &committed].map(|counts| counts.get(file).copied().unwrap_or(0));
        if now != then {
            writeln!(difference, "  {file}: {now}, committed: {then}")?;
        }
    }
    bail!(
        "the number of `unsafe` in a file has changed:\n{difference}\
         If there is no other way, write the new number into xtask/src/lint/unsafe.txt."
    )
}

fn entry(line: &str) -> Result<(String, usize)> {
    let (count, file) = line.split_once(' ').with_context(|| format!("unsafe.txt says {line:?}"))?;
    Ok((file.to_owned(), count.parse().with_context(|| format!("unsafe.txt says {line:?}"))?))
}

/// Count in every source file under a folder.
fn count_in(folder: &Path, found: &mut BTreeMap<String, usize>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            count_in(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let count = count(&text).with_context(|| format!("reading {}", path.display()))?;
            if count > 0 {
                found.insert(workspace::shown(&path), count);
            }
        }
    }
    Ok(())
}

/// How often a source text says `unsafe`: as a word of the language, not in comments or strings.
fn count(text: &str) -> Result<usize> {
    fn in_tokens(tokens: TokenStream) -> usize {
        let tokens = tokens.into_iter().map(|token| match token {
            TokenTree::Group(group) => in_tokens(group.stream()),
            TokenTree::Ident(word) => usize::from(word == "unsafe"),
            TokenTree::Punct(_) | TokenTree::Literal(_) => 0,
        });
        tokens.sum()
    }
    let tokens = text.parse().map_err(|error| anyhow::anyhow!("invalid Rust: {error}"))?;
    Ok(in_tokens(tokens))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_committed_is_what_there_is() {
        check().expect("the numbers of xtask/src/lint/unsafe.txt");
    }

    #[test]
    fn blocks_functions_traits_attributes_and_macros_count() {
        let text = "#[unsafe(no_mangle)] unsafe fn f() { unsafe { g() } } unsafe impl T for U {} m! { unsafe { h() } }";
        assert_eq!(count(text).expect("Rust"), 5);
    }

    #[test]
    fn comments_strings_and_longer_words_do_not_count() {
        let text = "// unsafe\n/// unsafe\n/* unsafe */ #![deny(unsafe_code)] const A: &str = \"unsafe\"; const B: &str = r#\"unsafe\"#;";
        assert_eq!(count(text).expect("Rust"), 0);
    }
}
