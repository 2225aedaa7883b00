//! A running guest.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::Stdio,
};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{
    control::Control,
    disk::Disk,
    monitor::Monitor,
    patience::PATIENCE,
    peer::{LAN, LATER, Peer},
    platform::PLATFORM,
};
use crate::lab::{process::Process, skip, wait};

/// A guest that has booted. It is switched off when dropped.
#[derive(Debug)]
pub struct Machine {
    control: Control,
    monitor: Monitor,
    console: PathBuf,
    /// After the lines to it, so that qemu does not end first.
    qemu: Process,
}

impl Machine {
    /// Switch a guest on, with its first network card at the peer's first cable and a second one that leads nowhere, and wait until it has
    /// booted. A card for the peer's other cable lies beside it. `words` are for the kernel's command line.
    ///
    /// # Errors
    /// [`skip::Missing`] without qemu; the end of what the guest said on its console.
    pub fn boot(disk: &Disk, peer: &Peer, words: &str) -> Result<Self> {
        skip::need(PLATFORM.qemu, "qemu-system-x86 or qemu-system-arm")?;
        let (kernel, initrd) = disk.image().kernel()?;
        let console = disk.home().join("console");
        let [socket, monitor] = ["control", "monitor"].map(|name| disk.home().join(name));
        // Before what runs beside it: the tests in a guest take longest, and an emulated processor is a slow one already.
        let mut qemu = peer.place.command("nice");
        qemu.args(["-n", "-10", PLATFORM.qemu]);
        PLATFORM.describe(&mut qemu, 512);
        qemu.arg("-kernel").arg(kernel).arg("-initrd").arg(initrd);
        let console_word = PLATFORM.console;
        // The mitigations of a real processor cost an emulated one a tenth of its time.
        let always = "root=/dev/vda rw panic=-1 net.ifnames=0 mitigations=off nokaslr";
        qemu.args(["-append", &format!("console={console_word} {always} {words}")]);
        qemu.args(["-drive", &format!("file={},format=raw,if=virtio,cache=unsafe", disk.path().display())]);
        qemu.args(["-serial", &format!("file:{}", console.display())]);
        qemu.args(["-device", "virtio-serial-pci", "-device", "virtserialport,chardev=control,name=control"]);
        qemu.args(["-chardev", &format!("socket,id=control,path={},server=on,wait=off", socket.display())]);
        qemu.args(["-device", "virtio-rng-pci"]);
        qemu.args(["-qmp", &format!("unix:{},server=on,wait=off", monitor.display())]);
        for (name, cable) in [("lan", LAN), ("later", LATER)] {
            qemu.args(["-netdev", &format!("tap,id={name},ifname={},script=no,downscript=no", cable.name)]);
        }
        qemu.args(["-device", &format!("virtio-net-pci,netdev=lan,mac={},romfile=", LAN.mac)]);
        qemu.args(["-netdev", "hubport,id=nowhere,hubid=0", "-device", "virtio-net-pci,netdev=nowhere,romfile="]);
        // Into the bus of these machines itself nothing can be plugged while they are on.
        qemu.args(["-device", "pcie-root-port,id=free-port"]);
        let said = File::create(disk.home().join("qemu"))?;
        let qemu = Process::start(qemu.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said))?;
        let lines = Control::connect(&socket).and_then(|control| Ok((control, Monitor::connect(&monitor)?)));
        let (control, monitor) =
            lines.with_context(|| fs::read_to_string(disk.home().join("qemu")).unwrap_or_default())?;
        let mut machine = Self { control, monitor, console, qemu };
        machine.await_boot()?;
        Ok(machine)
    }

    /// Plug a network card in, at the peer's other cable.
    ///
    /// # Errors
    /// One is plugged in already.
    pub fn plug_in(&mut self) -> Result<()> {
        let card = json!({
            "driver": "virtio-net-pci", "id": "later", "netdev": "later", "bus": "free-port", "mac": LATER.mac, "romfile": "",
        });
        self.monitor.execute("device_add", &card)
    }

    /// Pull the card out again, and wait until the guest has let go of it.
    ///
    /// # Errors
    /// None is plugged in, or the guest does not.
    pub fn pull_out(&mut self) -> Result<()> {
        self.monitor.execute("device_del", &json!({ "id": "later" }))?;
        self.monitor.await_event("DEVICE_DELETED", "later")
    }

    /// Shut the guest's system down, and wait until the machine is off.
    ///
    /// # Errors
    /// It stays on.
    pub fn switch_off(mut self) -> Result<()> {
        self.control.send("systemctl poweroff")?;
        let off = wait::within(PATIENCE, "the guest to be off", || self.qemu.ended());
        off.map(drop).with_context(|| format!("the guest's console ends with\n{}", self.console()))
    }

    /// The output of a command line in the guest.
    ///
    /// # Errors
    /// It does not succeed.
    pub fn run(&mut self, line: &str) -> Result<String> {
        let (output, code) = self.try_run(line)?;
        ensure!(code == 0, "`{line}` ended with {code} in the guest: {output}");
        Ok(output)
    }

    /// The output of a command line in the guest, and its exit code.
    ///
    /// # Errors
    /// The guest does not answer.
    pub fn try_run(&mut self, line: &str) -> Result<(String, u8)> {
        let result = self.control.run(line);
        result.with_context(|| format!("`{line}` in the guest, whose console ends with\n{}", self.console()))
    }

    /// The end of what the guest said on its console.
    #[must_use]
    pub fn console(&self) -> String {
        let said = fs::read(&self.console).unwrap_or_default();
        let said = String::from_utf8_lossy(&said).replace('\r', "");
        let qemu = self.console.with_file_name("qemu");
        let said = said + &fs::read_to_string(qemu).unwrap_or_default();
        let lines: Vec<&str> = said.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Units may fail, and still the boot has come to its end.
    fn await_boot(&mut self) -> Result<()> {
        let ready = self.control.await_ready();
        ready.with_context(|| format!("the guest does not boot; its console ends with\n{}", self.console()))?;
        self.try_run("systemctl is-system-running --wait").map(drop)
    }
}
