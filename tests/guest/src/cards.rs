//! Its two network cards, which are at either end of one cable.

use std::{
    fs,
    ops::Deref,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

use anyhow::{Context, Result, anyhow};
use fw_tests::lab::{Lab, Namespace};

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
        let names = <[String; 2]>::try_from(present()?);
        let names = names.map_err(|names| anyhow!("a guest has two network cards, not {names:?}"))?;
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
    pub fn lab(&self) -> Result<Wired<'_>> {
        let [one, other] = &self.names;
        let lab = Lab::on_cable(|lan, pi| {
            for (card, place) in [(one, lan), (other, pi)] {
                plug(card, place)?;
                // qemu's Cadence card offers to sum up what it then does not: IPv6.
                if self.driver == "macb" {
                    place.run("ethtool --offload eth0 tx off")?;
                }
            }
            lan.run("ip link set eth0 up").map(drop)
        })?;
        Ok(Wired { lab, cards: self })
    }
}

/// A lab on the cards, which they leave in the end.
#[derive(Debug)]
pub struct Wired<'a> {
    lab: Lab,
    cards: &'a Cards,
}

impl Deref for Wired<'_> {
    type Target = Lab;

    fn deref(&self) -> &Lab {
        &self.lab
    }
}

impl Drop for Wired<'_> {
    /// A namespace may live on for minutes after the lab, with a connection that nobody answers any more; cards in it would, too.
    fn drop(&mut self) {
        let [one, other] = &self.cards.names;
        let left = unplug(one, &self.lab.lan).and(unplug(other, &self.lab.pi));
        assert!(left.is_ok() || thread::panicking(), "the network cards do not come back: {left:?}");
    }
}

/// Take a card out of a namespace.
fn unplug(card: &str, namespace: &Namespace) -> Result<()> {
    let here = Namespace::of_process(std::process::id())?;
    namespace.run("ip link set eth0 down")?;
    namespace.run(&format!("ip link set eth0 netns {} name {card}", here.path())).map(drop)
}

/// Move a card into a namespace, where it is called eth0.
fn plug(card: &str, namespace: &Namespace) -> Result<()> {
    let here = Namespace::of_process(std::process::id())?;
    here.run(&format!("ip link set {card} down"))?;
    here.run(&format!("ip link set {card} netns {} name eth0", namespace.path())).map(drop)
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
