//! `run`: the files are in force as long as it goes on, and the filter needs nobody to go on.

use std::{
    fs, io,
    os::unix::{fs::symlink, net::UnixDatagram, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use fw_tests::{
    lab::{
        Lab, Namespace, PI4, Transport,
        background::Background,
        command, fw, skip,
        ssh::{EVERYWHERE, Sshd},
        wait,
    },
    tests,
};
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

/// Loading the programs is the slowest that any command does, and on a busy machine several do it at a time.
const PATIENCE: Duration = Duration::from_mins(1);
const FAILED: i32 = 1;
const USAGE: i32 = 2;

tests! {
    what_the_file_says_is_in_force_once_it_is_ready;
    a_changed_file_is_applied_and_one_that_replaces_it_too;
    a_configmap_that_is_swapped_is_applied;
    mistakes_and_missing_files_leave_the_old_rules_in_force;
    a_file_that_loses_its_interface_leaves_the_filter_on;
    an_interface_that_comes_or_comes_back_is_closed;
    an_interface_that_comes_is_closed_while_another_cannot_be;
    a_bridge_that_an_interface_joins_is_noted;
    a_network_that_comes_to_the_link_is_noted;
    a_filter_that_is_taken_off_is_put_back;
    a_filter_before_which_a_program_was_put_goes_first_again;
    a_filter_in_the_place_of_ours_is_told_of_until_it_is_gone;
    a_change_by_hand_lasts_until_the_next_hangup;
    at_the_end_the_filter_stays_or_goes_as_asked;
    a_run_that_is_killed_leaves_the_filter_on;
    a_file_that_would_cut_sshd_is_not_applied_unless_forced;
    what_apply_refuses_at_the_start_ends_it_and_changes_nothing;
    the_watchdog_hears_of_it_and_stops_hearing_when_it_hangs;
}

/// The messages to systemd.
struct Supervisor {
    socket: UnixDatagram,
    folder: TempDir,
}

impl Supervisor {
    fn new() -> Result<Self> {
        let folder = TempDir::with_prefix("fw-lab-notify-")?;
        let socket = UnixDatagram::bind(folder.path().join("socket"))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { socket, folder })
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Start `fw-user run`, with more arguments and variables.
    fn start(&self, lab: &Lab, args: &[&str], variables: &[(&str, &str)]) -> Result<Background> {
        let mut command = lab.fw.command(&lab.pi, [&["run", "--listen", "off"], args].concat());
        command.env("NOTIFY_SOCKET", self.path()).envs(variables.iter().copied());
        Background::start(&mut command)
    }

    fn next(&self) -> io::Result<String> {
        let mut buffer = [0; 4096];
        let length = wait::uninterrupted(|| self.socket.recv(&mut buffer))?;
        Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }

    /// Wait for a message that has this line.
    fn hears(&self, line: &str) -> Result<()> {
        let mut heard = Vec::new();
        // Repeated messages must not make it wait forever.
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let message = self.next().with_context(|| format!("{line} was not heard, only {heard:?}"))?;
            if message.lines().any(|said| said.starts_with(line)) {
                return Ok(());
            }
            heard.push(message);
        }
        bail!("{line} was not heard within {PATIENCE:?}, only {heard:?}")
    }
}

/// A run that is ready, and its supervisor.
fn ready(lab: &Lab, args: &[&str]) -> Result<(Background, Supervisor)> {
    ready_with(lab, args, &[])
}

/// The same with more in its environment.
fn ready_with(lab: &Lab, args: &[&str], variables: &[(&str, &str)]) -> Result<(Background, Supervisor)> {
    let supervisor = Supervisor::new()?;
    let run = supervisor.start(lab, args, variables)?;
    supervisor.hears("READY=1").with_context(|| format!("it said {:?}", run.said()))?;
    Ok((run, supervisor))
}

/// Until it is noted, what is for a guest behind the bridge counts as routed on to somewhere else.
fn a_bridge_that_an_interface_joins_is_noted() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.write_file("eth0", "allow = [\"22/tcp\", \"8080/tcp\"]")?;
    let guest = Namespace::new()?;
    lab.pi.run("ip link add br0 type bridge")?;
    lab.pi.run(&format!("ip link add eth1 type veth peer name eth0 netns {}", guest.path()))?;
    lab.pi.run("ip link set eth1 master br0 up")?;
    lab.pi.sysctl("net/ipv4/ip_forward", "1")?;
    guest.set_address("eth0", &["192.0.2.20/24"])?;
    let server = guest.serve_tcp(8080)?;
    let far = "192.0.2.20".parse()?;
    let (mut run, _supervisor) = ready(&lab, &[])?;
    lab.pi.run("ip address flush dev eth0")?;
    lab.pi.set_address("br0", &["192.0.2.1/24"])?;
    lab.pi.run("ip link set eth0 master br0")?;
    if lab.pi.enter(|| Path::new("/proc/sys/net/bridge").exists()) {
        lab.pi.sysctl("net/bridge/bridge-nf-call-iptables", "0")?;
    }
    wait::until("the guest to be reached", || Ok(lab.lan.reaches(&server, Transport::Tcp, far, 8080).ok()))?;
    run.end(Signal::SIGTERM).map(drop)
}

/// Until it is noted, a connection from the new network gets no answer, and afterwards it is refused.
fn a_network_that_comes_to_the_link_is_noted() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.write_file("eth0", "allow = [\"22\"]\nrefuse = \"lan\"\nmode = \"generic\"")?;
    let (mut run, _supervisor) = ready(&lab, &[])?;
    lab.lan.set_address("eth0", &["198.51.100.10/24"])?;
    let answer = || {
        let socket = lab.lan.try_tcp("198.51.100.1:2323".parse()?)?;
        let refused = || Ok(socket.take_error()?.map(|error| error.kind() == io::ErrorKind::ConnectionRefused));
        // The kernel repeats a SYN after a second.
        Ok(wait::within(Duration::from_secs(2), "an answer", refused).ok().filter(|is_refused| *is_refused))
    };
    lab.pi.run("ip address add 198.51.100.1/24 dev eth0")?;
    wait::until("the new network to be refused", answer)?;
    run.end(Signal::SIGTERM).map(drop)
}

/// The rules that are in force, as `status` writes them.
fn allowed(lab: &Lab, interface: &str) -> Result<Vec<String>> {
    let status: Value = serde_json::from_str(&lab.fw(&["status", "--json"])?)?;
    let interfaces = status["interfaces"].as_array().context("a list")?;
    let of_name = interfaces.iter().find(|entry| entry["name"] == interface && entry["state"] == "active");
    let rules = of_name.map(|entry| entry["allow"].as_array().cloned().unwrap_or_default()).unwrap_or_default();
    Ok(rules.iter().filter_map(|rule| rule.as_str().map(ToOwned::to_owned)).collect())
}

/// Wait until exactly these rules are in force.
fn await_rules(lab: &Lab, interface: &str, rules: &[&str]) -> Result<()> {
    wait::within(
        PATIENCE,
        format!("{rules:?} on {interface}"),
        || Ok((allowed(lab, interface)? == rules).then_some(())),
    )
}

fn what_the_file_says_is_in_force_once_it_is_ready() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    let (open, closed) = (lab.pi.serve_tcp(443)?, lab.pi.serve_tcp(8080)?);
    lab.lan.reaches(&closed, Transport::Tcp, PI4, 8080)?;
    lab.write_file("eth0", "allow = [\"443/tcp\"]")?;
    lab.write_file("eth7", "allow = [\"22\"]")?;
    let (mut run, supervisor) = ready(&lab, &[])?;
    lab.is_closed(&closed, Transport::Tcp, PI4, 8080)?;
    lab.lan.reaches(&open, Transport::Tcp, PI4, 443)?;
    run.await_said("eth0  attach, according to ")?;
    run.await_said("eth7  is not here")?;
    supervisor.hears("STATUS=matches the files: eth0")
}

/// As the issue writes it, `run --config FILE`: an editor writes a new file in the place of the old one.
fn a_changed_file_is_applied_and_one_that_replaces_it_too() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.write_file("eth0", "allow = [\"22/tcp\"]")?;
    // Another file beside it is not its concern.
    lab.write_file("eth1", "allow = [\"nonsense\"]")?;
    let file = lab.file("eth0");
    let (mut run, _supervisor) = ready(&lab, &["--config", file.to_str().context("UTF-8")?])?;
    assert_eq!(allowed(&lab, "eth0")?, ["22/tcp"]);
    lab.write_file("eth0", "allow = [\"22/tcp\", \"80/tcp\"]")?;
    await_rules(&lab, "eth0", &["22/tcp", "80/tcp"])?;
    run.await_said("eth0  change, according to ")?;
    let other = lab.fw.config().join("eth0.toml~");
    fs::write(&other, "allow = [\"22/tcp\", \"81/tcp\"]")?;
    fs::rename(&other, &file)?;
    await_rules(&lab, "eth0", &["22/tcp", "81/tcp"])
}

/// The kubelet swaps the symbolic link `..data`; the path of the file, and the link that is the file, never change.
fn a_configmap_that_is_swapped_is_applied() -> Result<()> {
    let lab = Lab::without_containers()?;
    let folder = lab.fw.config().to_owned();
    let publish = |version: &str, text: &str| -> Result<()> {
        fs::create_dir(folder.join(version))?;
        fs::write(folder.join(version).join("node.toml"), text)?;
        symlink(version, folder.join("..data_tmp"))?;
        Ok(fs::rename(folder.join("..data_tmp"), folder.join("..data"))?)
    };
    publish("..2026_01", "interfaces = [\"eth0\"]\nallow = [\"22/tcp\"]")?;
    symlink("..data/node.toml", folder.join("node.toml"))?;
    let _run = ready(&lab, &[])?;
    assert_eq!(allowed(&lab, "eth0")?, ["22/tcp"]);
    publish("..2026_02", "interfaces = [\"eth0\"]\nallow = [\"22/tcp\", \"9000/udp\"]")?;
    fs::remove_dir_all(folder.join("..2026_01"))?;
    await_rules(&lab, "eth0", &["22/tcp", "9000/udp"])
}

fn mistakes_and_missing_files_leave_the_old_rules_in_force() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.write_file("eth0", "allow = [\"22/tcp\"]")?;
    let (mut run, supervisor) = ready(&lab, &[])?;
    let before = lab.active("eth0")?;
    lab.write_file("eth0", "allow = [\n  \"22/tcp\",\n  \"70000\",\n]\nmonitr = true")?;
    let said = run.await_said("the rules in force stay")?;
    for words in ["2 mistakes", "eth0.toml:3:3: `70000`", "eth0.toml:5:1: there is no key `monitr`"] {
        ensure!(said.contains(words), "{words}: {said}");
    }
    supervisor.hears("STATUS=the rules in force stay: 2 mistakes")?;
    // Nobody ever writes into this pipe.
    let pipe = lab.file("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU)?;
    run.await_said("it is not a regular file")?;
    fs::remove_file(pipe)?;
    fs::remove_file(lab.file("eth0"))?;
    run.await_said("there is no file in")?;
    assert_eq!(lab.active("eth0")?, before, "nothing was written");
    lab.write_file("eth0", "allow = [\"22/tcp\", \"80/tcp\"]")?;
    await_rules(&lab, "eth0", &["22/tcp", "80/tcp"])?;
    supervisor.hears("STATUS=matches the files: eth0")
}

fn a_file_that_loses_its_interface_leaves_the_filter_on() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    lab.write_file("eth0", "allow = [\"22/tcp\"]")?;
    lab.write_file("eth1", "allow = [\"22/tcp\"]")?;
    let (mut run, _supervisor) = ready(&lab, &[])?;
    fs::remove_file(lab.file("eth1"))?;
    run.await_said("eth1  the file is gone; the filter stays until `fw-user detach eth1`")?;
    assert_eq!(allowed(&lab, "eth1")?, ["22/tcp"]);
    Ok(())
}

/// A USB adapter: it comes later, is pulled out, and comes back as another interface of the same name.
fn an_interface_that_comes_or_comes_back_is_closed() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.write_file("lan", "interfaces = [\"eth0\", \"usb0\"]\nallow = [\"22/tcp\"]")?;
    let (mut run, _supervisor) = ready(&lab, &[])?;
    run.await_said("usb0  is not here")?;
    lab.pi.run("ip link add usb0 type veth peer name other")?;
    await_rules(&lab, "usb0", &["22/tcp"])?;
    // By hand, and on the other interface: plugging something in takes nothing back.
    lab.fw(&["allow", "--interface", "eth0", "8080/tcp"])?;
    lab.pi.run("ip link delete usb0")?;
    run.await_said("usb0  is gone")?;
    lab.pi.run("ip link add usb0 type veth peer name other")?;
    await_rules(&lab, "usb0", &["22/tcp"])?;
    assert_eq!(allowed(&lab, "eth0")?, ["22/tcp", "8080/tcp"]);
    Ok(())
}

/// All of the files' interfaces change or none, but one that comes meanwhile is not left open for that.
fn an_interface_that_comes_is_closed_while_another_cannot_be() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.write_file("lan", "interfaces = [\"eth0\", \"usb0\"]\nallow = [\"22/tcp\"]")?;
    let (mut run, _supervisor) = ready(&lab, &[])?;
    // Nothing can be applied to it while a change waits to be confirmed.
    lab.fw(&["allow", "--interface", "eth0", "8080/tcp", "--confirm", "600"])?;
    lab.write_file("lan", "interfaces = [\"eth0\", \"usb0\"]\nallow = [\"22/tcp\", \"80/tcp\"]")?;
    run.await_said("waits to be confirmed")?;
    lab.pi.run("ip link add usb0 type veth peer name other")?;
    await_rules(&lab, "usb0", &["22/tcp", "80/tcp"])?;
    assert_eq!(allowed(&lab, "eth0")?, ["22/tcp", "8080/tcp"]);
    // It is tried again by itself.
    lab.fw(&["confirm"])?;
    await_rules(&lab, "eth0", &["22/tcp", "80/tcp"])
}

/// An attack on the filter of eth0, the message about it, and whether packets pass unfiltered meanwhile.
type Loss = (&'static str, fn(&Lab) -> Result<()>, &'static str);

const LOSSES: &[Loss] = &[
    ("its link is detached", |lab| detach_link(lab, "ingress-link"), "eth0  not attached any more;"),
    (
        "the egress program is taken off",
        |lab| detach_link(lab, "egress-link"),
        "egress-link: its program was taken off;",
    ),
    (
        "the pin of its link is removed",
        |lab| Ok(fs::remove_file(lab.pin_folder().join("ingress-link"))?),
        "eth0  not attached, only leftovers are here;",
    ),
    ("all pins are removed", |lab| Ok(fs::remove_dir_all(lab.fw.bpffs().join("fw-user"))?), "eth0  has no filter;"),
];

fn detach_link(lab: &Lab, pin: &str) -> Result<()> {
    skip::need("bpftool", "bpftool")?;
    let path = lab.pin_folder().join(pin);
    command::run(Command::new("bpftool").args(["link", "detach", "pinned"]).arg(path)).map(drop)
}

fn a_filter_before_which_a_program_was_put_goes_first_again() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.write_file("eth0", "allow = [\"22/tcp\"]\nmode = \"tc\"")?;
    let (mut run, _supervisor) = ready(&lab, &[])?;
    let (_object, _link) = lab.put_before_the_filter()?;
    run.await_said("the filter is first again")?;
    wait::within(PATIENCE, "the filter to be first", || {
        Ok((lab.tc_ingress()? == ["fw_ingress_tc", "fw_egress"]).then_some(()))
    })
}

fn a_filter_that_is_taken_off_is_put_back() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    let closed = lab.pi.serve_tcp(8080)?;
    lab.write_file("eth0", "allow = [\"22/tcp\"]")?;
    let (mut run, _supervisor) = ready(&lab, &[])?;
    for (name, take_off, words) in LOSSES {
        let mut work = || -> Result<()> {
            take_off(&lab)?;
            run.await_said(words)?;
            await_rules(&lab, "eth0", &["22/tcp"])?;
            lab.is_closed(&closed, Transport::Tcp, PI4, 8080)
        };
        work().context(*name)?;
    }
    // Whoever is locked out and detaches must learn of it.
    let detached = lab.fw.command(&lab.pi, ["detach", "--all"]).output()?;
    let note = String::from_utf8_lossy(&detached.stderr);
    ensure!(detached.status.success() && note.starts_with("note: fw-user run (process "), "{detached:?}");
    await_rules(&lab, "eth0", &["22/tcp"])?;
    run.end(Signal::SIGTERM)?;
    let said = lab.fw(&["detach", "--all"])?;
    ensure!(said.starts_with("eth0  detached"), "{said}");
    Ok(())
}

/// `run` reports problems that it cannot fix to systemd, to Prometheus and in the log.
fn a_filter_in_the_place_of_ours_is_told_of_until_it_is_gone() -> Result<()> {
    const GOOD: &str = "fw_config_last_apply_successful";
    let lab = Lab::without_containers()?;
    lab.write_file("eth0", "allow = [\"22/tcp\"]")?;
    let supervisor = Supervisor::new()?;
    let mut command = lab.fw.command(&lab.pi, ["run"]);
    let mut run = Background::start(command.env("NOTIFY_SOCKET", supervisor.path()))?;
    supervisor.hears("READY=1")?;
    let metric = || -> Result<bool> {
        let told = lab.pi.get("http://127.0.0.1:9843/metrics")?;
        let line = told.lines().find(|line| line.starts_with(GOOD)).context("no such metric")?;
        Ok(line == format!("{GOOD} 1"))
    };
    ensure!(metric()?, "all is well");
    let other = fw::FwUser::new()?;
    let attach_other = ["attach", "eth0", "--allow", "80"];
    detach_link(&lab, "ingress-link")?;
    wait::until("the other one to be first", || {
        // The filter may be back already.
        let taken = other.command(&lab.pi, attach_other).output()?;
        if !taken.status.success() {
            detach_link(&lab, "ingress-link")?;
        }
        Ok(taken.status.success().then_some(()))
    })?;
    ensure!(!metric()?, "it claims that all is well, with another's filter there, before it looks itself");
    run.await_said("eth0 is taken by another XDP program")?;
    supervisor.hears("STATUS=eth0 not attached any more, another program is there")?;
    ensure!(!metric()?, "it claims that all is well, with another's filter there");
    command::run(&mut other.command(&lab.pi, ["detach", "eth0"]))?;
    await_rules(&lab, "eth0", &["22/tcp"])?;
    supervisor.hears("STATUS=matches the files: eth0")?;
    ensure!(metric()?, "all is well again");
    Ok(())
}

fn a_change_by_hand_lasts_until_the_next_hangup() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.write_file("eth0", "allow = [\"22/tcp\"]")?;
    let (run, supervisor) = ready(&lab, &[])?;
    lab.fw(&["allow", "8080/tcp"])?;
    supervisor.hears("STATUS=changed by hand since: eth0")?;
    run.process.signal(Signal::SIGHUP)?;
    supervisor.hears("RELOADING=1")?;
    supervisor.hears("READY=1")?;
    assert_eq!(allowed(&lab, "eth0")?, ["22/tcp"]);
    Ok(())
}

fn at_the_end_the_filter_stays_or_goes_as_asked() -> Result<()> {
    for (signal, args, stays) in [
        (Signal::SIGTERM, &[][..], true),
        (Signal::SIGINT, &["--on-exit", "stay"], true),
        (Signal::SIGTERM, &["--on-exit", "detach"], false),
        (Signal::SIGINT, &["--on-exit", "detach"], false),
    ] {
        let lab = Lab::without_containers()?;
        lab.write_file("lan", "interfaces = [\"eth0\", \"eth7\"]\nallow = [\"22/tcp\"]")?;
        let (mut run, supervisor) = ready(&lab, args)?;
        let status = run.end(signal)?;
        ensure!(status.success(), "{signal} {args:?}: {status}, {}", run.said()?);
        supervisor.hears("STOPPING=1")?;
        let left: &[&str] = if stays { &["22/tcp"] } else { &[] };
        assert_eq!(allowed(&lab, "eth0")?, left, "{signal} {args:?}");
        assert_eq!(run.said()?.contains("eth0  detached"), !stays, "{signal} {args:?}: {}", run.said()?);
        lab.fw(&["detach", "--all"])?;
        lab.nothing_is_left_behind()?;
    }
    Ok(())
}

fn a_run_that_is_killed_leaves_the_filter_on() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    let server = lab.pi.serve_tcp(8080)?;
    lab.write_file("eth0", "allow = [\"22/tcp\"]")?;
    let (mut run, _supervisor) = ready(&lab, &["--on-exit", "detach"])?;
    assert_eq!(run.end(Signal::SIGKILL)?.signal(), Some(Signal::SIGKILL as i32));
    lab.is_closed(&server, Transport::Tcp, PI4, 8080)?;
    // The next one takes over what is there, without writing anything.
    let before = lab.active("eth0")?;
    let (mut run, _supervisor) = ready(&lab, &[])?;
    run.await_said("nothing to do")?;
    assert_eq!(lab.active("eth0")?, before);
    Ok(())
}

fn a_file_that_would_cut_sshd_is_not_applied_unless_forced() -> Result<()> {
    let lab = Lab::without_containers()?;
    let _sshd = Sshd::start(&lab.pi, &EVERYWHERE, 2222)?;
    lab.write_file("eth0", "allow = [\"2222/tcp\"]")?;
    let (mut run, supervisor) = ready(&lab, &[])?;
    lab.write_file("eth0", "allow = [\"80/tcp\"]")?;
    let said = run.await_said("lock you out")?;
    ensure!(said.contains("2222/tcp") && said.contains("sshd"), "{said}");
    supervisor.hears("STATUS=the rules in force stay: ")?;
    assert_eq!(allowed(&lab, "eth0")?, ["2222/tcp"]);
    run.end(Signal::SIGTERM)?;
    let (_run, _supervisor) = ready(&lab, &["--force"])?;
    assert_eq!(allowed(&lab, "eth0")?, ["80/tcp"]);
    Ok(())
}

fn what_apply_refuses_at_the_start_ends_it_and_changes_nothing() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.refuses(&["run", "--listen", "off"], FAILED, &["there is no file"])?;
    lab.write_file("eth0", "allow = [\"22/tcp\"]\nmonitr = true")?;
    lab.refuses(&["run", "--listen", "off"], USAGE, &["eth0.toml:2:1", "monitr"])?;
    lab.write_file("eth0", "allow = [\"22/tcp\"]")?;
    lab.refuses(&["run", "--listen", "localhost"], USAGE, &["--listen", "ADDRESS:PORT, or off"])?;
    lab.refuses(&["run", "--on-exit", "panic"], USAGE, &["stay", "detach"])?;
    let taken = lab.pi.enter(|| std::net::TcpListener::bind("127.0.0.1:9843"))?;
    lab.refuses(&["run"], FAILED, &["127.0.0.1:9843", "another program has that port", "--listen"])?;
    drop(taken);
    Ok(())
}

/// Without the word of it, systemd would start it anew.
fn the_watchdog_hears_of_it_and_stops_hearing_when_it_hangs() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.write_file("eth0", "allow = [\"22/tcp\"]")?;
    let (run, supervisor) = ready_with(&lab, &[], &[("WATCHDOG_USEC", "400000")])?;
    for _ in 0..3 {
        supervisor.hears("WATCHDOG=1")?;
    }
    run.process.signal(Signal::SIGSTOP)?;
    // The messages before it stopped, and then nothing for much longer than the watchdog waits.
    supervisor.socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    let silence = wait::until("silence", || match supervisor.next() {
        Ok(_) => Ok(None),
        Err(error) => Ok(Some(error.kind())),
    })?;
    assert_eq!(silence, io::ErrorKind::WouldBlock);
    run.process.signal(Signal::SIGCONT)?;
    supervisor.hears("WATCHDOG=1")
}
