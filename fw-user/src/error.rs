//! What can go wrong, in words that name the thing and the fix, and the exit code for it.

use std::{io, net::SocketAddr, path::PathBuf};

use fw_common::{compiled::TooManySources, grammar::SpecError};
use thiserror::Error;

use crate::{config::Mistakes, kernel::attach::native::NotNative, packet::capture::CaptureError};

/// Short for a result with this crate's error.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// Exit codes of `fw-user`, for scripts.
pub mod exit_code {
    /// Done.
    pub const DONE: u8 = 0;
    /// Failed; nothing was changed.
    pub const FAILED: u8 = 1;
    /// The command line is not understood.
    pub const USAGE: u8 = 2;
    /// Another program holds the interface.
    pub const TAKEN: u8 = 3;
    /// A privilege is missing.
    pub const PRIVILEGE: u8 = 4;
    /// Something was changed, and not all of it, or nobody was told.
    pub const CHANGED: u8 = 5;

    /// Each with what it means, as manuals say it.
    pub const ALL: [(u8, &str); 6] = [
        (DONE, "done"),
        (FAILED, "failed; nothing was changed"),
        (USAGE, "the command line is not understood"),
        (TAKEN, "the interface is taken by another XDP program"),
        (
            PRIVILEGE,
            "a privilege is missing: `CAP_BPF`, `CAP_PERFMON` and `CAP_NET_ADMIN` are needed, root on the host has them",
        ),
        (CHANGED, "changed in part, or changed and not reported"),
    ];
}

/// Why a command failed.
#[derive(Debug, Error)]
pub enum Error {
    /// A piece of an allow list is wrong.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The allow list has no entry.
    #[error("the allow list is empty, which would close every port; name the ports to keep open: --allow 22")]
    NothingAllowed,
    /// A word that is no IP protocol.
    #[error("no IP protocol is called `{0}` in /etc/protocols; write its number, 0 to 255")]
    UnknownProtocol(String),
    /// An IP protocol that `--allow-proto` is not for.
    #[error("--allow-proto {name}: {why}")]
    ProtocolNotHere {
        /// As it was typed.
        name: String,
        /// Why not, and what instead.
        why: &'static str,
    },
    /// Several entries in one string of a list in a file.
    #[error("`{0}` holds several entries; write each in quotes of its own: \"22\", \"80\"")]
    SeveralEntries(String),
    /// Files with mistakes.
    #[error("{0}")]
    Mistakes(Mistakes),
    /// More source networks than fit.
    #[error("{0}; use larger networks")]
    TooManySources(#[from] TooManySources),
    /// `/etc/services` or `/etc/protocols` cannot be read.
    #[error("cannot read {path} ({source}); install the package netbase, or write numbers")]
    Names {
        /// The file.
        path: &'static str,
        /// Why.
        source: io::Error,
    },
    /// No such interface.
    #[error("there is no interface `{name}` here; there is {there}")]
    UnknownInterface {
        /// As it was typed.
        name: String,
        /// The interfaces that there are.
        there: String,
    },
    /// Not an Ethernet interface.
    #[error(
        "{name} is not an Ethernet interface ({kind}): its packets have no MAC header, and the filter would misread them; \
         attach to the Ethernet or Wi-Fi interface that carries them"
    )]
    NotEthernet {
        /// The interface.
        name: String,
        /// What it is instead.
        kind: String,
    },
    /// Another XDP program is attached.
    #[error(
        "{name} is taken by another XDP program, {program}; remove it with the tool that loaded it, then attach again, or \
         replace it: attach --replace"
    )]
    Taken {
        /// The interface.
        name: String,
        /// The program's name and ID, as far as the kernel tells.
        program: String,
    },
    /// An XDP program is attached to an interface that stands above this one.
    #[error(
        "{name} cannot be filtered while {} has an XDP program: the kernel takes one or the other; take that one off first{}",
        above.as_deref().unwrap_or("an interface above it"),
        above.as_ref().map(|above| format!(": fw-user detach {above}")).unwrap_or_default()
    )]
    TakenAbove {
        /// The interface.
        name: String,
        /// The bridge or bond that it is a port of, where it is that.
        above: Option<String>,
    },
    /// The pins are those of an interface of the same name elsewhere.
    #[error(
        "the pins of {name} belong to a filter on another interface, in another network namespace or under another name; \
         pin this one elsewhere: --bpffs /sys/fs/bpf/here (or remove that filter: fw-user detach {name})"
    )]
    OtherNamespace {
        /// The interface.
        name: String,
    },
    /// The interface has the filter that it got under another name.
    #[error(
        "{name} has its filter already, attached under its former name {former}; detach that first: fw-user detach {former}"
    )]
    Renamed {
        /// The interface.
        name: String,
        /// What it was called then.
        former: String,
    },
    /// A change waits to be confirmed.
    #[error(
        "the last change of {name} still waits to be confirmed and reverts in {seconds} s; `fw-user confirm` keeps it, `fw-user rollback` \
         undoes it"
    )]
    Unconfirmed {
        /// The interface.
        name: String,
        /// How long it can still be confirmed.
        seconds: u64,
    },
    /// The own session, or `sshd`, would be cut.
    #[error("{0}")]
    LocksOut(String),
    /// Nothing waits to be confirmed.
    #[error("no change waits to be confirmed, or its time was over; `fw-user status` shows what is in force")]
    NothingToConfirm,
    /// Nobody confirmed in time.
    #[error("nobody confirmed in time; reverted: {names}")]
    NotConfirmed {
        /// The interfaces.
        names: String,
    },
    /// More would change than can be taken back.
    #[error("{name}: {what} cannot be undone alone; attach without --confirm first, then change the ports with it")]
    NotOnTrial {
        /// The interface.
        name: String,
        /// What would change.
        what: &'static str,
    },
    /// The process that takes an unconfirmed change back cannot be started.
    #[error("cannot start the process that would undo the change ({0}); nothing was changed")]
    NoWatcher(io::Error),
    /// Capabilities are missing.
    #[error("this needs {missing}; run it with sudo")]
    Privilege {
        /// The capabilities, by name.
        missing: String,
    },
    /// Capabilities do not count here.
    #[error(
        "this process is in a user namespace: attach on the host; CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN count only in the initial user \
         namespace, and an unprivileged container is in another"
    )]
    UserNamespace,
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
    /// Others than root could take pins away there.
    #[error("{path} is no place for pins, which other users could take away there: {why}; change that first: {fix}")]
    Untrusted {
        /// The folder, of those on the way to the pins.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
        /// What to type.
        fix: String,
    },
    /// A BPF file system that is mounted now would not last.
    #[error(
        "{path} is not on a BPF file system, and one mounted here would go with this mount namespace, and the filter with it; in place of \
         `ip netns exec NAME` use nsenter --net=/run/netns/NAME, or mount one first: mount -t bpf -o mode=700 bpf {path}"
    )]
    PrivateMounts {
        /// Where the pins go.
        path: PathBuf,
    },
    /// Nothing of ours is attached.
    #[error("fw is not attached to {name}; `fw-user status` shows where it is")]
    NotAttached {
        /// The interface.
        name: String,
    },
    /// The pins are there, and the filter is not at work.
    #[error("{name}: {state}; `fw-user status` says what to do")]
    NotFiltering {
        /// The interface.
        name: String,
        /// What is there instead.
        state: String,
    },
    /// Nothing of ours is attached anywhere.
    #[error("fw is not attached to any interface; start with: fw-user attach eth0 --allow 22")]
    NothingAttached,
    /// Another command is at work.
    #[error("another command is at work on {path}: {holder}; try again when it is done")]
    Locked {
        /// The folder that is locked.
        path: PathBuf,
        /// Who holds the lock.
        holder: String,
    },
    /// `deny` of what is not open.
    #[error("{rule} is not open on {name}; `fw-user status` shows the open ports")]
    NotOpen {
        /// The rule.
        rule: String,
        /// The interface.
        name: String,
    },
    /// A port was denied to everyone that is open to networks alone.
    #[error("{rule} is open on {name} only as {}; type: fw-user deny {}", narrower.join(", "), narrower.join(" "))]
    OpenToSome {
        /// What was denied, as typed.
        rule: String,
        /// The interface.
        name: String,
        /// The rules that are open.
        narrower: Vec<String>,
    },
    /// A network was denied at a port that everyone may use.
    #[error("{rule}: that port is open to every address on {name}; close it first: fw-user deny {port}")]
    OpenToAll {
        /// The rule.
        rule: String,
        /// The interface.
        name: String,
        /// The rule without the network.
        port: String,
    },
    /// Another mode was asked for than the attached one.
    #[error("{name} is attached in {current} mode, which cannot change in place; detach first: fw-user detach {name}")]
    OtherMode {
        /// The interface.
        name: String,
        /// The mode it is in.
        current: &'static str,
    },
    /// Something else was asked for than what holds until it is detached.
    #[error("{name}: {what} is {current}, not {wanted} as asked, and cannot change in place; first: {cure}")]
    NotInPlace {
        /// The interface.
        name: String,
        /// What differs.
        what: &'static str,
        /// What holds.
        current: String,
        /// What was asked for.
        wanted: String,
        /// What to type.
        cure: String,
    },
    /// No file says anything of an interface.
    #[error(
        "no file in {folder} is for {name}; `fw-user save {name}` writes the policy in force to one, docs/file.md describes the format"
    )]
    NoFile {
        /// The interface.
        name: String,
        /// Where files are looked for.
        folder: PathBuf,
    },
    /// There is no file at all.
    #[error("there is no file in {folder}; `fw-user save` writes the policy in force to files")]
    NoFiles {
        /// Where files are looked for.
        folder: PathBuf,
    },
    /// A file is not written.
    #[error("{path} is not written; nothing was changed: {why}")]
    NotSaved {
        /// The file.
        path: PathBuf,
        /// Why not, and what to do.
        why: String,
    },
    /// Interfaces that have a file are not there.
    #[error("missing: {names}; the files of all others are applied; run `fw-user apply` again when it is there")]
    InterfacesMissing {
        /// The interfaces.
        names: String,
    },
    /// The driver does not take the filter.
    #[error("{name} cannot be filtered in native mode: {why}; leave out --mode, or use --mode generic")]
    NoNativeMode {
        /// The interface.
        name: String,
        /// Why not.
        why: NotNative,
    },
    /// No way to see what leaves.
    #[error(
        "{name}: neither TCX nor clsact can be attached ({source}), so the filter could not recognize replies and all outbound traffic \
         would fail; load the kernel modules sch_ingress and cls_bpf, or accept that loss with --no-replies"
    )]
    NoEgress {
        /// The interface.
        name: String,
        /// The kernel's words.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another clsact filter stands where ours must.
    #[error(
        "{name}: a {kind} filter has priority 1 on egress, which fw-user needs, because an earlier filter could hide packets from it; `tc filter show dev {name} egress` shows it: give it another priority, then attach again"
    )]
    EgressTaken {
        /// The interface.
        name: String,
        /// What kind of filter it is, by tc's name.
        kind: String,
    },
    /// The kernel is too old.
    #[error("this kernel ({release}) is too old: {what}")]
    KernelTooOld {
        /// The running kernel's release.
        release: String,
        /// What it lacks, and since when kernels have it.
        what: &'static str,
    },
    /// A pinned map is not what this version expects.
    #[error(
        "the pinned map {path} is not what this version of fw-user expects ({difference}); it was left by another version or another \
         --flows; {cure}"
    )]
    OtherShape {
        /// The pin.
        path: PathBuf,
        /// What differs.
        difference: String,
        /// What to type.
        cure: String,
    },
    /// Something in our folder of the BPF file system is not a pin of ours.
    #[error("{path} cannot be used ({source}); `fw-user detach` removes the filter and cleans up, then attach again")]
    BadPin {
        /// The pin.
        path: PathBuf,
        /// The kernel's words.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The boot service of an interface is not installed.
    #[error("no service is installed for {name}; `fw-user service install {name}` installs it")]
    NoService {
        /// The interface.
        name: String,
    },
    /// The boot service was asked for with files that it does not read.
    #[error("the service applies the files in /etc/fw-user; leave out --config {folder}")]
    OtherFolder {
        /// As it was typed.
        folder: PathBuf,
    },
    /// The machine runs without systemd.
    #[error(
        "this system was not started by systemd; have yours run `fw-user apply --force eth0` before the network starts"
    )]
    NoSystemd,
    /// The program is where a service could not start it.
    #[error(
        "this program is {path}, where a service must not start it from; install it first (sudo install -m 755 {path} \
         /usr/local/sbin/) and type /usr/local/sbin/fw-user service install"
    )]
    ProgramElsewhere {
        /// Where it is.
        path: PathBuf,
    },
    /// A program of the system's failed.
    #[error("`{command}` failed: {complaint}")]
    Program {
        /// What was run.
        command: String,
        /// What it said.
        complaint: String,
    },
    /// An address to listen on is not to be had.
    #[error("cannot listen on {address} ({source}); {}", listen_cure(source))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// Something lies in our folder that no version of ours put there.
    #[error("not created by fw-user, left untouched: {paths}; inspect it, then remove it by hand: rm -r {paths}")]
    NotOurs {
        /// The paths.
        paths: String,
    },
    /// The doctor found something bad.
    #[error("{count} {}", if *count == 1 { "problem; see the fix below it" } else { "problems; see the fix below each" })]
    NotWell {
        /// How many.
        count: usize,
    },
    /// Another version's filter is on the interface.
    #[error(
        "{name} is attached by another version of fw-user (ABI {abi}); `fw-user attach {name} --allow PORTS` replaces it \
         without a gap, `fw-user detach {name}` removes it"
    )]
    OtherAbi {
        /// The interface.
        name: String,
        /// The other version's ABI.
        abi: u32,
    },
    /// The program on the interface is not the one that this build has.
    #[error(
        "the filter of {name} is of another build of fw-user, whose verdicts this version cannot reproduce; `fw-user attach {name} --allow \
         PORTS` replaces it without a gap"
    )]
    OtherBuild {
        /// The interface.
        name: String,
    },
    /// There is no whole filter at work on the interface.
    #[error("{name}: {state}; {cure}")]
    NotAtWork {
        /// The interface.
        name: String,
        /// What is there, in words.
        state: String,
        /// What to do about it.
        cure: String,
    },
    /// Several interfaces have a filter, and one is meant.
    #[error("fw is attached to {there}; choose one: --iface {example}")]
    WhichInterface {
        /// All of them.
        there: String,
        /// One of them.
        example: String,
    },
    /// What was typed makes no sense, for a reason that only the command knows.
    #[error("{0}")]
    Usage(String),
    /// A file of packets cannot be read.
    #[error("{file}: {source}")]
    Capture {
        /// The file.
        file: String,
        /// What is wrong with it.
        source: CaptureError,
    },
    /// A file system operation failed.
    #[error("{what} {path}: {source}")]
    File {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The kernel refused something.
    #[error("{what}: {source}")]
    Kernel {
        /// What was tried, on what.
        what: String,
        /// The kernel's words.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The rest of a command failed after it had changed something.
    #[error("{source}\n{what}; `fw-user status` shows what is in force")]
    Changed {
        /// What was changed.
        what: String,
        /// Why the rest failed.
        source: Box<Error>,
    },
    /// Output could not be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

/// What to do about an address that is not to be had.
fn listen_cure(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => "another program has that port (`ss -tlnp` names it): choose one with --listen",
        io::ErrorKind::AddrNotAvailable => "no interface has that address: choose one with --listen",
        _ => "choose another address with --listen",
    }
}

impl Error {
    /// A refusal by the kernel of `what`. Libraries wrap its words in their own; all of them are kept.
    pub fn kernel(what: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let source = source.into();
        let mut words = source.to_string();
        let mut cause = source.source();
        while let Some(error) = cause {
            let more = error.to_string();
            if !words.contains(&more) {
                words = format!("{words}: {more}");
            }
            cause = error.source();
        }
        Self::Kernel { what: what.into(), source: words.into() }
    }

    /// The same failure after something was changed. What went back by itself was not.
    #[must_use]
    pub fn after(self, what: impl Into<String>) -> Self {
        match self {
            Self::Changed { .. } | Self::NotConfirmed { .. } => self,
            source => Self::Changed { what: what.into(), source: Box::new(source) },
        }
    }

    /// Things that are not of our making.
    #[must_use]
    pub fn not_ours(paths: &[PathBuf]) -> Self {
        let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        Self::NotOurs { paths: paths.join(" ") }
    }

    /// The process' exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Spec(_)
            | Self::NothingAllowed
            | Self::UnknownProtocol(_)
            | Self::ProtocolNotHere { .. }
            | Self::SeveralEntries(_)
            | Self::Mistakes(_)
            | Self::TooManySources(_)
            | Self::WhichInterface { .. }
            | Self::Usage(_)
            | Self::Names { .. } => exit_code::USAGE,
            Self::Taken { .. } | Self::TakenAbove { .. } | Self::Renamed { .. } => exit_code::TAKEN,
            Self::Privilege { .. } | Self::UserNamespace => exit_code::PRIVILEGE,
            Self::Changed { .. } => exit_code::CHANGED,
            Self::UnknownInterface { .. }
            | Self::NotEthernet { .. }
            | Self::NoBpffs { .. }
            | Self::NotForBpffs { .. }
            | Self::Untrusted { .. }
            | Self::PrivateMounts { .. }
            | Self::NotAttached { .. }
            | Self::NotFiltering { .. }
            | Self::NothingAttached
            | Self::Locked { .. }
            | Self::NotOpen { .. }
            | Self::OpenToSome { .. }
            | Self::OpenToAll { .. }
            | Self::OtherMode { .. }
            | Self::NotInPlace { .. }
            | Self::NoFile { .. }
            | Self::NoFiles { .. }
            | Self::NotSaved { .. }
            | Self::InterfacesMissing { .. }
            | Self::Unconfirmed { .. }
            | Self::LocksOut(_)
            | Self::NothingToConfirm
            | Self::NotConfirmed { .. }
            | Self::NotOnTrial { .. }
            | Self::NoWatcher(_)
            | Self::OtherNamespace { .. }
            | Self::NoNativeMode { .. }
            | Self::NoEgress { .. }
            | Self::EgressTaken { .. }
            | Self::KernelTooOld { .. }
            | Self::OtherShape { .. }
            | Self::BadPin { .. }
            | Self::NoService { .. }
            | Self::NoSystemd
            | Self::OtherFolder { .. }
            | Self::ProgramElsewhere { .. }
            | Self::Program { .. }
            | Self::NotOurs { .. }
            | Self::Listen { .. }
            | Self::NotWell { .. }
            | Self::OtherAbi { .. }
            | Self::OtherBuild { .. }
            | Self::NotAtWork { .. }
            | Self::Capture { .. }
            | Self::File { .. }
            | Self::Kernel { .. }
            | Self::Output(_) => exit_code::FAILED,
        }
    }
}
