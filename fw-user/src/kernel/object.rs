//! The BPF object and its loader.

use std::{
    io::ErrorKind,
    panic,
    path::{Path, PathBuf},
    thread,
};

use aya::{
    Ebpf, EbpfLoader,
    programs::{Program, ProgramError, SchedClassifier, Xdp},
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
/// The same for frames that may have fragments (5.18).
pub const INGRESS_FRAG: &str = "fw_ingress_frag";
/// The name of the XDP program that passes everything.
pub(crate) const PROBE: &str = "fw_probe";
/// The same for frames that may have fragments.
pub(crate) const PROBE_FRAG: &str = "fw_probe_frag";
/// The name of the TC ingress program.
pub const INGRESS_TC: &str = "fw_ingress_tc";
/// The same for interfaces without Ethernet headers.
pub const INGRESS_L3: &str = "fw_ingress_l3";
/// The name of the TC egress program.
pub const EGRESS: &str = "fw_egress";
/// The same for interfaces without Ethernet headers.
pub const EGRESS_L3: &str = "fw_egress_l3";

/// The bytes before a packet that `BPF_PROG_TEST_RUN` treats as an Ethernet header. A program for interfaces without one skips them there.
pub const ASKED_HEADER: u8 = 14;

/// aya-log's levels: nothing, and everything.
const LOG_OFF: u8 = 0;
const LOG_DEBUG: u8 = 4;

/// Load the programs with the maps pinned for an interface; missing maps are created and pinned. The programs are not loaded into the kernel yet.
pub fn load(pins: &Pins, interface: &str, shapes: Shapes, debug: bool) -> Result<Ebpf> {
    load_around(pins, interface, &every_map(), shapes, Globals { debug, skipped: 0 })
}

/// The constants of a program, set when it is loaded.
#[derive(Clone, Copy, Debug)]
pub struct Globals {
    /// Whether it writes diagnostics.
    pub debug: bool,
    /// How many bytes of each socket buffer it skips: [`ASKED_HEADER`] for a test run of a program for interfaces without Ethernet headers.
    pub skipped: u8,
}

/// The names of all maps.
#[must_use]
pub fn every_map() -> Vec<&'static str> {
    map::SHARED.into_iter().chain(map::PER_INTERFACE).collect()
}

/// The same with some of the maps; the others are created, and end with the object.
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
    // The object does not need the kernel's type information, which Raspberry Pi OS does not have.
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

/// Whether the kernel was built with `IPsec`; without it, it lacks the helper for it.
fn has_xfrm() -> bool {
    Path::new("/proc/sys/net/core/xfrm_larval_drop").exists()
}

/// An XDP program of a loaded object, by its name, loaded into the kernel if necessary.
pub fn load_xdp<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    load_one(ebpf, name)?.try_into().map_err(|error| not_loaded(name, error))
}

/// The same of a TC program.
pub fn load_classifier<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut SchedClassifier> {
    load_one(ebpf, name)?.try_into().map_err(|error| not_loaded(name, error))
}

fn load_one<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Program> {
    let Some(program) = ebpf.program_mut(name) else { unreachable!("the embedded object has the program") };
    verify(name, program)?;
    Ok(program)
}

/// Have the kernel verify programs of a loaded object at the same time, if necessary. Returns the first failure.
pub(crate) fn load_together(ebpf: &mut Ebpf, names: &[&str]) -> Result<()> {
    let is_due = |(name, program): &(&str, &mut Program)| names.contains(name) && program.fd().is_err();
    let mut programs: Vec<_> = ebpf.programs_mut().filter(is_due).collect();
    let last = programs.pop();
    thread::scope(|scope| {
        // A program for which there is no thread is loaded when it is used.
        let spawn = |(name, program)| thread::Builder::new().spawn_scoped(scope, move || verify(name, program)).ok();
        let others: Vec<_> = programs.into_iter().filter_map(spawn).collect();
        let mut verified = last.map_or(Ok(()), |(name, program)| verify(name, program));
        for other in others {
            verified = verified.and(other.join().unwrap_or_else(|panic| panic::resume_unwind(panic)));
        }
        verified
    })
}

fn verify(name: &str, program: &mut Program) -> Result<()> {
    let verified = match program {
        Program::Xdp(program) => load_program(|| program.load()),
        Program::SchedClassifier(program) => load_program(|| program.load()),
        _ => unreachable!("the embedded object has no other programs"),
    };
    verified.map_err(|error| not_loaded(name, error))
}

fn not_loaded(name: &str, error: ProgramError) -> Error {
    let what = if [EGRESS, EGRESS_L3].contains(&name) { "egress" } else { "ingress" };
    Error::refused(format!("loading the {what} program"), error)
}

/// Load a program into the kernel, if necessary. The kernel stops verifying on a signal (EAGAIN), such as a change of the terminal's size.
fn load_program(mut load: impl FnMut() -> Result<(), ProgramError>) -> Result<(), ProgramError> {
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

/// Whether `BPF_PROG_TEST_RUN` accepts the ingress interface of a packet (5.14). Otherwise the program looks up routes as if the packet came from
/// this machine itself.
pub fn knows_interface() -> Result<bool> {
    Ok(kernel_version()? >= KernelVersion::new(5, 14, 0))
}

/// Whether the kernel hands XDP programs frames with fragments (5.18): jumbo frames.
pub fn has_xdp_frags() -> Result<bool> {
    Ok(kernel_version()? >= KernelVersion::new(5, 18, 0))
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
