//! The object at a path of our folder: a map, a link, a program, or something that no version of `fw-user` created.
//!
//! The kernel opens whatever is pinned under a name, and follows symbolic links on the way; aya does not check its type. So this module checks it
//! first, in the file system and in /proc/self/fdinfo, which describes every kind of object.

use std::{
    collections::HashMap,
    fs, io,
    os::{
        fd::{AsFd, AsRawFd},
        unix::fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, KernelError, Result},
    kernel::{bpffs::is_bpffs, sys, trust},
};

/// The object at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pinned {
    /// Nothing.
    Nothing,
    /// A map.
    Map(MapFacts),
    /// A link, the attachment of a program.
    Link(LinkFacts),
    /// A program, by ID.
    Program(u32),
    /// Something else that fw-user did not create, in words.
    Stranger(&'static str),
}

/// A pinned map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapFacts {
    /// `enum bpf_map_type`.
    pub kind: u32,
    /// Bytes of a key.
    pub key: usize,
    /// Bytes of a value.
    pub value: usize,
    /// Its capacity.
    pub entries: u32,
    /// Bytes that the kernel charges for it.
    pub memory: u64,
}

/// A pinned link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkFacts {
    /// `xdp`, `tcx` or another.
    pub kind: String,
    /// The program's ID.
    pub program: u32,
    /// The program's tag, which programs of the same instructions share.
    pub tag: u64,
    /// The interface's index in its network namespace; 0 if the interface is gone, or the program was detached.
    pub ifindex: u32,
}

impl Pinned {
    /// Its description.
    #[must_use]
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Nothing => "nothing".to_owned(),
            Self::Map(_) => "a map".to_owned(),
            Self::Link(link) => format!("a link of type {}", link.kind),
            Self::Program(_) => "a program".to_owned(),
            Self::Stranger(what) => (*what).to_owned(),
        }
    }

    /// The link, if it is a link of this kind.
    #[must_use]
    pub(crate) fn link(self, kind: &str) -> Option<LinkFacts> {
        match self {
            Self::Link(link) if link.kind == kind => Some(link),
            _ => None,
        }
    }

    /// The map, if it is a map.
    #[must_use]
    pub(crate) fn map(self) -> Option<MapFacts> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }
}

/// Examine one of our paths. A pin is foreign if another user created it, or could have.
pub(crate) fn look(path: &Path) -> Result<Pinned> {
    let is_anothers = fs::symlink_metadata(path).is_ok_and(|facts| !trust::is_roots(&facts));
    if is_anothers || trust::why_not(path.parent().unwrap_or(path))?.is_some() {
        return Ok(Pinned::Stranger("another user's"));
    }
    look_at_any(path)
}

/// Examine a path, whoever created the object.
pub(crate) fn look_at_any(path: &Path) -> Result<Pinned> {
    let bad = |source: io::Error| Error::Kernel(KernelError::BadPin { path: path.to_owned(), source: source.into() });
    let facts = match fs::symlink_metadata(path) {
        Ok(facts) => facts,
        // A file may be in the place of its folder.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Pinned::Nothing);
        }
        Err(error) => return Err(bad(error)),
    };
    if facts.is_symlink() {
        return Ok(Pinned::Stranger("a symbolic link"));
    } else if facts.is_dir() {
        return Ok(Pinned::Stranger("a folder"));
    }
    let pin = match sys::open_pin(path) {
        Ok(pin) => pin,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Pinned::Nothing),
        Err(_) if !is_bpffs(path) => return Ok(Pinned::Stranger("an ordinary file")),
        Err(error) => return Err(bad(error)),
    };
    self::facts(&pin).map_err(bad)
}

/// The kernel's data about an open object.
pub(crate) fn facts(object: impl AsFd) -> io::Result<Pinned> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", object.as_fd().as_raw_fd()))?;
    let fields: HashMap<&str, &str> =
        text.lines().filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.trim())).collect();
    let number = |name: &str| fields.get(name).and_then(|value| value.parse().ok());
    let size = |name| number(name).map_or(0, |size: u32| size as usize);
    Ok(if let Some(kind) = number("map_type") {
        Pinned::Map(MapFacts {
            kind,
            key: size("key_size"),
            value: size("value_size"),
            entries: number("max_entries").unwrap_or_default(),
            memory: fields.get("memlock").and_then(|value| value.parse().ok()).unwrap_or_default(),
        })
    } else if let Some(kind) = fields.get("link_type") {
        Pinned::Link(LinkFacts {
            kind: (*kind).to_owned(),
            program: number("prog_id").unwrap_or_default(),
            tag: fields.get("prog_tag").and_then(|tag| u64::from_str_radix(tag, 16).ok()).unwrap_or_default(),
            ifindex: number("ifindex").unwrap_or_default(),
        })
    } else {
        Pinned::Program(number("prog_id").unwrap_or_default())
    })
}

/// A number that differs for each object pinned at a path, and stays the same when the pin is renamed.
pub(crate) fn inode(pin: &Path) -> Option<u64> {
    fs::metadata(pin).ok().map(|facts| facts.ino())
}

/// The memory that the kernel charges for pinned maps, in bytes.
#[must_use]
pub(crate) fn memory(paths: impl IntoIterator<Item = PathBuf>) -> u64 {
    paths.into_iter().filter_map(|path| Some(look(&path).ok()?.map()?.memory)).sum()
}
