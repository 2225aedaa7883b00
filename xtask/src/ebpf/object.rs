//! Strips a linked object: debug information and line numbers are removed, the other BTF stays.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use object::{
    Object as _, ObjectSection as _,
    build::elf::{Builder, SectionData},
    elf::SHT_STRTAB,
    read::elf::ElfFile64,
};

/// The object without DWARF and line numbers, and with the BTF of its functions, which old kernels want. The relocations of BTF are for linkers:
/// its offsets are right as they stand, and loaders read no others.
pub(super) fn stripped(linked: &[u8]) -> Result<Vec<u8>> {
    let mut builder = Builder::read(linked).context("not an ELF object")?;
    for section in &mut builder.sections {
        let name = String::from_utf8_lossy(&section.name);
        section.delete = name.starts_with(".debug_") || name.starts_with(".rel.debug_") || name.starts_with(".rel.BTF");
        if name == ".BTF.ext"
            && let SectionData::Data(data) = &section.data
        {
            section.data = SectionData::Data(without_lines(data)?.into());
        }
    }
    // The linker keeps the names of sections and of symbols in one table; the writer has a table for each.
    let names = builder.sections.add();
    names.name = b".shstrtab"[..].into();
    names.sh_type = SHT_STRTAB;
    names.sh_addralign = 1;
    names.data = SectionData::SectionString;
    let mut stripped = Vec::new();
    builder.write(&mut stripped)?;
    Ok(stripped)
}

/// The bytes of `struct btf_ext_header` (Linux' Documentation/bpf/btf.rst, 4.1): the magic number, version and flags, then eight words, which are its
/// own length and offset and length of three parts.
const EXT_HEADER: usize = 32;
/// The bytes in it where the length of each part stands. Its offset stands in the word before.
const FUNCTIONS_LENGTH: usize = 12;
const LINES_LENGTH: usize = 20;
const RELOCATIONS_LENGTH: usize = 28;

/// `.BTF.ext` without its line numbers. They are 16 bytes for almost every instruction, and serve only the verifier's log.
fn without_lines(ext: &[u8]) -> Result<Vec<u8>> {
    let word = |at: usize| -> Result<usize> {
        let bytes = ext.get(at..at + 4).context("the header of .BTF.ext is cut off")?;
        Ok(usize::try_from(u32::from_le_bytes(bytes.try_into()?))?)
    };
    ensure!(word(4)? == EXT_HEADER, ".BTF.ext has a header of {} bytes, not {EXT_HEADER}", word(4)?);
    ensure!(word(8)? == 0, "the functions are not the first part of .BTF.ext");
    ensure!(word(RELOCATIONS_LENGTH)? == 0, "the program asks for the kernel's types, which not every kernel has");
    let end = word(FUNCTIONS_LENGTH)?;
    let mut kept = ext.get(..EXT_HEADER + end).context("the functions of .BTF.ext are cut off")?.to_vec();
    for length in [LINES_LENGTH, RELOCATIONS_LENGTH] {
        kept[length - 4..length].copy_from_slice(&u32::try_from(end)?.to_le_bytes());
        kept[length..length + 4].fill(0);
    }
    Ok(kept)
}

/// The sections in which two objects differ, in words.
#[must_use]
pub fn difference(old: &[u8], new: &[u8]) -> String {
    match (sections(old), sections(new)) {
        (Some(old), Some(new)) => {
            let names: BTreeSet<_> = old.symmetric_difference(&new).map(|(name, _)| name.as_str()).collect();
            if names.is_empty() {
                "the sections are equal, but their order or the symbols differ".into()
            } else {
                format!("different in {}", names.into_iter().collect::<Vec<_>>().join(", "))
            }
        }
        _ => "the committed file is not an ELF object".into(),
    }
}

fn sections(object: &[u8]) -> Option<BTreeSet<(String, Vec<u8>)>> {
    let file: ElfFile64 = ElfFile64::parse(object).ok()?;
    file.sections().map(|section| Some((section.name().ok()?.into(), section.data().ok()?.into()))).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::workspace;

    fn committed() -> Vec<u8> {
        fs::read(workspace::committed_object()).expect("the object is committed")
    }

    #[test]
    fn the_committed_object_has_btf_but_no_dwarf_and_no_lines() {
        let sections = sections(&committed()).expect("ELF");
        let names: BTreeSet<_> = sections.iter().map(|(name, _)| name).collect();
        assert!(names.contains(&".BTF".to_owned()) && !names.iter().any(|name| name.contains(".debug_")), "{names:?}");
        let (_, ext) = sections.iter().find(|(name, _)| name == ".BTF.ext").expect("functions have BTF");
        assert_eq!(without_lines(ext).expect("a section of BTF"), *ext);
    }

    #[test]
    fn lines_go_and_functions_stay() {
        let ext = |words: [u32; 7], parts: &[u8]| {
            let mut ext = vec![0x9f, 0xeb, 1, 0];
            ext.extend(words.iter().flat_map(|word| word.to_le_bytes()));
            ext.extend(parts);
            ext
        };
        let with_lines = ext([32, 0, 4, 4, 6, 10, 0], b"funcLINES!");
        assert_eq!(without_lines(&with_lines).expect("both parts"), ext([32, 0, 4, 4, 0, 4, 0], b"func"));
        assert!(without_lines(&with_lines[..30]).is_err());
        assert!(without_lines(&ext([32, 0, 40, 4, 6, 10, 0], b"func")).is_err());
        assert!(without_lines(&ext([32, 0, 4, 4, 0, 4, 8], b"funcRELOCATE")).is_err());
    }

    #[test]
    fn a_difference_is_told_by_section() {
        let old = committed();
        let mut new = old.clone();
        let licence = old.windows(12).position(|bytes| bytes == b"Dual MIT/GPL").expect("the kernel wants a licence");
        new[licence] = b'd';
        assert_eq!(difference(&old, &new), "different in license");
        assert_eq!(difference(b"text", &new), "the committed file is not an ELF object");
    }
}
