//! The machines that qemu emulates.

use std::process::Command;

/// A machine of an architecture.
#[derive(Clone, Copy, Debug)]
pub struct Platform {
    /// Debian's name for the architecture.
    pub architecture: &'static str,
    /// qemu's program for it.
    pub qemu: &'static str,
    /// Machine and processor.
    pub machine: &'static [&'static str],
    /// The kernel's name of the first serial port.
    pub console: &'static str,
    /// Debian's package of a kernel for it.
    pub kernel: &'static str,
}

/// An ordinary PC.
pub const AMD64: Platform = Platform {
    architecture: "amd64",
    qemu: "qemu-system-x86_64",
    machine: &["-machine", "q35", "-cpu", "max"],
    console: "ttyS0",
    kernel: "linux-image-cloud-amd64",
};

/// A machine with a Raspberry Pi 5's processor.
pub const ARM64: Platform = Platform {
    architecture: "arm64",
    qemu: "qemu-system-aarch64",
    machine: &["-machine", "virt", "-cpu", "cortex-a76"],
    console: "ttyAMA0",
    kernel: "linux-image-cloud-arm64",
};

/// The platform of a guest with this machine's architecture.
pub const PLATFORM: Platform = if cfg!(target_arch = "aarch64") { ARM64 } else { AMD64 };

impl Platform {
    /// Make a machine of a command that starts qemu. Without KVM, so that it works on any machine; and with several processors, as
    /// everywhere: races between them are what is looked for.
    pub fn describe(&self, qemu: &mut Command, megabytes: u32) {
        qemu.args(["-nodefaults", "-no-user-config", "-display", "none", "-smp", "2", "-m", &megabytes.to_string()]);
        qemu.args(self.machine).args(["-accel", "tcg,thread=multi"]);
    }
}
