//! Files that import each other: whoever reads one has to read all of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use syn::{
    ItemMod, ItemUse, UseTree,
    visit::{self, Visit},
};

/// The sources that are looked at.
const SOURCES: [&str; 6] = ["fw-common/src", "fw-ebpf/src", "fw-user/src", "tests/src", "xtask/src", "xtask/lab/src"];

/// A module's name: the segments of its path below the crate.
type Module = Vec<String>;

pub(super) fn check(root: &Path) -> Result<()> {
    let mut found = Vec::new();
    for source in SOURCES {
        let folder = root.join(source);
        let mut files = BTreeMap::new();
        collect(&folder, &[], &mut files)?;
        let imports: BTreeMap<&Module, BTreeSet<Module>> =
            files.iter().map(|(module, path)| Ok((module, imports(module, path, &files)?))).collect::<Result<_>>()?;
        for circle in circles(&imports) {
            let names: Vec<String> = circle.iter().map(|module| module.join("::")).collect();
            found.push(format!("{source}: {}", names.join(", ")));
        }
    }
    ensure!(
        found.is_empty(),
        "files that import each other; move what they share into a file of its own:\n{}",
        found.join("\n")
    );
    Ok(())
}

/// The modules below a folder, each with its file.
fn collect(folder: &Path, above: &[String], files: &mut BTreeMap<Module, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let below = [above, std::slice::from_ref(&name)].concat();
        if path.is_dir() {
            collect(&path, &below, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let is_folders_own = ["mod", "lib", "main"].contains(&name.as_str());
            files.insert(if is_folders_own { above.to_vec() } else { below }, path);
        }
    }
    Ok(())
}

/// The other modules that a file takes something from.
fn imports(module: &Module, path: &Path, files: &BTreeMap<Module, PathBuf>) -> Result<BTreeSet<Module>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let file = syn::parse_file(&text).with_context(|| format!("cannot parse {}", path.display()))?;
    let mut reader = Reader { place: module.clone(), files, found: BTreeSet::new() };
    reader.visit_file(&file);
    reader.found.remove(module);
    Ok(reader.found)
}

struct Reader<'a> {
    /// The module that the text belongs to.
    place: Module,
    files: &'a BTreeMap<Module, PathBuf>,
    found: BTreeSet<Module>,
}

impl Reader<'_> {
    /// Note the file that a path leads to.
    fn note(&mut self, path: &[String]) {
        let (mut module, mut rest) = match path.first().map(String::as_str) {
            Some("crate") => (Vec::new(), &path[1..]),
            Some("self") => (self.place.clone(), &path[1..]),
            Some("super") => (self.place.clone(), path),
            // A child, by its name alone.
            Some(name) if self.files.contains_key(&[&self.place[..], &[name.to_owned()]].concat()) => {
                (self.place.clone(), path)
            }
            _ => return,
        };
        while rest.first().is_some_and(|segment| segment == "super") {
            module.pop();
            rest = &rest[1..];
        }
        for segment in rest {
            let below = [&module[..], std::slice::from_ref(segment)].concat();
            if !self.files.contains_key(&below) {
                break;
            }
            module = below;
        }
        self.found.insert(module);
    }

    fn note_tree(&mut self, before: &[String], tree: &UseTree) {
        match tree {
            UseTree::Path(path) => self.note_tree(&[before, &[path.ident.to_string()]].concat(), &path.tree),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.note_tree(before, tree)),
            UseTree::Name(name) => self.note(&[before, &[name.ident.to_string()]].concat()),
            UseTree::Rename(rename) => self.note(&[before, &[rename.ident.to_string()]].concat()),
            UseTree::Glob(_) => self.note(before),
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.note_tree(&[], &item.tree);
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.place.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.place.pop();
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if segments.len() > 1 {
            self.note(&segments);
        }
        visit::visit_path(self, path);
    }
}

/// The groups of modules that lead to each other.
fn circles(imports: &BTreeMap<&Module, BTreeSet<Module>>) -> BTreeSet<BTreeSet<Module>> {
    let reached: BTreeMap<&Module, BTreeSet<&Module>> =
        imports.keys().map(|module| (*module, reached_from(module, imports))).collect();
    let circle = |module: &Module| -> BTreeSet<Module> {
        let back = reached[module].iter().filter(|other| reached[**other].contains(module));
        back.map(|other| (*other).clone()).collect()
    };
    imports.keys().map(|module| circle(module)).filter(|circle| circle.len() > 1).collect()
}

fn reached_from<'a>(module: &Module, imports: &'a BTreeMap<&Module, BTreeSet<Module>>) -> BTreeSet<&'a Module> {
    let mut found = BTreeSet::new();
    let mut next: Vec<&Module> = imports[module].iter().collect();
    while let Some(module) = next.pop() {
        if imports.contains_key(module) && found.insert(module) {
            next.extend(&imports[module]);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(files: &[(&str, &str)]) -> Result<()> {
        let root = tempfile::tempdir()?;
        for source in SOURCES {
            fs::create_dir_all(root.path().join(source))?;
        }
        for (name, text) in files {
            let path = root.path().join("fw-user/src").join(name);
            fs::create_dir_all(path.parent().context("a folder")?)?;
            fs::write(path, text)?;
        }
        check(root.path())
    }

    #[test]
    fn circles_are_found_however_they_are_written() {
        for (files, is_circle) in [
            (&[("a.rs", "use crate::b::X;"), ("b.rs", "pub struct X;")][..], false),
            (&[("a.rs", "use crate::b::X;"), ("b.rs", "use crate::a;")], true),
            (&[("a.rs", "use crate::{b::X};"), ("b.rs", "fn f() { crate::a::g() }")], true),
            (&[("a/mod.rs", "mod b;"), ("a/b.rs", "use super::X;")], false),
            (&[("a/mod.rs", "mod b; fn f() { b::g() }"), ("a/b.rs", "use super::X;")], true),
            (&[("a.rs", "use crate::b;"), ("b.rs", "use crate::c;"), ("c.rs", "use crate::a;")], true),
            (&[("a.rs", "use crate::b;\nmod tests { use super::*; }"), ("b.rs", "")], false),
        ] {
            assert_eq!(checked(files).is_err(), is_circle, "{files:?}");
        }
    }
}
