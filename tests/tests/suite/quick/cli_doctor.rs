//! `fw-user doctor`: a healthy machine has no problems, every problem is named, and its fix fixes it.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Output},
};

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::{Lab, Mode, Refusal, command, fw, skip::Missing},
    tests,
};
use serde::Deserialize;

tests! {
    a_healthy_machine_is_well_attached_or_not;
    what_is_broken_is_named_and_the_fix_fixes_it;
    what_closes_nothing_or_not_for_long_is_noted;
    another_program_is_named;
    an_interface_that_cannot_be_filtered_is_bad;
    without_privileges_it_says_what_it_could_not_see;
    in_a_user_namespace_it_sends_to_the_host;
    where_an_interface_stands_is_noted;
    a_bridge_and_its_port_are_told_the_same_place;
}

const PRIVILEGE: i32 = 4;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    verdict: String,
    interfaces: Vec<Classed>,
    findings: Vec<Finding>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Classed {
    name: String,
    class: String,
    class_reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Finding {
    interface: Option<String>,
    about: String,
    verdict: String,
    found: String,
    fix: Option<String>,
    cure: Option<String>,
}

/// The doctor's findings, and whether there are no problems.
fn ask(lab: &Lab, args: &[&str]) -> Result<(Answer, bool)> {
    let output = lab.fw.command(&lab.pi, [&["doctor", "--json"], args].concat()).output()?;
    let said = String::from_utf8(output.stdout)?;
    let answer: Answer = serde_json::from_str(&said).with_context(|| format!("doctor --json printed {said}"))?;
    let code = output.status.code().context("killed")?;
    ensure!((code == 0) == (answer.verdict != "bad"), "ended with {code}, and says {answer:?}");
    let complaint = String::from_utf8(output.stderr)?;
    ensure!(code == 0 || complaint.contains("see the fix below"), "{complaint}");
    Ok((answer, code == 0))
}

impl Answer {
    fn bad(&self) -> Vec<&Finding> {
        self.findings.iter().filter(|finding| finding.verdict == "bad").collect()
    }

    /// Whether there are no problems, except that a lab has no systemd to tell the effect of a reboot.
    fn is_well(&self) -> bool {
        let is_of_the_boot = |finding: &Finding| finding.about == "boot" && finding.found.contains("systemd");
        self.findings.iter().all(|finding| finding.verdict == "ok" || is_of_the_boot(finding))
    }

    fn find(&self, interface: Option<&str>, about: &str) -> Result<&Finding> {
        let fits = |finding: &&Finding| finding.interface.as_deref() == interface && finding.about == about;
        self.findings.iter().find(fits).with_context(|| format!("no word about {about} in {self:?}"))
    }
}

fn a_healthy_machine_is_well_attached_or_not() -> Result<()> {
    let lab = Lab::without_containers()?;
    for attached in [false, true] {
        if attached {
            lab.fw(&["attach", "eth0", "--allow", "22"])?;
        }
        let (answer, well) = ask(&lab, &["eth0"])?;
        ensure!(well && answer.is_well(), "{answer:?}");
        ensure!(answer.find(Some("eth0"), "mode")?.found.contains("native"), "{answer:?}");
        let Classed { name, class, class_reason } = answer.interfaces.first().context("no interface is classed")?;
        assert_eq!((name.as_str(), class.as_str()), ("eth0", "outside"));
        assert_eq!(answer.find(Some("eth0"), "class")?.found, format!("outside: {class_reason}"));
        let gro = if attached { "off" } else { "on" };
        lab.pi.run(&format!("ethtool -K eth0 gro {gro}"))?;
        let (now, _) = ask(&lab, &["eth0"])?;
        ensure!(now.find(Some("eth0"), "offloads")?.found.starts_with(&format!("GRO {gro}, LRO off")), "{now:?}");
        let text = lab.fw(&["doctor"])?;
        let is_of_the_boot = |line: &str| line.contains("eth0 boot ");
        // Without a filter the command that attaches one is proposed.
        let (fixes, lines): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with(' '));
        ensure!(lines.len() == now.findings.len(), "{text}");
        ensure!(lines.iter().all(|line| line.starts_with("ok    ") || is_of_the_boot(line)), "{text}");
        ensure!(
            fixes.iter().map(|line| line.trim()).eq((!attached).then_some("fix: fw-user attach eth0 --allow PORTS")),
            "{text}"
        );
    }
    Ok(())
}

/// Damage to a lab with filters on eth0 and eth1, and words of the finding.
type Broken = (&'static str, fn(&Lab) -> Result<()>, &'static str);

const BROKEN: &[Broken] = &[
    (
        "a map is missing",
        |lab| Ok(fs::remove_file(lab.fw.bpffs().join("fw-user/v5/if-eth0/META"))?),
        "META: it is missing",
    ),
    (
        "another version attached",
        |lab| Ok(fs::rename(lab.fw.bpffs().join("fw-user/v5"), lab.fw.bpffs().join("fw-user/v1"))?),
        "ABI 1",
    ),
    ("an interface is gone", |lab| lab.pi.run("ip link delete eth1").map(drop), "interface is gone"),
    (
        "something is not ours",
        |lab| Ok(symlink("/nowhere", lab.fw.bpffs().join("fw-user/v5/if-eth0/theirs"))?),
        "theirs was not created by fw-user",
    ),
    (
        "the pins are gone, and somebody holds the link",
        |lab| {
            let theirs = lab.fw.bpffs().join("theirs");
            fs::hard_link(lab.fw.bpffs().join("fw-user/v5/if-eth0/ingress-link"), theirs)?;
            Ok(fs::remove_dir_all(lab.fw.bpffs().join("fw-user"))?)
        },
        "a filter of fw-user whose pins are not here",
    ),
];

fn what_is_broken_is_named_and_the_fix_fixes_it() -> Result<()> {
    for (name, break_it, words) in BROKEN {
        let work = || -> Result<()> {
            let lab = Lab::without_containers()?;
            lab.add_second_lan()?;
            lab.fw(&["attach", "eth0", "eth1", "--allow", "22"])?;
            ask(&lab, &[])?.1.then_some(()).context("it was not well before")?;
            break_it(&lab)?;
            let (answer, well) = ask(&lab, &[])?;
            let bad = answer.bad();
            ensure!(!well && bad.iter().any(|finding| finding.found.contains(words)), "{answer:?}");
            for finding in bad {
                let fix = finding.fix.as_deref().with_context(|| format!("no fix for {finding:?}"))?;
                assert_eq!(finding.cure.as_deref(), Some(fix), "the former name of the field");
                let fix = fix.replace("PORTS", "22");
                match fix.strip_prefix("fw-user ") {
                    Some(args) => drop(lab.fw(&args.split(' ').collect::<Vec<_>>())?),
                    None => drop(lab.pi.run(&fix)?),
                }
            }
            let (answer, well) = ask(&lab, &[])?;
            ensure!(well, "the fixes did not help: {answer:?}");
            Ok(())
        };
        work().context(*name)?;
    }
    Ok(())
}

fn what_closes_nothing_or_not_for_long_is_noted() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.fw(&["attach", "eth0", "--allow", "22", "--monitor"])?;
    let noted = |interface, about, words: &str, fix: &str| -> Result<()> {
        let (answer, well) = ask(&lab, &["eth0"])?;
        let finding = answer.find(interface, about)?;
        ensure!(well && finding.verdict == "note" && finding.found.contains(words), "{answer:?}");
        ensure!(finding.fix.as_deref() == Some(fix), "{answer:?}");
        lab.fw(&fix.split(' ').skip(1).collect::<Vec<_>>())?;
        let (answer, _) = ask(&lab, &["eth0"])?;
        ensure!(answer.is_well(), "{answer:?}");
        Ok(())
    };
    noted(Some("eth0"), "filter", "nothing is dropped", "fw-user enforce eth0")?;
    lab.fw(&["allow", "80", "--confirm", "600"])?;
    noted(Some("eth0"), "filter", "on trial", "fw-user confirm eth0")?;
    // As of a command that was killed between the folders and the links.
    lab.fw(&["detach", "eth0"])?;
    fs::create_dir_all(lab.fw.bpffs().join("fw-user/v5/shared"))?;
    noted(None, "leftovers", "fw-user/v5", "fw-user detach --all")?;
    lab.nothing_is_left_behind()
}

fn another_program_is_named() -> Result<()> {
    let lab = Lab::without_containers()?;
    let other = fw::FwUser::new()?;
    command::run(&mut other.command(&lab.pi, ["attach", "eth0", "--allow", "22"]))?;
    let (answer, well) = ask(&lab, &["eth0"])?;
    let filter = answer.find(Some("eth0"), "filter")?;
    ensure!(!well && filter.verdict == "bad" && filter.found.contains("`fw_ingress`"), "{answer:?}");
    ensure!(filter.found.contains(other.bpffs().to_str().context("a path in UTF-8")?), "{answer:?}");
    Ok(())
}

fn an_interface_that_cannot_be_filtered_is_bad() -> Result<()> {
    let lab = Lab::without_containers()?;
    let (answer, well) = ask(&lab, &["lo"])?;
    ensure!(!well && answer.find(Some("lo"), "link layer")?.verdict == "bad", "{answer:?}");
    let refusal = lab.fw_fails(&["doctor", "eth7"])?;
    ensure!(refusal.code == 1 && refusal.message.contains("`eth7`"), "{refusal:?}");
    Ok(())
}

fn without_privileges_it_says_what_it_could_not_see() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22")?;
    let folder = tempfile::tempdir()?;
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let copy = folder.path().join("fw-user");
    fs::copy(fw::binary(), &copy)?;
    let mut nobody = lab.pi.command("setpriv");
    nobody.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(copy);
    lab.fw.finish(&mut nobody, ["doctor", "eth0", "--json"]);
    let output = nobody.output()?;
    ensure!(output.status.code() == Some(1), "ended with {}", output.status);
    let answer: Answer = serde_json::from_slice(&output.stdout)?;
    let privileges = answer.find(None, "privileges")?;
    ensure!(privileges.verdict == "bad" && privileges.found.contains("CAP_BPF"), "{answer:?}");
    ensure!(privileges.fix.as_deref() == Some("sudo fw-user doctor"), "{answer:?}");
    ensure!(answer.find(Some("eth0"), "filter")?.found.contains("cannot check"), "{answer:?}");
    Ok(())
}

/// As in an unprivileged container: every capability is there, and none counts.
fn in_a_user_namespace_it_sends_to_the_host() -> Result<()> {
    let lab = Lab::without_containers()?;
    // The network namespace is the process' own, so that nothing but BPF hinders it.
    let inside = |args: &[&str]| -> Result<Output> {
        let mut unshare = Command::new("unshare");
        let script = "ip link add eth0 type veth peer name eth1 && exec \"$0\" \"$@\"";
        unshare.args(["--user", "--map-root-user", "--net", "--", "sh", "-c", script]).arg(fw::binary());
        lab.fw.finish(&mut unshare, args);
        Ok(unshare.output()?)
    };
    let before = lab.fw.pins()?;
    for args in
        [&["attach", "eth0", "--allow", "22"][..], &["run", "--listen", "off"], &["status"], &["detach", "--all"]]
    {
        lab.write_file("eth0", "allow = [\"22\"]")?;
        let refusal = Refusal::of(&inside(args)?).with_context(|| format!("{args:?}"))?;
        ensure!(refusal.code == PRIVILEGE, "{args:?}: {refusal:?}");
        ensure!(refusal.message.contains("in a user namespace: attach on the host"), "{args:?}: {refusal:?}");
    }
    let output = inside(&["doctor", "eth0", "--json"])?;
    let answer: Answer =
        serde_json::from_slice(&output.stdout).with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let privileges = answer.find(None, "privileges")?;
    ensure!(privileges.verdict == "bad" && privileges.found.contains("attach on the host"), "{answer:?}");
    ensure!(privileges.fix.as_deref() == Some("sudo fw-user doctor, on the host"), "{answer:?}");
    ensure!(output.status.code() == Some(1), "ended with {}", output.status);
    ensure!(lab.fw.pins()? == before, "it left something");
    Ok(())
}

fn where_an_interface_stands_is_noted() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.run("ip link add br0 type bridge")?;
    lab.pi.run("ip link set eth0 master br0")?;
    lab.pi.run("ip link set eth0 mtu 9000")?;
    let (answer, well) = ask(&lab, &["eth0", "br0"])?;
    ensure!(well && answer.verdict == "note", "{answer:?}");
    ensure!(answer.find(Some("eth0"), "place")?.found.contains("a port of the bridge br0"), "{answer:?}");
    ensure!(answer.find(Some("eth0"), "MTU")?.found == "9000", "{answer:?}");
    ensure!(answer.find(Some("br0"), "mode")?.found.contains("tc"), "{answer:?}");
    Ok(())
}

/// A bridge's own option counts as well, on kernels whose netfilter looks at bridges at all.
fn a_bridge_and_its_port_are_told_the_same_place() -> Result<()> {
    let lab = Lab::without_containers()?;
    let settings = "/proc/sys/net/bridge";
    if !lab.pi.enter(|| Path::new(settings).exists()) {
        return Err(Missing(format!("no {settings}: modprobe br_netfilter")).into());
    }
    lab.pi.run("ip link add br0 type bridge")?;
    lab.pi.run("ip link set eth0 master br0")?;
    for (ipv4, ipv6, own, to_ports) in
        [("0", "0", "0", false), ("1", "0", "0", true), ("0", "1", "0", true), ("0", "0", "1", true)]
    {
        lab.pi.sysctl("net/bridge/bridge-nf-call-iptables", ipv4)?;
        lab.pi.sysctl("net/bridge/bridge-nf-call-ip6tables", ipv6)?;
        lab.pi.run(&format!("ip link set br0 type bridge nf_call_iptables {own}"))?;
        let (answer, _) = ask(&lab, &["eth0", "br0"])?;
        let said = |name: &str, words: &str| {
            let of_name = |finding: &&Finding| finding.interface.as_deref() == Some(name) && finding.about == "place";
            answer.findings.iter().filter(of_name).any(|finding| finding.found.contains(words))
        };
        let case = format!("{ipv4} {ipv6} {own}: {answer:?}");
        ensure!(said("eth0", "attach to br0 instead") != to_ports, "{case}");
        ensure!(said("eth0", "keep the filter on the ports") == to_ports, "{case}");
        ensure!(said("br0", "attach to its ports instead") == to_ports, "{case}");
    }
    Ok(())
}
