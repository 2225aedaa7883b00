//! The programs that judge.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, EbpfLoader,
    maps::{HashMap, Map, MapData},
    programs::{SchedClassifier, TestRun as _, TestRunOptions, Xdp, XdpMode},
    util::nr_cpus,
};
use aya_obj::programs::XdpAttachType;
use fw_common::{
    Verdict,
    abi::map,
    flow::{FlowEntry, FlowKey4, FlowKey6},
    policy::Policy,
};
use fw_user::testing::{
    bpffs, mount,
    object::{self, EGRESS, INGRESS},
    pins::Pins,
    plain::Plain,
    policy_map::{PolicyMap, Terms},
    shape::Shapes,
};

use super::{network, packets::ALLOWED};
use xtask::{command, workspace};

/// The pins of a part of the benchmarks, in a BPF file system that ends with this process.
pub(super) fn pins(part: &str) -> Pins {
    Pins::new(&Path::new(bpffs::DEFAULT).join("bench").join(part))
}

/// Take pins away, and with them the maps.
pub(super) fn forget(pins: &Pins) -> Result<()> {
    let root = pins.root();
    fs::remove_dir_all(root).with_context(|| format!("cannot remove {}", root.display()))
}

/// The return values of XDP programs.
const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;

/// Let a program judge a packet so many times, and return what it says.
///
/// The kernel's XDP dispatcher calls an attached program as in real operation. A program that is not attached is installed for each `TEST_RUN`, which
/// waits for an RCU grace period, much longer than the measurement.
pub(super) fn judge(program: &Xdp, frame: &[u8], times: u32) -> Result<Verdict> {
    let options = TestRunOptions { data_in: Some(frame), repeat: times, ..TestRunOptions::new() };
    match program.test_run(options)?.return_value {
        XDP_DROP => Ok(Verdict::Drop),
        XDP_PASS => Ok(Verdict::Pass),
        other => anyhow::bail!("the program returned {other}, neither XDP_PASS nor XDP_DROP"),
    }
}

/// The programs that the filter is measured with, fw-ebpf-bench/src/bench.rs.
pub(super) struct Gauges(Ebpf);

impl Gauges {
    /// Load some of them around the maps of a filter, and attach each to an interface of its own.
    pub(super) fn attach(filter: &Filter, names: &[&str]) -> Result<Self> {
        let path = object_path();
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut loader = EbpfLoader::new();
        for name in map::SHARED {
            loader.map_pin_path(name, filter.pins.shared_map(name));
        }
        for name in map::PER_INTERFACE {
            loader.map_pin_path(name, filter.pins.map(&filter.interface, name));
        }
        let mut object = loader.load(&bytes)?;
        for name in names {
            let program = object.program_mut(name).with_context(|| format!("the object has no program {name}"))?;
            let program: &mut Xdp = program.try_into()?;
            program.load()?;
            program.attach(&network::interface()?, XdpMode::Driver)?;
        }
        Ok(Self(object))
    }

    /// One that was attached.
    pub(super) fn program(&self, name: &str) -> Result<&Xdp> {
        xdp(&self.0, name)
    }
}

/// The path of the object with the [`Gauges`].
pub(super) fn object_path() -> PathBuf {
    workspace::target().join("ebpf/bench.bpf.o")
}

fn xdp<'a>(object: &'a Ebpf, name: &str) -> Result<&'a Xdp> {
    let program = object.program(name).with_context(|| format!("the object has no program {name}"))?;
    Ok(program.try_into()?)
}

/// Ours, on an interface of its own.
pub(super) struct Filter {
    object: Ebpf,
    pins: Pins,
    interface: String,
}

impl Filter {
    /// As `fw-user attach` loads it, but for the interface.
    pub(super) fn attach(pins: Pins, policy: &Policy, flows: u32) -> Result<Self> {
        let interface = network::interface()?;
        mount::ensure(pins.bpffs())?;
        pins.prepare(&interface)?;
        let cpus = nr_cpus().map_err(|(_, error)| error).context("cannot count the CPUs")?;
        let mut object = object::load(&pins, &interface, Shapes::new(u32::try_from(cpus)?, flows), false)?;
        PolicyMap::open(&pins, &interface)?.write_first(policy, Terms::default())?;
        object::load_xdp(&mut object, INGRESS)?.attach(&interface, XdpMode::Driver)?;
        object::load_classifier(&mut object, EGRESS)?;
        Ok(Self { object, pins, interface })
    }

    pub(super) fn program(&self) -> Result<&Xdp> {
        xdp(&self.object, INGRESS)
    }

    /// Have a packet leave, so that what answers it is a reply.
    pub(super) fn send(&self, frame: &[u8]) -> Result<()> {
        let program: &SchedClassifier =
            self.object.program(EGRESS).context("the object has no egress program")?.try_into()?;
        program.test_run(TestRunOptions { data_in: Some(frame), ..TestRunOptions::new() })?;
        Ok(())
    }

    /// Put flows into the tables that nothing answers, until there are so many, beside those that are there.
    pub(super) fn fill(&self, flows: u32) -> Result<()> {
        fill(&self.pins, flows)
    }
}

/// Put flows into the tables of both families that are none of anybody's, and those of all zeros.
pub(super) fn fill(pins: &Pins, flows: u32) -> Result<()> {
    let open = |name| MapData::from_pin(pins.shared_map(name));
    let entry = Plain(FlowEntry::new(0, true));
    let mut flows4: HashMap<_, Plain<FlowKey4>, Plain<FlowEntry>> = Map::LruHashMap(open(map::FLOWS4)?).try_into()?;
    let mut flows6: HashMap<_, Plain<FlowKey6>, Plain<FlowEntry>> = Map::LruHashMap(open(map::FLOWS6)?).try_into()?;
    for remote in 0..flows {
        flows4.insert(Plain(FlowKey4 { remote, local: 0, ports: 0, class: 0 }), entry, 0)?;
        flows6.insert(Plain(FlowKey6 { remote: [remote, 0, 0, 0], local: [0; 4], ports: 0, class: 0 }), entry, 0)?;
    }
    Ok(())
}

/// One TCP port and nothing else.
pub(super) fn one_port() -> Result<Policy> {
    Ok(Policy::new([format!("{ALLOWED}/tcp").parse()?]))
}

/// Debian's, with the policy that denies what is not allowed.
pub(super) fn xdp_filter() -> Result<Xdp> {
    let interface = network::interface()?;
    let run = |line: &str| command::output(Command::new("xdp-filter").args(line.split(' '))).map(drop);
    run(&format!("load --policy deny --mode native {interface}"))?;
    run(&format!("port {ALLOWED} --mode dst --proto tcp"))?;
    let pin = Path::new("/sys/fs/bpf/xdp-filter/programs").join(interface).join("xdpfilt_dny_all");
    Xdp::from_pin(&pin, XdpAttachType::Interface).with_context(|| format!("cannot open {}", pin.display()))
}
