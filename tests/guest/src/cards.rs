//! Its two network cards, which are at either end of one cable.

use std::{
    fs,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result};
use fw_tests::lab::{Lab, Namespace, wait};

/// Those of the kernel's drivers that the guests have and that judge packets before the network stack does. All others of their cards,
/// and the network drivers of every Raspberry Pi, leave it to the stack.
const NATIVE: [&str; 1] = ["virtio_net"];

/// Both cards, for one test at a time.
#[derive(Debug)]
pub struct Cards {
    names: [String; 2],
    driver: String,
    _turn: MutexGuard<'static, ()>,
}

impl Cards {
    /// Wait for the test that has them.
    ///
    /// # Errors
    /// The machine has other cards than two.
    pub fn take() -> Result<Self> {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        // They come back when the namespace that they were in is gone, which takes the kernel a moment.
        let names = wait::until("two network cards", || Ok(<[String; 2]>::try_from(present()?).ok()))?;
        let driver = fs::read_link(Path::new("/sys/class/net").join(&names[0]).join("device/driver"))?;
        let driver = driver.file_name().context("a driver has a name")?.to_string_lossy().into_owned();
        Ok(Self { names, driver, _turn: turn })
    }

    /// The kernel's name of their driver.
    #[must_use]
    pub fn driver(&self) -> &str {
        &self.driver
    }

    /// Whether packets can be judged in it.
    #[must_use]
    pub fn have_native_mode(&self) -> bool {
        NATIVE.contains(&&*self.driver)
    }

    /// A lab whose Pi and LAN host are connected by them. The Pi's is still down.
    ///
    /// # Errors
    /// As [`Lab::without_containers`].
    pub fn lab(&self) -> Result<Lab> {
        let [one, other] = &self.names;
        Lab::on_cable(|lan, pi| {
            plug(one, lan)?;
            plug(other, pi)?;
            lan.run("ip link set eth0 up").map(drop)
        })
    }
}

/// Move a card into a namespace, where it is called eth0.
fn plug(card: &str, namespace: &Namespace) -> Result<()> {
    let here = Namespace::of_process(std::process::id())?;
    here.run(&format!("ip link set {card} down"))?;
    here.run(&format!("ip link set {card} netns {}", namespace.path()))?;
    if card != "eth0" {
        namespace.run(&format!("ip link set {card} name eth0"))?;
    }
    Ok(())
}

/// The network interfaces of this machine that are a device's.
fn present() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir("/sys/class/net")? {
        let entry = entry?;
        if entry.path().join("device").exists() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}
