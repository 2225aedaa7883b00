//! The effect of the next boot on an interface, compared with the settings in force.

use std::path::{Path, PathBuf};

use fw_common::abi::DEFAULT_FLOWS;
use serde::Serialize;

use crate::{
    config::{
        DEFAULT_FOLDER, File, Settings,
        difference::{Difference, Running},
        edits::Edits,
        folder,
    },
    host::{
        class::Sides,
        network::Network,
        processes,
        systemd::boot::{self, Boot},
    },
    report::difference,
};

/// The effect of the next boot on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AtBoot {
    /// A unit applies a file.
    Filtered {
        /// The unit.
        unit: String,
        /// The file.
        file: PathBuf,
        /// The difference between the settings in force and the file; `None` if the maps cannot be read.
        difference: Option<Difference>,
    },
    /// Nothing attaches the filter: every port is open.
    Open {
        /// Why.
        why: String,
        /// The command to type.
        fix: String,
    },
    /// Unknown.
    Unknown {
        /// Why.
        why: String,
    },
    /// The interface is missing. What becomes of it once it is present.
    Absent(Box<AtBoot>),
}

/// The same in JSON.
#[derive(Debug, Serialize)]
pub(crate) struct AtBootJson {
    state: &'static str,
    unit: Option<String>,
    file: Option<PathBuf>,
    why: Option<String>,
    fix: Option<String>,
    #[serde(flatten)]
    difference: Option<Difference>,
}

/// The configuration files that the boot service reads, read once for several interfaces.
pub(crate) struct BootFiles {
    files: Result<Vec<File>, String>,
    sides: Sides,
}

impl BootFiles {
    /// Read them. If they cannot be read, that becomes the answer for each interface that needs them.
    pub(crate) fn read(network: &Network) -> Self {
        let files = folder::read(Path::new(DEFAULT_FOLDER)).map_err(|error| error.to_string());
        Self { files, sides: Sides::of(network) }
    }

    /// The effect of the next boot on an interface with these settings in force.
    pub(crate) fn at_boot(&self, name: &str, running: Option<&Running>) -> AtBoot {
        if self.sides.has(name) {
            self.of_present(name, running)
        } else {
            // Its pins remain, but no filter is in force.
            AtBoot::Absent(Box::new(self.of_present(name, None)))
        }
    }

    fn of_present(&self, name: &str, running: Option<&Running>) -> AtBoot {
        let unit = match boot::of(name) {
            Boot::Unit(unit) => unit,
            Boot::Unseen(why) => return AtBoot::Unknown { why },
            Boot::Nothing { why, fix } => {
                if let Some(pid) = processes::siblings("run").first() {
                    let why = format!(
                        "fw-user run (process {pid}) keeps the filter; its own unit decides whether it starts at boot"
                    );
                    return AtBoot::Unknown { why };
                }
                return AtBoot::Open { why, fix: fix.unwrap_or_else(|| format!("fw-user enable {name}")) };
            }
        };
        let open = |why: String, fix: &str| AtBoot::Open { why: format!("{unit} fails: {why}"), fix: fix.to_owned() };
        let files = match &self.files {
            Ok(files) => files,
            Err(why) => return open(why.clone(), "fw-user doctor"),
        };
        match Edits::new(Path::new(DEFAULT_FOLDER), files, &self.sides).file(name) {
            Ok(Some((file, settings))) => AtBoot::Filtered {
                difference: running.map(|running| {
                    // All interfaces share the tables, so their size in one file is enough.
                    let flows = files.iter().find_map(|file| Some(*file.flows.as_ref()?.get_ref()));
                    let settings = Settings { flows: flows.or(Some(DEFAULT_FLOWS)), ..settings.clone() };
                    Difference::new(Some(running), &settings, &running.version)
                }),
                file: file.path.clone(),
                unit,
            },
            Ok(None) => open(format!("no file in {DEFAULT_FOLDER} is for {name}"), &format!("fw-user enable {name}")),
            Err(error) => {
                let text = error.to_string();
                open(text.lines().last().unwrap_or_default().to_owned(), "fw-user check, after an edit of the file")
            }
        }
    }
}

impl AtBoot {
    /// `kept`, `different`, `lost`, `absent` or `unknown`.
    #[must_use]
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Filtered { difference: Some(difference), .. } if !difference.is_empty() => "different",
            Self::Filtered { difference: Some(_), .. } => "kept",
            Self::Open { .. } => "lost",
            Self::Absent(_) => "absent",
            Self::Filtered { difference: None, .. } | Self::Unknown { .. } => "unknown",
        }
    }

    /// In one line: whether the filter returns after a reboot, which unit attaches it, and what to type.
    #[must_use]
    pub(crate) fn words(&self, name: &str) -> String {
        match self {
            Self::Filtered { unit, file, difference } => match difference {
                Some(difference) if difference.is_empty() => {
                    format!("yes, by {unit}: {}, same rules as now", file.display())
                }
                Some(difference) => format!(
                    "yes, by {unit}, but {} differs: {}; fw-user save {name} writes the rules in force",
                    file.display(),
                    difference::lines(difference).join(", ")
                ),
                None => format!("yes, by {unit}: {}", file.display()),
            },
            Self::Open { why, fix } => format!("no: after a reboot every port is open ({why}); {fix}"),
            Self::Unknown { why } => format!("unknown: {why}"),
            Self::Absent(then) => match then.as_ref() {
                Self::Filtered { unit, file, .. } => {
                    format!("not here now; once it is, {unit} applies {}", file.display())
                }
                Self::Open { why, .. } => format!("not here now; once it is, every port is open ({why})"),
                other => format!("not here now; {}", other.words(name)),
            },
        }
    }

    /// In JSON.
    #[must_use]
    pub(crate) fn json(&self) -> AtBootJson {
        let nothing = AtBootJson { state: self.name(), unit: None, file: None, why: None, fix: None, difference: None };
        match self.clone() {
            Self::Filtered { unit, file, difference } => {
                AtBootJson { unit: Some(unit), file: Some(file), difference, ..nothing }
            }
            Self::Open { why, fix } => AtBootJson { why: Some(why), fix: Some(fix), ..nothing },
            Self::Unknown { why } => AtBootJson { why: Some(why), ..nothing },
            Self::Absent(then) => AtBootJson { state: nothing.state, fix: None, ..then.json() },
        }
    }
}
