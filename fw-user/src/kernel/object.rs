//! The BPF object, and how it is loaded.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use aya::{
    Ebpf, EbpfLoader,
    programs::{ProgramError, SchedClassifier},
    util::KernelVersion,
};
use fw_common::abi::map;

use crate::{
    error::{Error, KernelError, Result},
    kernel::{pins::Pins, shape::Shapes},
};

/// The BPF object: all programs and their maps, made by `cargo xtask build-ebpf` from `fw-ebpf`.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!("../../bpf/fw.bpf.o");

/// The XDP program's name in the object.
pub const INGRESS: &str = "fw_ingress";
/// The name of the XDP program that lets everything pass.
pub(crate) const PROBE: &str = "fw_probe";
/// The name of the TC program for what comes in.
pub const INGRESS_TC: &str = "fw_ingress_tc";
/// The same for interfaces without Ethernet headers.
pub const INGRESS_L3: &str = "fw_ingress_l3";
/// The name of the TC program for what leaves.
pub const EGRESS: &str = "fw_egress";
/// The same for interfaces without Ethernet headers.
pub const EGRESS_L3: &str = "fw_egress_l3";

/// Bytes before a packet that `BPF_PROG_TEST_RUN` takes for an Ethernet header, and that a program for interfaces without one skips there.
pub const ASKED_HEADER: u8 = 14;

/// aya-log's levels: none, and everything the programs say.
const LOG_OFF: u8 = 0;
const LOG_DEBUG: u8 = 4;

/// Load the programs around the maps pinned for an interface, which are made and pinned where they are missing. The programs are not
/// handed to the kernel yet.
pub fn load(pins: &Pins, interface: &str, shapes: Shapes, debug: bool) -> Result<Ebpf> {
    load_around(pins, interface, &every_map(), shapes, Globals { debug, skipped: 0 })
}

/// What is set of a program when it is loaded.
#[derive(Clone, Copy, Debug)]
pub struct Globals {
    /// Whether it writes diagnostics.
    pub debug: bool,
    /// How many bytes of each socket buffer it skips: [`ASKED_HEADER`] where a program for interfaces without Ethernet headers is not attached but
    /// asked.
    pub skipped: u8,
}

/// The names of all maps.
#[must_use]
pub fn every_map() -> Vec<&'static str> {
    map::SHARED.into_iter().chain(map::PER_INTERFACE).collect()
}

/// The same around some of the maps; the others are made anew, and go with the object.
pub fn load_around(pins: &Pins, interface: &str, pinned: &[&str], shapes: Shapes, globals: Globals) -> Result<Ebpf> {
    let Globals { debug, skipped } = globals;
    let kernel = kernel_version()?;
    let path = |name| if map::SHARED.contains(&name) { pins.shared_map(name) } else { pins.map(interface, name) };
    let paths: Vec<(&str, PathBuf)> = pinned.iter().map(|&name| (name, path(name))).collect();
    for (name, path) in &paths {
        shapes.check(name, path, interface)?;
    }
    let coarse_clock = u8::from(kernel >= KernelVersion::new(5, 11, 0));
    let level = if debug { LOG_DEBUG } else { LOG_OFF };
    let xfrm = u8::from(has_xfrm());
    let mut loader = EbpfLoader::new();
    // The object needs nothing of the kernel's own type information, which Raspberry Pi OS does not have.
    loader.btf(None);
    for (name, value) in
        [("COARSE_CLOCK", &coarse_clock), ("AYA_LOG_LEVEL", &level), ("SKIPPED", &skipped), ("XFRM", &xfrm)]
    {
        loader.override_global(name, value, true);
    }
    for (name, path) in &paths {
        loader.map_pin_path(name, path.as_path());
    }
    for name in every_map() {
        loader.map_max_entries(name, shapes.entries(name));
    }
    loader.load(OBJECT).map_err(|error| Error::refused(format!("making the maps for {interface}"), error))
}

/// Whether the kernel was built with `IPsec`; without it, it does not know the helper that tells of it.
fn has_xfrm() -> bool {
    Path::new("/proc/sys/net/core/xfrm_larval_drop").exists()
}

/// A TC program of a loaded object, handed to the kernel unless it has been before. `what` it is goes into the error.
pub fn load_classifier<'a>(ebpf: &'a mut Ebpf, name: &str, what: &str) -> Result<&'a mut SchedClassifier> {
    let program = ebpf.program_mut(name).map(<&mut SchedClassifier>::try_from);
    let Some(Ok(program)) = program else { unreachable!("the embedded object has the program") };
    load_program(|| program.load()).map_err(|error| Error::refused(format!("loading the {what} program"), error))?;
    Ok(program)
}

/// Hand a program to the kernel, unless it has been before. The kernel gives up verifying when a signal comes (EAGAIN), such as that a
/// terminal changed its size.
pub(crate) fn load_program(mut load: impl FnMut() -> Result<(), ProgramError>) -> Result<(), ProgramError> {
    const ATTEMPTS: usize = 10;
    for _ in 1..ATTEMPTS {
        match load() {
            Err(ProgramError::LoadError { io_error, .. }) if io_error.kind() == ErrorKind::WouldBlock => {}
            Err(ProgramError::AlreadyLoaded) => return Ok(()),
            outcome => return outcome,
        }
    }
    load()
}

/// Whether `BPF_PROG_TEST_RUN` can be told which interface a packet came in by (5.14). Where it cannot, the program looks for the packet's way
/// on as if it came from this machine itself.
pub fn knows_interface() -> Result<bool> {
    Ok(kernel_version()? >= KernelVersion::new(5, 14, 0))
}

/// The running kernel's version.
pub fn kernel_version() -> Result<KernelVersion> {
    let oldest = KernelVersion::new(5, 10, 0);
    let kernel = KernelVersion::current().map_err(|error| Error::refused("asking for the kernel's version", error))?;
    if kernel < oldest {
        let release = std::fs::read_to_string(Path::new("/proc/sys/kernel/osrelease")).unwrap_or_default();
        let what = "XDP programs that stay attached when a command returns need BPF links (5.9), and 5.10 is the oldest kernel \
                    that is supported";
        return Err(Error::Kernel(KernelError::KernelTooOld { release: release.trim().to_owned(), what }));
    }
    Ok(kernel)
}
