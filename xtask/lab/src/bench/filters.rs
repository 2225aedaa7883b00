//! Filters that can stand between the LAN and a host. All have the same policy: what comes in at four ports, and nothing else.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    programs::{Xdp, XdpMode},
};
use fw_tests::lab::{Lab, Mode, command};

use super::stand::INTERFACE;
use xtask::{product::FwUser, workspace};

/// The ports that are open, for TCP and UDP.
pub(super) const OPEN: [u16; 4] = [22, 53, 80, 443];
/// One of them, where the host itself answers.
pub(super) const SERVICE: u16 = 53;
/// A port that nobody opened, though a container is published there.
pub(super) const CLOSED: u16 = 9125;

/// The filters to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    /// Nobody.
    None,
    /// A program that drops everything unseen: what the kernel takes for itself.
    Drop(Mode),
    /// A program that passes everything unseen.
    Pass(Mode),
    /// Ours.
    Fw(Mode),
    /// xdp-filter, of the xdp-tools.
    XdpTools(Mode),
    /// A chain of nftables at the interface's ingress hook. It knows no flows, so replies of TCP pass as all segments but SYNs do.
    NftIngress,
    /// One at prerouting, before connections are tracked.
    NftPrerouting,
    /// The same of iptables.
    IptablesRaw,
    /// The chain that Docker leaves to its users, behind its redirection.
    DockerUser,
}

impl Filter {
    /// In the form for a table.
    pub(super) fn name(self) -> String {
        match self {
            Self::None => "no filter".to_owned(),
            Self::Drop(mode) => format!("XDP_DROP alone, {mode}"),
            Self::Pass(mode) => format!("XDP_PASS alone, {mode}"),
            Self::Fw(mode) => format!("fw, {mode}"),
            Self::XdpTools(mode) => format!("xdp-filter, {mode}"),
            Self::NftIngress => "nftables ingress".to_owned(),
            Self::NftPrerouting => "nftables prerouting raw".to_owned(),
            Self::IptablesRaw => "iptables raw PREROUTING".to_owned(),
            Self::DockerUser => "DOCKER-USER".to_owned(),
        }
    }

    /// Put it on the LAN's interface of a lab's Pi.
    pub(super) fn attach(self, lab: &Lab) -> Result<Attached> {
        let ports = OPEN.map(|port| port.to_string()).join(",");
        match self {
            Self::None => {}
            Self::Drop(mode) => return program(lab, "drop", mode).map(Attached::Program),
            Self::Pass(mode) => return program(lab, "pass", mode).map(Attached::Program),
            Self::Fw(mode) => {
                let allow = OPEN.map(|port| format!("{port}/tcp,{port}/udp")).join(",");
                let mut attach = lab.pi.command(FwUser::Release.path());
                let mode = mode.to_string();
                lab.fw.finish(&mut attach, ["attach", INTERFACE, "--mode", &mode, "--allow", &allow]);
                command::run(&mut attach)?;
            }
            Self::XdpTools(mode) => {
                let mode = match mode {
                    Mode::Native => "native",
                    Mode::Generic | Mode::Tc => "skb",
                };
                // It pins by the interface's name, which is the same in every lab: below the lab's own folder.
                let mut script = format!("mount --bind {} /sys/fs/bpf", lab.fw.bpffs().display());
                script += &format!(" && xdp-filter load --policy deny --mode {mode} {INTERFACE}");
                for port in OPEN {
                    script += &format!(" && xdp-filter port {port} --mode dst --proto tcp,udp");
                }
                command::run(lab.pi.command("unshare").args(["--mount", "--", "sh", "-c", &script]))?;
            }
            Self::NftIngress => lab.pi.nft(&format!(
                "add table netdev bench
                add chain netdev bench ingress {{ type filter hook ingress device {INTERFACE} priority 0; }}
                add rule netdev bench ingress udp dport != {{ {ports} }} drop
                add rule netdev bench ingress tcp dport != {{ {ports} }} tcp flags & (syn | ack) == syn drop"
            ))?,
            Self::NftPrerouting => lab.pi.nft(&format!(
                "add table inet bench
                add chain inet bench prerouting {{ type filter hook prerouting priority raw; }}
                add rule inet bench prerouting iifname {INTERFACE} meta l4proto {{ tcp, udp }} th dport != {{ {ports} }} drop"
            ))?,
            Self::IptablesRaw => {
                for protocol in ["tcp", "udp"] {
                    lab.pi.run(&format!(
                        "iptables -t raw -A PREROUTING -i {INTERFACE} -p {protocol} -m multiport ! --dports {ports} -j DROP"
                    ))?;
                }
            }
            Self::DockerUser => docker_user(lab)?,
        }
        Ok(Attached::ByItself)
    }
}

/// The object that keeps a filter attached.
pub(super) enum Attached {
    /// The kernel, as long as the interface is there.
    ByItself,
    /// The link of a program.
    Program(#[expect(dead_code, reason = "held, not used")] Ebpf),
}

/// The chains as Docker has them, and the rules that its manual has for ports of the outside.
fn docker_user(lab: &Lab) -> Result<()> {
    for rule in [
        "-N DOCKER-USER",
        "-I FORWARD -j DOCKER-USER",
        "-A DOCKER-USER -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    ] {
        lab.pi.run(&format!("iptables {rule}"))?;
    }
    for (protocol, port) in ["tcp", "udp"].into_iter().flat_map(|protocol| OPEN.map(|port| (protocol, port))) {
        lab.pi.run(&format!(
            "iptables -A DOCKER-USER -i {INTERFACE} -p {protocol} -m conntrack --ctorigdstport {port} --ctdir ORIGINAL -j ACCEPT"
        ))?;
    }
    lab.pi.run(&format!("iptables -A DOCKER-USER -i {INTERFACE} -j DROP")).map(drop)
}

/// A program of fw-ebpf-bench/src/traffic.rs.
fn program(lab: &Lab, name: &str, mode: Mode) -> Result<Ebpf> {
    let path = object_path();
    let mut object = Ebpf::load_file(&path).with_context(|| format!("cannot load {}", path.display()))?;
    let program: &mut Xdp = object.program_mut(name).with_context(|| format!("no program {name}"))?.try_into()?;
    program.load()?;
    let mode = match mode {
        Mode::Native => XdpMode::Driver,
        Mode::Generic | Mode::Tc => XdpMode::Skb,
    };
    lab.pi.enter(|| program.attach(INTERFACE, mode))?;
    Ok(object)
}

/// The folder of the compiled programs.
pub(super) fn object_path() -> PathBuf {
    workspace::target().join("ebpf/traffic.bpf.o")
}
