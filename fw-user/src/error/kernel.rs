//! The filter or the kernel refuses.

use std::{io, path::PathBuf};

use thiserror::Error;

use super::exit_code;

/// The filter or the kernel refuses.
#[derive(Debug, Error)]
pub enum KernelError {
    /// An interface whose packets the filter cannot read.
    #[error(
        "{name} ({kind}) has neither Ethernet nor plain IP packets: the filter would misread them; attach to the interface that carries them"
    )]
    NotFilterable {
        name: String,
        /// Its link layer.
        kind: String,
    },
    /// An interface of `IPsec`.
    #[error(
        "{name} carries packets that IPsec has decrypted, which the filter cannot read there; close its ports with netfilter, and \
         attach to the interface that carries the encrypted packets"
    )]
    OfIpsec { name: String },
    /// Only TC mode works, but it is not available or was not asked for.
    #[error("{name} {}", needs_tc(*is_bare, *lacks))]
    NeedsTc {
        name: String,
        /// Whether its packets have no Ethernet headers.
        is_bare: bool,
        /// Whether the kernel lacks TCX.
        lacks: bool,
    },
    /// Another XDP program is attached.
    #[error(
        "{name} is taken by another XDP program, {program}; remove it with the tool that loaded it, then attach again, or \
         replace it: attach --replace"
    )]
    Taken {
        name: String,
        /// The program's name and ID, as far as the kernel tells.
        program: String,
    },
    /// An XDP program is attached to an interface above this one.
    #[error(
        "{name} cannot be filtered while {} has an XDP program: the kernel allows only one of the two; remove that program first{}",
        above.as_deref().unwrap_or("an interface above it"),
        above.as_ref().map(|above| format!(": fw-user detach {above}")).unwrap_or_default()
    )]
    TakenAbove {
        name: String,
        /// The bridge or bond that it is a port of, if it is one.
        above: Option<String>,
    },
    /// The pins are those of an interface of the same name elsewhere.
    #[error(
        "the pins of {name} belong to a filter on another interface, in another network namespace or under another name; \
         pin this one elsewhere: --bpffs /sys/fs/bpf/here (or remove that filter: fw-user detach {name})"
    )]
    OtherNamespace { name: String },
    /// The interface has a filter that was attached under another name.
    #[error(
        "{name} has its filter already, attached under its former name {former}; detach that first: fw-user detach {former}"
    )]
    Renamed {
        name: String,
        /// Its former name.
        former: String,
    },
    /// No BPF file system.
    #[error(
        "{path} is not on a BPF file system and none could be mounted ({source}); try: mount -t bpf -o mode=700 bpf {path}"
    )]
    NoBpffs {
        /// Where the pins go.
        path: PathBuf,
        /// Why it could not be mounted.
        source: io::Error,
    },
    /// Mounting a BPF file system there would hide what is in the folder.
    #[error(
        "{path} is not on a BPF file system, and none is mounted there, since the folder is not empty; leave out --bpffs, or name an empty \
         folder or one below /sys/fs/bpf"
    )]
    NotForBpffs {
        /// Where the pins were to go.
        path: PathBuf,
    },
    /// Users other than root could remove pins there.
    #[error("{path} is not safe for pins, because other users could remove them: {why}; fix that first: {fix}")]
    Untrusted {
        /// The folder, of those on the way to the pins.
        path: PathBuf,
        /// The problem.
        why: String,
        /// The command to type.
        fix: String,
    },
    /// A BPF file system that is mounted now would end with the mount namespace.
    #[error(
        "{path} is not on a BPF file system, and one mounted here would end with this mount namespace, and the filter with it; instead \
         of `ip netns exec NAME` use nsenter --net=/run/netns/NAME, or mount one first: mount -t bpf -o mode=700 bpf {path}"
    )]
    PrivateMounts {
        /// Where the pins go.
        path: PathBuf,
    },
    /// No filter is attached to the interface.
    #[error("fw is not attached to {name}; `fw-user status` shows where it is")]
    NotAttached { name: String },
    /// The pins exist, but the filter is not active.
    #[error("{name}: {state}; `fw-user status` says what to do")]
    NotFiltering {
        name: String,
        /// The state, in words.
        state: String,
    },
    /// No filter is attached to any interface.
    #[error("fw is not attached to any interface; start with: fw-user attach --all --allow 22")]
    NothingAttached,
    /// Another command holds the lock.
    #[error("another command holds the lock of {path}: {holder}; try again when it is done")]
    Locked {
        /// The folder that is locked.
        path: PathBuf,
        /// The holder of the lock.
        holder: String,
    },
    /// The requested mode differs from the attached one.
    #[error("{name} is attached in {current} mode, which cannot change in place; detach first: fw-user detach {name}")]
    OtherMode {
        name: String,
        /// The attached mode.
        current: &'static str,
    },
    /// A setting was asked for that differs from the attached one and cannot change in place.
    #[error("{name}: {what} is {current}, not {wanted} as asked, and cannot change in place; first: {fix}")]
    NotInPlace {
        name: String,
        /// The difference.
        what: &'static str,
        /// The value in force.
        current: String,
        /// The requested value.
        wanted: String,
        /// The command to type.
        fix: String,
    },
    /// The driver refuses the filter.
    #[error("{name} cannot be filtered in native mode: {why}; leave out --mode, or use --mode tc or --mode generic")]
    NoNativeMode {
        name: String,
        /// Why not.
        why: String,
    },
    /// Outbound packets cannot be tracked.
    #[error(
        "{name}: neither TCX nor clsact can be attached ({source}), so the filter could not recognize replies and all outbound traffic \
         would fail; load the kernel modules sch_ingress and cls_bpf, or accept that loss with --no-replies"
    )]
    NoEgress {
        name: String,
        /// The kernel's words.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another clsact filter has the place that fw-user needs.
    #[error(
        "{name}: a {kind} filter has priority 1 on egress, which fw-user needs, because an earlier filter could hide packets from it; `tc filter show dev {name} egress` shows it: give it another priority, then attach again"
    )]
    EgressTaken {
        name: String,
        /// The kind of filter, by tc's name.
        kind: String,
    },
    /// The kernel is too old.
    #[error("this kernel ({release}) is too old: {what}")]
    KernelTooOld {
        /// The running kernel's release.
        release: String,
        /// The missing feature, and since when kernels have it.
        what: &'static str,
    },
    /// A pinned map differs from what this version expects.
    #[error(
        "the pinned map {path} is not what this version of fw-user expects ({difference}); it was left by another version or another \
         --flows; {fix}"
    )]
    OtherShape {
        /// The pin.
        path: PathBuf,
        /// The difference.
        difference: String,
        /// The command to type.
        fix: String,
    },
    /// A pin in our folder of the BPF file system cannot be used.
    #[error("{path} cannot be used ({source}); `fw-user detach` removes the filter and cleans up, then attach again")]
    BadPin {
        /// The pin.
        path: PathBuf,
        /// The kernel's words.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Our folder contains something that no version of fw-user put there.
    #[error("not created by fw-user, left untouched: {paths}; inspect it, then remove it by hand: rm -r {paths}")]
    NotOurs {
        /// The paths.
        paths: String,
    },
    /// Another version's filter is on the interface.
    #[error(
        "{name} is attached by another version of fw-user (ABI {abi}); `fw-user attach {name} --allow PORTS` replaces it \
         without a gap, `fw-user detach {name}` removes it"
    )]
    OtherAbi {
        name: String,
        /// The other version's ABI.
        abi: u32,
    },
    /// The program on the interface is not the one of this build.
    #[error(
        "the filter of {name} is of another build of fw-user, whose verdicts this version cannot reproduce; `fw-user attach {name} --allow \
         PORTS` replaces it without a gap"
    )]
    OtherBuild { name: String },
    /// The filter on the interface is not active or not complete.
    #[error("{name}: {state}; {fix}")]
    NotAtWork {
        name: String,
        /// The state, in words.
        state: String,
        /// The fix.
        fix: String,
    },
    /// The kernel refused an operation.
    #[error("{what}: {source}")]
    Refused {
        /// The operation and its object.
        what: String,
        /// The kernel's words.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl KernelError {
    /// The exit code of this error.
    #[must_use]
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::Taken { .. } | Self::TakenAbove { .. } | Self::Renamed { .. } => exit_code::TAKEN,
            _ => exit_code::FAILED,
        }
    }
}

const fn needs_tc(is_bare: bool, lacks: bool) -> &'static str {
    match (is_bare, lacks) {
        (true, true) => "has no Ethernet headers, and can be filtered from Linux 6.6 on: TC mode needs its TCX",
        (true, false) => {
            "has no Ethernet headers, and can be filtered in TC mode alone: leave out --mode, or use --mode tc"
        }
        (false, _) => {
            "cannot be filtered in TC mode: that needs TCX, which came with Linux 6.6; leave out --mode, or use --mode generic"
        }
    }
}
