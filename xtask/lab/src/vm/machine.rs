//! The machines of the guests: qemu's ordinary machines, and boards with network cards that no ordinary machine has.

use std::{path::Path, process::Command};

use anyhow::{Result, ensure};
use fw_tests::vm::platform::{AMD64, ARM64};

/// How much memory they have.
const MEGABYTES: u32 = 1024;

/// A machine with two network cards on one cable.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Machine {
    /// With cards of virtio.
    Ordinary,
    /// With Intel's Gigabit cards of 2004, whose driver has no native XDP, on an ordinary machine.
    E1000,
    /// With the Cadence cards of Xilinx' Versal, which the Raspberry Pi 5 has as well.
    Versal,
    /// A Raspberry Pi 3 with two cards on its USB, as its own is.
    Raspi3b,
}

impl Machine {
    /// Describe it to qemu, as one of an architecture, with its first serial port being standard output. `trees` is a folder with the
    /// kernel's device trees. Returns what the kernel calls the port.
    pub(super) fn describe(self, qemu: &mut Command, architecture: &str, trees: &Path) -> Result<&'static str> {
        let platform = if architecture == AMD64.architecture { AMD64 } else { ARM64 };
        let board = |qemu: &mut Command, threads: &str| {
            qemu.args(["-nodefaults", "-no-user-config", "-display", "none", "-smp", "4", "-m", "1G"]);
            qemu.args(["-accel", &format!("tcg,thread={threads}")]);
        };
        match self {
            Self::Ordinary | Self::E1000 => {
                platform.describe(qemu, MEGABYTES);
                plug(qemu, if matches!(self, Self::E1000) { "e1000" } else { "virtio-net-pci" }, ",romfile=");
                qemu.args(["-serial", "stdio"]);
                Ok(platform.console)
            }
            Self::Versal => {
                board(qemu, "multi");
                qemu.args(["-machine", "xlnx-versal-virt"]).args(["-nic", "hubport,hubid=0"].repeat(2));
                qemu.args(["-serial", "stdio"]);
                Ok("ttyAMA0")
            }
            Self::Raspi3b => {
                // Its processors spin while they wait; on one thread they are four times as fast.
                board(qemu, "single");
                let tree = trees.join("bcm2837-rpi-3-b.dtb");
                ensure!(tree.exists(), "the kernel has no {}", tree.display());
                qemu.args(["-machine", "raspi3b", "-dtb"]).arg(tree);
                plug(qemu, "usb-net", "");
                qemu.args(["-serial", "null", "-serial", "stdio"]);
                Ok("ttyS1,115200")
            }
        }
    }
}

/// The program that emulates machines of an architecture.
pub(super) fn qemu(architecture: &str) -> Command {
    Command::new(if architecture == AMD64.architecture { AMD64.qemu } else { ARM64.qemu })
}

/// Add two cards, at either end of a cable.
fn plug(qemu: &mut Command, device: &str, options: &str) {
    for card in ["one", "other"] {
        qemu.args(["-netdev", &format!("hubport,id={card},hubid=0")]);
        qemu.args(["-device", &format!("{device},netdev={card}{options}")]);
    }
}
