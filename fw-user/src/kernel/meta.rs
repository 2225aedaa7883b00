//! The record beside the maps: who attached the filter, and when.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use aya::maps::{Array, Map};
use fw_common::abi::{ABI_VERSION, Meta, map};
use nix::unistd::Uid;
use serde::Serialize;

use crate::{
    error::{Error, HostError, KernelError, Result},
    host::interface::Interface,
    kernel::{pins::Pins, plain::Plain, shape},
};

/// Where the ingress program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// In the driver.
    Native,
    /// In the network stack, before its first step.
    Generic,
    /// At TC ingress, behind GRO.
    Tc,
}

impl Mode {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Tc => "tc",
        }
    }
}

/// The hook that tracks outbound packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Egress {
    /// Nothing: `--no-replies`.
    None,
    /// A TCX link.
    Tcx,
    /// A filter of the clsact qdisc.
    Clsact {
        /// Whether the qdisc is ours to remove.
        own_qdisc: bool,
    },
}

/// The user who attached the filter, and the time.
#[derive(Clone, Debug)]
pub struct AttachmentRecord {
    /// The interface's name, under which the record was found.
    pub interface: String,
    /// The interface's index when it was attached.
    pub ifindex: u32,
    /// Inode of the network namespace that the interface is in.
    pub netns: u64,
    /// When it was first attached.
    pub since: SystemTime,
    /// The user behind it.
    pub uid: u32,
    /// The ingress program's mode.
    pub mode: Mode,
    /// The hook that tracks replies.
    pub egress: Egress,
    /// The version that attached last.
    pub version: String,
}

impl AttachmentRecord {
    /// The version of this `fw-user`.
    pub const VERSION: &str = env!("CARGO_PKG_VERSION");

    /// The record of a new attachment by this process.
    pub fn now(interface: &Interface, mode: Mode, egress: Egress) -> Result<Self> {
        // sudo names the user behind it.
        let uid = std::env::var("SUDO_UID").ok().and_then(|uid| uid.parse().ok());
        Ok(Self {
            interface: interface.name.clone(),
            ifindex: interface.index,
            netns: network_namespace()?,
            since: SystemTime::now(),
            uid: uid.unwrap_or_else(|| Uid::current().as_raw()),
            mode,
            egress,
            version: Self::VERSION.to_owned(),
        })
    }

    /// Write the record into its map.
    pub fn write(&self, meta: &mut Map) -> Result<()> {
        let failed = |error: aya::maps::MapError| Error::refused("writing the attachment's record", error);
        let mut version = [0; 24];
        version.iter_mut().zip(self.version.bytes()).for_each(|(to, from)| *to = from);
        let value = Meta {
            abi: ABI_VERSION,
            ifindex: self.ifindex,
            netns: self.netns,
            attached_at: self.since.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            uid: self.uid,
            mode: match self.mode {
                Mode::Native => Meta::MODE_NATIVE,
                Mode::Generic => Meta::MODE_GENERIC,
                Mode::Tc => Meta::MODE_TC,
            },
            egress: match self.egress {
                Egress::None => Meta::EGRESS_NONE,
                Egress::Tcx => Meta::EGRESS_TCX,
                Egress::Clsact { own_qdisc: false } => Meta::EGRESS_CLSACT,
                Egress::Clsact { own_qdisc: true } => Meta::EGRESS_OWN_CLSACT,
            },
            padding: [0; 2],
            version,
        };
        let mut array: Array<_, Plain<Meta>> = Array::try_from(meta).map_err(failed)?;
        array.set(0, Plain(value), 0).map_err(failed)
    }

    /// Read the record of an attached interface.
    pub fn read(pins: &Pins, interface: &str) -> Result<Self> {
        let path = pins.map(interface, map::META);
        let bad = |error: aya::maps::MapError| {
            Error::Kernel(KernelError::BadPin { path: path.clone(), source: error.into() })
        };
        let data = shape::open(pins, interface, map::META)?;
        let array: Array<_, Plain<Meta>> = Array::try_from(Map::Array(data)).map_err(bad)?;
        let Plain(meta) = array.get(&0, 0).map_err(bad)?;
        if meta.abi == 0 {
            let source = "it holds no record: the command that attached was killed".into();
            return Err(Error::Kernel(KernelError::BadPin { path, source }));
        }
        Ok(Self {
            interface: interface.to_owned(),
            ifindex: meta.ifindex,
            netns: meta.netns,
            since: UNIX_EPOCH + std::time::Duration::from_secs(meta.attached_at),
            uid: meta.uid,
            mode: match meta.mode {
                Meta::MODE_NATIVE => Mode::Native,
                Meta::MODE_TC => Mode::Tc,
                _ => Mode::Generic,
            },
            egress: match meta.egress {
                Meta::EGRESS_TCX => Egress::Tcx,
                Meta::EGRESS_CLSACT => Egress::Clsact { own_qdisc: false },
                Meta::EGRESS_OWN_CLSACT => Egress::Clsact { own_qdisc: true },
                _ => Egress::None,
            },
            version: String::from_utf8_lossy(&meta.version).trim_end_matches('\0').to_owned(),
        })
    }
}

/// The inode of this process' network namespace.
pub fn network_namespace() -> Result<u64> {
    let path = Path::new("/proc/self/ns/net");
    fs::metadata(path)
        .map(|facts| facts.ino())
        .map_err(|source| Error::Host(HostError::File { what: "asking for", path: path.to_owned(), source }))
}
