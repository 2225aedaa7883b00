//! Other XDP programs on the interface: named, refused, and taken off where that is asked for.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use aya::{
    Ebpf, EbpfLoader,
    programs::{ProgramError, Xdp, XdpMode, links::FdLink},
};
use fw_tests::{
    lab::{
        Lab, Mode,
        background::Background,
        command,
        traffic::{OPEN, Traffic},
        wait,
    },
    tests,
};

const FAILED: i32 = 1;
const TAKEN: i32 = 3;

tests! { in both modes:
    a_program_attached_by_a_link_is_named_and_replaced_when_asked;
    a_program_attached_by_netlink_is_named_and_replaced_when_asked;
}

tests! { in tc mode:
    a_program_attached_by_a_link_is_named_and_replaced_when_asked;
}

tests! {
    a_pinned_program_is_named_with_its_pin;
    replacing_changes_nothing_where_nothing_is_to_be_replaced;
    of_two_that_replace_at_once_the_second_leaves_no_gap;
}

/// The name of a program that is not ours, as long as ours.
const NAME: &str = "theirs_xdp";

/// A foreign program, identified by its name; its behaviour does not matter.
fn other_program() -> Result<Ebpf> {
    let mut object = fw_user::testing::OBJECT.to_vec();
    for at in 0..object.len() - NAME.len() {
        if object[at..].starts_with(b"fw_ingress") {
            object[at..at + NAME.len()].copy_from_slice(NAME.as_bytes());
        }
    }
    let mut object = EbpfLoader::new().btf(None).load(&object)?;
    let program: &mut Xdp = object.program_mut(NAME).context("the program")?.try_into()?;
    // The kernel gives up when a signal comes, and tests get one whenever a child ends.
    wait::until("the program to be verified", || match program.load() {
        Err(ProgramError::LoadError { io_error, .. }) if io_error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
        loaded => Ok(Some(loaded?)),
    })?;
    Ok(object)
}

fn attach_by_link(lab: &Lab, object: &mut Ebpf, mode: Mode) -> Result<(u32, FdLink)> {
    let program: &mut Xdp = object.program_mut(NAME).context("the program")?.try_into()?;
    let id = program.info()?.id();
    let mode = if mode == Mode::Native { XdpMode::Driver } else { XdpMode::Skb };
    let link = lab.pi.enter(|| program.attach("eth0", mode).and_then(|link| program.take_link(link)))?;
    Ok((id, FdLink::try_from(link)?))
}

/// Pin a program, so that `ip` can attach it by netlink.
fn pin_program(object: &mut Ebpf, path: &Path) -> Result<u32> {
    let program: &mut Xdp = object.program_mut(NAME).context("the program")?.try_into()?;
    program.pin(path)?;
    Ok(program.info()?.id())
}

fn is_attached(lab: &Lab, id: u32) -> Result<bool> {
    Ok(lab.pi.run("ip -details link show eth0")?.contains(&format!("prog/xdp id {id} ")))
}

fn a_program_attached_by_a_link_is_named_and_replaced_when_asked(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    let traffic = Traffic::without_filter(&lab)?;
    let mut object = other_program()?;
    let (id, link) = attach_by_link(&lab, &mut object, mode)?;
    let holder = format!("(process {})", std::process::id());
    let words = ["`theirs_xdp`", &format!("(id {id})"), "attached by a link", &holder, "attach again", "--replace"];
    lab.refuses(&["attach", "eth0", "--allow", "22"], TAKEN, &words)?;
    ensure!(is_attached(&lab, id)?, "it is gone");
    let trial = ["attach", "eth0", "--allow", "22", "--replace", "--confirm", "60"];
    lab.refuses(&trial, FAILED, &["another program", "without --confirm"])?;
    lab.fw(&["attach", "eth0", "--allow", OPEN, "--replace", "--mode", &mode.to_string()])?;
    traffic.is_filtered()?;
    ensure!(!is_attached(&lab, id)?, "it is there still");
    drop(link);
    traffic.is_filtered()?;
    lab.fw(&["detach", "eth0"])?;
    lab.nothing_is_left_behind()
}

fn a_program_attached_by_netlink_is_named_and_replaced_when_asked(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    let traffic = Traffic::without_filter(&lab)?;
    let pin = lab.fw.bpffs().join("theirs");
    let mut object = other_program()?;
    let id = pin_program(&mut object, &pin)?;
    drop(object);
    let hook = if mode == Mode::Native { "xdpdrv" } else { "xdpgeneric" };
    let path = pin.to_str().context("a path in UTF-8")?;
    lab.pi.run(&format!("ip link set dev eth0 {hook} pinned {path}"))?;
    wait::until("the program", || Ok(is_attached(&lab, id)?.then_some(())))?;
    let words = ["`theirs_xdp`", &format!("(id {id})"), "attached by netlink", "pinned at", path, "--replace"];
    lab.refuses(&["attach", "eth0", "--allow", "22"], TAKEN, &words)?;
    for mode in ["native", "generic"] {
        lab.fw(&["attach", "eth0", "--allow", OPEN, "--replace", "--mode", mode])?;
        traffic.is_filtered()?;
        lab.fw(&["detach", "eth0"])?;
        traffic.is_unfiltered()?;
        lab.pi.run(&format!("ip link set dev eth0 {hook} pinned {path}"))?;
    }
    lab.pi.run(&format!("ip link set dev eth0 {hook} off"))?;
    std::fs::remove_file(&pin)?;
    lab.nothing_is_left_behind()
}

fn a_pinned_program_is_named_with_its_pin() -> Result<()> {
    let lab = Lab::without_containers()?;
    let mut object = other_program()?;
    let (_, link) = attach_by_link(&lab, &mut object, Mode::Native)?;
    let pin = lab.fw.bpffs().join("theirs");
    let pinned = link.pin(&pin)?;
    let words = ["eth0 is taken", "pinned at", pin.to_str().context("a path in UTF-8")?];
    lab.refuses(&["attach", "eth0", "--allow", "22"], TAKEN, &words)?;
    drop(pinned.unpin()?);
    Ok(())
}

fn replacing_changes_nothing_where_nothing_is_to_be_replaced() -> Result<()> {
    let lab = Lab::without_containers()?;
    let traffic = Traffic::without_filter(&lab)?;
    lab.fw(&["attach", "eth0", "--allow", OPEN, "--replace"])?;
    traffic.during(|| lab.fw(&["attach", "eth0", "--allow", OPEN, "--replace"]).map(drop))?;
    let programs = command::run(lab.pi.command("ip").args(["link", "show", "eth0"]))?;
    ensure!(programs.contains("xdp"), "{programs}");
    traffic.is_filtered()
}

/// A command that decided before its turn would take our filter off as a foreign program.
fn of_two_that_replace_at_once_the_second_leaves_no_gap() -> Result<()> {
    let lab = Lab::without_containers()?;
    let traffic = Traffic::without_filter(&lab)?;
    let mut object = other_program()?;
    let (_, link) = attach_by_link(&lab, &mut object, Mode::Native)?;
    let lock = lab.fw.lock()?;
    let replace = ["attach", "eth0", "--allow", OPEN, "--replace"];
    let mut both = [lab.fw_at_lock(&replace)?, lab.fw_at_lock(&replace)?];
    drop(lock);
    wait::until("one of them to have attached", || {
        let said = both.iter().map(Background::said).collect::<Result<Vec<_>>>()?;
        Ok(said.iter().any(|said| said.contains("eth0  attached")).then_some(()))
    })?;
    traffic.during(|| both.iter_mut().try_for_each(|replace| replace.await_success().map(drop)))?;
    drop(link);
    traffic.is_filtered()
}
