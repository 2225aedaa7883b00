//! The hooks at which the rows are played.

use anyhow::{Context as _, Result, bail, ensure};
use aya::{
    Ebpf, TestRun as _, TestRunOptions,
    programs::{Program, ProgramError, SchedClassifier, Xdp},
};
use fw_common::{
    Verdict,
    address::V6,
    record::{source, source_of_packet},
};
use fw_user::testing::object;

use crate::packet::ether_type;

/// The return value of a TC program for a packet that passes: the next program decides.
const TC_ACT_UNSPEC: u32 = u32::MAX;
const TC_ACT_SHOT: u32 = 2;
const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;

/// `BPF_PROG_TEST_RUN` refuses frames without an Ethernet header.
pub const LEAST_FRAME: usize = 14;

/// A place in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// XDP, native or generic.
    Xdp,
    /// XDP in a driver that hands over frames with fragments.
    XdpFrag,
    /// TC ingress.
    Tc,
    /// TC ingress of an interface without Ethernet headers. `BPF_PROG_TEST_RUN` wants one all the same, which the programs skip.
    Bare,
}

impl Place {
    pub(super) const fn skipped(self) -> u8 {
        match self {
            Self::Xdp | Self::XdpFrag | Self::Tc => 0,
            Self::Bare => object::ASKED_HEADER,
        }
    }

    const fn ingress(self) -> &'static str {
        match self {
            Self::Xdp => object::INGRESS,
            Self::XdpFrag => object::INGRESS_FRAG,
            Self::Tc => object::INGRESS_TC,
            Self::Bare => object::INGRESS_L3,
        }
    }

    const fn egress(self) -> &'static str {
        match self {
            Self::Xdp | Self::XdpFrag | Self::Tc => object::EGRESS,
            Self::Bare => object::EGRESS_L3,
        }
    }

    pub(super) fn load(self, ebpf: &mut Ebpf) -> Result<()> {
        object::load_classifier(ebpf, self.egress())?;
        match self {
            Self::Xdp | Self::XdpFrag => object::load_xdp(ebpf, self.ingress()).map(drop)?,
            Self::Tc | Self::Bare => object::load_classifier(ebpf, self.ingress()).map(drop)?,
        }
        Ok(())
    }

    /// The part of a frame that the programs get.
    pub(super) fn seen(self, frame: &[u8]) -> &[u8] {
        match self {
            Self::Xdp | Self::XdpFrag | Self::Tc => frame,
            Self::Bare => &frame[LEAST_FRAME..],
        }
    }

    /// The sender of the frames that the programs get.
    pub(super) fn source(self, frame: &[u8]) -> Option<V6> {
        match self {
            Self::Xdp | Self::XdpFrag | Self::Tc => source(frame),
            Self::Bare => source_of_packet(self.seen(frame), ether_type(frame)),
        }
    }

    pub(super) fn send(self, ebpf: &mut Ebpf, ifindex: u32, frame: &[u8]) -> Result<()> {
        let answer = run_classifier(ebpf, self.egress(), Some(ifindex), frame, 1)?;
        ensure!(answer == TC_ACT_UNSPEC, "the egress program answers {answer}");
        Ok(())
    }

    pub(super) fn receive(self, ebpf: &mut Ebpf, ifindex: Option<u32>, frame: &[u8], times: u32) -> Result<Verdict> {
        let answer = match self {
            Self::Xdp | Self::XdpFrag => run_xdp(ebpf, self.ingress(), ifindex, frame, times)?,
            Self::Tc | Self::Bare => run_classifier(ebpf, self.ingress(), ifindex, frame, times)?,
        };
        match (self, answer) {
            (Self::Xdp | Self::XdpFrag, XDP_PASS) | (Self::Tc | Self::Bare, TC_ACT_UNSPEC) => Ok(Verdict::Pass),
            (Self::Xdp | Self::XdpFrag, XDP_DROP) | (Self::Tc | Self::Bare, TC_ACT_SHOT) => Ok(Verdict::Drop),
            (_, other) => bail!("the ingress program answers {other}"),
        }
    }
}

fn run_xdp(ebpf: &mut Ebpf, name: &str, ifindex: Option<u32>, frame: &[u8], times: u32) -> Result<u32> {
    // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
    let context: [u32; 6] = [0, u32::try_from(frame.len())?, 0, ifindex.unwrap_or(0), 0, 0];
    let options = TestRunOptions {
        data_in: Some(frame),
        ctx_in: ifindex.is_some().then_some(bytemuck::bytes_of(&context)),
        repeat: times,
        ..TestRunOptions::default()
    };
    let program = program::<Xdp>(ebpf, name)?;
    Ok(program.test_run(options).with_context(|| format!("running {name}"))?.return_value)
}

fn run_classifier(ebpf: &mut Ebpf, name: &str, ifindex: Option<u32>, frame: &[u8], times: u32) -> Result<u32> {
    // struct __sk_buff as far as ifindex, the eleventh word.
    let mut context = [0_u32; 11];
    context[10] = ifindex.unwrap_or(0);
    let options = TestRunOptions {
        data_in: Some(frame),
        ctx_in: ifindex.is_some().then_some(bytemuck::bytes_of(&context)),
        repeat: times,
        ..TestRunOptions::default()
    };
    let program = program::<SchedClassifier>(ebpf, name)?;
    Ok(program.test_run(options).with_context(|| format!("running {name}"))?.return_value)
}

fn program<'a, P>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut P>
where
    &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
{
    Ok(ebpf.program_mut(name).with_context(|| format!("no program {name}"))?.try_into()?)
}
