//! Checks of one interface: whether it can be filtered, in which mode, and what is attached.

use std::{fs, path::PathBuf};

use crate::{
    cmd::{
        boot::state::{AtBoot, BootFiles},
        doctor::checks::{Finding, Verdict},
        notes::notes,
        running::running,
        unfiltered::Unfiltered,
    },
    host::{class::Class, interface::Interface},
    kernel::{
        attach::{
            foreign,
            native::{SAFE_MTU, largest_mtu},
            state::{self, Stale, State},
            tcx,
        },
        maps::policy_map::PolicyMap,
        meta::Mode,
        pins::Pins,
    },
};

/// Drivers without native XDP, from kernel 5.10 to 7.3.
const GENERIC_DRIVERS: [&str; 12] = [
    "bcmgenet",
    "brcmfmac",
    "cdc_ether",
    "cdc_ncm",
    "lan78xx",
    "macb",
    "r8152",
    "rtl8xxxu",
    "smsc75xx",
    "smsc95xx",
    "usbnet",
    "ax88179_178a",
];

/// Look at an interface.
#[must_use]
pub(crate) fn examine(pins: &Pins, interface: &Interface, all: &[Interface]) -> Vec<Finding> {
    if interface.check_can_be_filtered().is_err() {
        return vec![
            Finding::bad("link layer", "neither Ethernet nor plain IP: the filter would misread its packets")
                .fix("attach to the interface that carries them")
                .of(&interface.name),
        ];
    }
    let mut findings = vec![filter(pins, &interface.name, Some(interface)), mode(pins, interface), mtu(interface)];
    findings.extend(ahead(pins, interface));
    let is_ours = matches!(state::of(pins, &interface.name, Some(interface)), Ok(State::Ours));
    let mode = is_ours.then(|| state::mode(pins, interface));
    findings.extend(notes(interface, all, mode).into_iter().map(|note| Finding::note("place", note)));
    findings.into_iter().map(|finding| finding.of(&interface.name)).collect()
}

/// How an interface is classed, and why.
#[must_use]
pub(crate) fn class(interface: &Interface, class: &Class) -> Finding {
    Finding::ok("class", class.to_string()).of(&interface.name)
}

/// The open ports of an outside interface that has an address and no filter.
#[must_use]
pub(crate) fn unfiltered(one: &Unfiltered, fix: String, verdict: Verdict) -> Finding {
    if one.left_out_by.is_some() {
        return Finding::ok("open", one.words()).of(&one.name);
    }
    Finding::new("open", verdict, one.words()).fix(fix).of(&one.name)
}

/// Check the pins of an interface that is gone.
#[must_use]
pub(crate) fn examine_gone(pins: &Pins, name: &str) -> Finding {
    filter(pins, name, None).of(name)
}

/// Check whether a reboot restores the filter of an interface.
#[must_use]
pub(crate) fn boot(pins: &Pins, files: &BootFiles, interface: &Interface) -> Option<Finding> {
    let name = &interface.name;
    if state::of(pins, name, Some(interface)).ok()? != State::Ours {
        return None;
    }
    let at_boot = files.at_boot(name, running(pins, name).ok().as_ref());
    let finding = match (&at_boot, at_boot.name()) {
        (AtBoot::Open { why, fix }, _) => {
            Finding::bad("boot", format!("nothing attaches the filter after a reboot: {why}")).fix(fix)
        }
        (AtBoot::Filtered { .. }, "kept") => Finding::ok("boot", at_boot.words(name)),
        (AtBoot::Filtered { .. } | AtBoot::Absent(_), _) => Finding::note("boot", at_boot.words(name)),
        (AtBoot::Unknown { why }, _) => Finding::note("boot", format!("cannot check: {why}")),
    };
    Some(finding.of(name))
}

fn filter(pins: &Pins, name: &str, interface: Option<&Interface>) -> Finding {
    let state = match state::of(pins, name, interface) {
        Ok(state) => state,
        Err(error) => {
            return Finding::bad("filter", format!("cannot check: {error}")).fix(format!("sudo fw-user detach {name}"));
        }
    };
    let attach = format!("fw-user attach {name} --allow PORTS");
    let detach = format!("fw-user detach {name}");
    match (state, interface) {
        (State::Free, _) => Finding::ok("filter", "none, and no other XDP program"),
        (State::Ours, _) => at_work(pins, name),
        (State::Foreign(id), Some(interface)) => {
            if let Ok(Some(former)) = state::former_name(pins, interface) {
                return Finding::bad("filter", format!("active, attached under the former name {former}"))
                    .fix("to move it to the new name: fw-user status");
            }
            let fix = if foreign::is_unpinned_filter(pins, interface) {
                detach
            } else {
                format!("remove it with the tool that loaded it, or: fw-user attach {name} --replace --allow PORTS")
            };
            Finding::bad("filter", format!("another XDP program: {}", foreign::examine(interface, id))).fix(fix)
        }
        (State::Damaged, Some(interface)) => {
            let damages = state::damages(pins, interface).unwrap_or_default();
            let list: Vec<String> = damages.iter().map(ToString::to_string).collect();
            Finding::bad("filter", format!("{}: {}", state.words(), list.join("; "))).fix(attach)
        }
        // A detach would open the machine. An attach keeps it filtered, or closes it again.
        (State::OtherAbi(_) | State::Stale(Stale::Recreated | Stale::TakenOff | Stale::NoLink), _) => {
            Finding::bad("filter", state.words()).fix(attach)
        }
        (state, _) => Finding::bad("filter", state.words()).fix(detach),
    }
}

/// A complete filter may still drop nothing, or only for a while.
fn at_work(pins: &Pins, name: &str) -> Finding {
    let in_force = match PolicyMap::open(pins, name).and_then(|map| map.in_force()) {
        Ok(in_force) => in_force,
        Err(error) => return Finding::bad("filter", error.to_string()).fix(format!("fw-user detach {name}")),
    };
    if in_force.deadline() != 0 {
        Finding::note("filter", "active, on trial: the last change reverts unless you confirm it")
            .fix(format!("fw-user confirm {name}"))
    } else if in_force.monitors() {
        Finding::note("filter", "monitor mode: nothing is dropped").fix(format!("fw-user enforce {name}"))
    } else {
        Finding::ok("filter", "active")
    }
}

/// The programs that see packets before the filter.
fn ahead(pins: &Pins, interface: &Interface) -> Vec<Finding> {
    let words = state::ahead(pins, interface).unwrap_or_default();
    let fix = "remove it with the tool that loaded it; `fw-user run` puts the filter first again at TC ingress";
    words.into_iter().map(|words| Finding::bad("order", words).fix(fix)).collect()
}

fn mode(pins: &Pins, interface: &Interface) -> Finding {
    let has_tcx = tcx::is_there().unwrap_or(false);
    if foreign::filter(interface).is_some() || interface.xdp_program.is_some() {
        let mode = state::mode(pins, interface);
        if mode == Mode::Generic && has_tcx {
            let words = "generic, the mode of the attached filter; tc mode costs less and leaves GRO on";
            return Finding::note("mode", words).fix(format!("fw-user attach {} --allow PORTS", interface.name));
        }
        return Finding::ok("mode", format!("{}, the mode of the attached program", mode.name()));
    }
    // The mode that replaces native mode.
    let (otherwise, how) = if has_tcx {
        ("tc", "packets are filtered at TC ingress")
    } else {
        ("generic", "packets are filtered in the network stack")
    };
    if interface.is_bare() {
        return if has_tcx {
            Finding::ok("mode", format!("tc: {how}, without Ethernet headers"))
        } else {
            Finding::bad("mode", "an interface without Ethernet headers needs Linux 6.6")
                .fix("attach to the Ethernet or Wi-Fi interface that carries its packets")
        };
    }
    match (interface.kind.as_deref(), driver(interface)) {
        (Some("veth"), _) => {
            Finding::ok("mode", format!("native if veth allows it, else {otherwise}; `attach` prints which"))
        }
        (Some(kind @ ("bond" | "bridge" | "vlan" | "macvlan" | "ipvlan" | "dummy")), _) => {
            Finding::ok("mode", format!("{otherwise}: {how} ({kind})"))
        }
        (_, Some(driver)) if GENERIC_DRIVERS.contains(&driver.as_str()) => {
            Finding::ok("mode", format!("{otherwise}: the driver {driver} has no native XDP"))
        }
        (_, Some(driver)) => Finding::ok(
            "mode",
            format!("native if the driver {driver} has it, else {otherwise}; `attach` prints which"),
        ),
        (..) => Finding::ok("mode", format!("native if the driver has it, else {otherwise}; `attach` prints which")),
    }
}

/// The driver's name. The /sys that is mounted may belong to another network namespace, where the interface has another index.
fn driver(interface: &Interface) -> Option<String> {
    let folder = PathBuf::from("/sys/class/net").join(&interface.name);
    let index: u32 = fs::read_to_string(folder.join("ifindex")).ok()?.trim().parse().ok()?;
    let driver = fs::read_link(folder.join("device/driver")).ok()?;
    (index == interface.index).then(|| driver.file_name()?.to_str().map(ToOwned::to_owned))?
}

fn mtu(interface: &Interface) -> Finding {
    let mtu = interface.mtu;
    let limit = match largest_mtu(interface) {
        largest if mtu <= largest.unwrap_or(SAFE_MTU) || interface.kind.as_deref() == Some("bridge") => {
            return Finding::ok("MTU", mtu.to_string());
        }
        Some(largest) => format!("native mode on veth needs an MTU of at most {largest} at the other end"),
        None => "native mode has an MTU limit in each driver, 1500 in some".to_owned(),
    };
    Finding::note("MTU", format!("{mtu}: {limit}; above it the filter uses tc mode, or generic mode before Linux 6.6"))
}
