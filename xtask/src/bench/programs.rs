//! The programs that judge.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    programs::{SchedClassifier, TestRun as _, TestRunOptions, Xdp, XdpMode},
    util::nr_cpus,
};
use aya_obj::programs::XdpAttachType;
use fw_common::{Verdict, abi::DEFAULT_FLOWS, policy::Policy};
use fw_user::bpf::{
    egress, ingress,
    object::{self, EGRESS, INGRESS},
    pins::Pins,
    policy_map::{PolicyMap, Terms},
    shape::Shapes,
};

use super::{FLOOR, FW, XDP_FILTER, packets::ALLOWED};
use crate::command;

/// What XDP programs return.
const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;

/// The programs, loaded and attached.
///
/// A program that is attached somewhere is called by the kernel's XDP dispatcher as it is in earnest. One that is not is put there for
/// each `TEST_RUN`, which waits for an RCU grace period: much longer than what is to be measured.
pub(super) struct Programs {
    floor: Ebpf,
    fw: Ebpf,
    xdp_filter: Xdp,
}

/// Load them all, each with a policy that allows one TCP port.
pub(super) fn load(floor: &Path) -> Result<Programs> {
    Ok(Programs { floor: load_floor(floor)?, fw: load_fw()?, xdp_filter: load_xdp_filter()? })
}

impl Programs {
    /// A program that does nothing but drop.
    pub(super) fn floor(&self) -> Result<&Xdp> {
        xdp(&self.floor, "empty")
    }

    /// Ours.
    pub(super) fn fw(&self) -> Result<&Xdp> {
        xdp(&self.fw, INGRESS)
    }

    /// xdp-filter's.
    pub(super) fn xdp_filter(&self) -> &Xdp {
        &self.xdp_filter
    }

    /// Have a packet leave, so that what answers it is a reply.
    pub(super) fn send(&self, frame: &[u8]) -> Result<()> {
        let program: &SchedClassifier =
            self.fw.program(EGRESS).context("the object has no egress program")?.try_into()?;
        program.test_run(TestRunOptions { data_in: Some(frame), ..TestRunOptions::new() })?;
        Ok(())
    }
}

/// Let a program judge a packet so many times, and return what it says.
pub(super) fn judge(program: &Xdp, frame: &[u8], times: u32) -> Result<Verdict> {
    let options = TestRunOptions { data_in: Some(frame), repeat: times, ..TestRunOptions::new() };
    match program.test_run(options)?.return_value {
        XDP_DROP => Ok(Verdict::Drop),
        XDP_PASS => Ok(Verdict::Pass),
        other => anyhow::bail!("the program returned {other}, neither XDP_PASS nor XDP_DROP"),
    }
}

fn xdp<'a>(object: &'a Ebpf, name: &str) -> Result<&'a Xdp> {
    let program = object.program(name).with_context(|| format!("the object has no program {name}"))?;
    Ok(program.try_into()?)
}

fn load_floor(path: &Path) -> Result<Ebpf> {
    let object = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut floor = Ebpf::load(&object)?;
    let program: &mut Xdp = floor.program_mut("empty").context("the object has no program empty")?.try_into()?;
    program.load()?;
    program.attach(FLOOR, XdpMode::Driver)?;
    Ok(floor)
}

/// As `fw-user attach` loads it, but for the interface.
fn load_fw() -> Result<Ebpf> {
    let pins = Pins::new(Path::new("/sys/fs/bpf/bench"));
    pins.ensure_bpffs()?;
    pins.prepare(FW)?;
    let cpus = nr_cpus().map_err(|(_, error)| error).context("cannot count the CPUs")?;
    let mut fw = object::load(&pins, FW, Shapes::new(u32::try_from(cpus)?, DEFAULT_FLOWS), false)?;
    PolicyMap::open(&pins, FW)?.write_first(&Policy::new([format!("{ALLOWED}/tcp").parse()?]), Terms::default())?;
    ingress::load(&mut fw)?.attach(FW, XdpMode::Driver)?;
    egress::load(&mut fw)?;
    Ok(fw)
}

/// Debian's, with the policy that denies what is not allowed.
fn load_xdp_filter() -> Result<Xdp> {
    let run = |line: &str| command::output(Command::new("xdp-filter").args(line.split(' '))).map(drop);
    run(&format!("load --policy deny --mode native {XDP_FILTER}"))?;
    run(&format!("port {ALLOWED} --mode dst --proto tcp"))?;
    let pin = format!("/sys/fs/bpf/xdp-filter/programs/{XDP_FILTER}/xdpfilt_dny_all");
    Xdp::from_pin(&pin, XdpAttachType::Interface).with_context(|| format!("cannot open {pin}"))
}
