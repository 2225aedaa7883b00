//! Strips a linked object: debug information is removed, BTF stays.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use object::{
    Object as _, ObjectSection as _,
    build::elf::{Builder, SectionData},
    elf::SHT_STRTAB,
    read::elf::ElfFile64,
};

/// The object without DWARF, which nothing reads, and with BTF, which the kernel does. The relocations of BTF are for linkers: its offsets are
/// right as they stand, and loaders read no others.
pub(super) fn without_dwarf(linked: &[u8]) -> Result<Vec<u8>> {
    let mut builder = Builder::read(linked).context("not an ELF object")?;
    for section in &mut builder.sections {
        let name = String::from_utf8_lossy(&section.name);
        section.delete = name.starts_with(".debug_") || name.starts_with(".rel.debug_") || name.starts_with(".rel.BTF");
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
    fn the_committed_object_has_btf_and_no_dwarf() {
        let names: BTreeSet<_> = sections(&committed()).expect("ELF").into_iter().map(|(name, _)| name).collect();
        assert!(names.contains(".BTF") && names.contains(".BTF.ext"), "{names:?}");
        assert!(!names.iter().any(|name| name.contains(".debug_")), "{names:?}");
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
