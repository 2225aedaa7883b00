//! Interfaces that appear later, or change sides, are closed: how much gets in before, counted in packets.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::{Lab, Namespace, background::Background, command, fw, wait},
    tests,
};
use fw_user::testing::files::{self, File};
use serde_json::Value;

tests! {
    run_closes_an_interface_that_appears_within_a_tenth_of_a_second;
    by_the_udev_rule_nothing_gets_in_whatever_the_order_of_name_and_rename;
    the_udev_rule_starts_what_the_unit_applies;
    run_follows_an_interface_that_turns_outside;
    run_mounts_a_bpf_file_system_that_is_unmounted_and_attaches_again;
}

const PORT: u16 = 9123;
/// The address of the interface that appears, and of who sends to it.
const NEW: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const SENDER: &str = "203.0.113.10";
const MAC: &str = "02:00:00:00:00:01";

/// An adapter that is not plugged in yet, with a sender at its other end that sends all the time.
struct Adapter<'a> {
    lab: &'a Lab,
    shelf: Namespace,
}

impl<'a> Adapter<'a> {
    fn new(lab: &'a Lab) -> Result<Self> {
        let shelf = Namespace::new()?;
        lab.lan.run(&format!("ip link add far0 type veth peer name usb0 address {MAC} netns {}", shelf.path()))?;
        lab.lan.set_address("far0", &[&format!("{SENDER}/24")])?;
        // Nobody asks who has the address, which takes time.
        lab.lan.run(&format!("ip neighbour add {NEW} dev far0 lladdr {MAC} nud permanent"))?;
        Ok(Self { lab, shelf })
    }

    fn plug_in(&self) -> Result<()> {
        self.shelf.run(&format!("ip link set usb0 netns {}", self.lab.pi.path())).map(drop)
    }

    /// The actions of a network manager, as fast as possible.
    fn configure(&self, name: &str) -> Result<()> {
        let batch = format!("address add {NEW}/24 dev {name}\nlink set {name} up\n");
        command::run_with_input(self.lab.pi.command("ip").args(["-batch", "-"]), batch.as_bytes()).map(drop)
    }

    fn pull_out(&self, name: &str) -> Result<()> {
        self.lab.pi.run(&format!("ip link set {name} netns {} name usb0", self.shelf.path())).map(drop)
    }

    /// Send to the closed port while something is done and until the adapter is closed. Returns how many datagrams got in, and when the last
    /// of them did.
    fn slipped(&self, name: &str, work: impl FnOnce() -> Result<()>) -> Result<(usize, Duration)> {
        let server = self.lab.pi.enter(|| UdpSocket::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT))))?;
        server.set_read_timeout(Some(Duration::from_millis(20)))?;
        let sender = self.lab.lan.enter(|| UdpSocket::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))))?;
        let (is_over, start) = (AtomicBool::new(false), Instant::now());
        thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    // There is no carrier before the other end is up.
                    let _unsent = sender.send_to(b"knock", SocketAddr::from((NEW, PORT)));
                    thread::sleep(Duration::from_micros(200));
                }
            });
            let listener = scope.spawn(|| -> (usize, Duration) {
                let (mut count, mut last) = (0, Duration::ZERO);
                while !is_over.load(Ordering::Relaxed) {
                    if server.recv(&mut [0; 16]).is_ok() {
                        count += 1;
                        last = start.elapsed();
                    }
                }
                (count, last)
            });
            let done = work().and_then(|()| {
                wait::until("the new interface to drop packets", || {
                    let stats = self.lab.fw.command(&self.lab.pi, ["stats", name, "--json"]).output()?;
                    let stats: Value = serde_json::from_slice(&stats.stdout).unwrap_or_default();
                    let dropped = stats["interfaces"][0]["dropped"]["packets"].as_u64().unwrap_or_default();
                    Ok((dropped > 100).then_some(()))
                })
            });
            is_over.store(true, Ordering::Relaxed);
            let counted = listener.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            done.map(|()| counted)
        })
    }
}

const ALL: &str = "interfaces = [\"*\"]\nallow = [\"22\"]\n";

fn running(lab: &Lab) -> Result<Background> {
    let mut run = lab.fw_background(&["run", "--listen", "off"])?;
    run.await_said("eth0  attach, according to")?;
    Ok(run)
}

/// Verifying the programs takes longer than that on many machines: they are ready before the interface is there.
fn run_closes_an_interface_that_appears_within_a_tenth_of_a_second() -> Result<()> {
    const GOAL: Duration = Duration::from_millis(100);
    const TRIES: usize = 5;
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    lab.write_file("all", ALL)?;
    let adapter = Adapter::new(&lab)?;
    let _run = running(&lab)?;
    let mut windows = Vec::new();
    for _ in 0..TRIES {
        let (count, last) = adapter.slipped("usb0", || {
            adapter.plug_in()?;
            adapter.configure("usb0")
        })?;
        println!("{count} datagrams got in, the last one {last:?} after the interface began to appear");
        windows.push(last);
        adapter.pull_out("usb0")?;
    }
    // Other tests take the processors for longer than that at times.
    let best = windows.iter().min().context("there were tries")?;
    ensure!(*best <= GOAL, "{windows:?}");
    Ok(())
}

/// The command line of the unit for interfaces that appear, for the one with this number.
fn by_rule(lab: &Lab, name: &str) -> Result<()> {
    let [_, later, _] = files::all("PROGRAM");
    let exec = later.text.lines().find_map(|line| line.strip_prefix("ExecStart=PROGRAM ")).context("it starts it")?;
    let shown: Value = serde_json::from_str(&lab.pi.run(&format!("ip -json link show {name}"))?)?;
    let line = exec.replace("%i", &shown[0]["ifindex"].to_string());
    lab.fw(&line.split(' ').collect::<Vec<_>>()).map(drop)
}

/// Its first name, its final name, and the events before it is configured.
type Order<'a> = (&'a str, &'a str, &'a dyn Fn() -> Result<()>);

/// udev lets an interface be seen, and configured, when its rules have run.
fn by_the_udev_rule_nothing_gets_in_whatever_the_order_of_name_and_rename() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    lab.write_file("all", ALL)?;
    let adapter = Adapter::new(&lab)?;
    let rename = || lab.pi.run("ip link set usb0 name wan0").map(drop);
    let orders: [Order<'_>; 3] = [
        ("by its first name", "usb0", &|| by_rule(&lab, "usb0")),
        ("renamed, then the rule", "wan0", &|| {
            rename()?;
            by_rule(&lab, "wan0")
        }),
        ("the rule, then renamed, and the rule again", "wan0", &|| {
            by_rule(&lab, "usb0")?;
            rename()?;
            by_rule(&lab, "wan0")
        }),
    ];
    for (order, name, rules) in orders {
        let (count, _) = adapter.slipped(name, || {
            adapter.plug_in()?;
            rules()?;
            adapter.configure(name)
        })?;
        ensure!(count == 0, "{order}: {count} datagrams got in");
        let status = lab.fw(&["status"])?;
        ensure!(status.contains(&format!("{name}  active")), "{order}: {status}");
        adapter.pull_out(name)?;
        lab.fw(&["detach", "--all"])?;
    }
    Ok(())
}

/// Interfaces that lead only to containers and guests start no unit.
fn the_udev_rule_starts_what_the_unit_applies() -> Result<()> {
    let [all, later, File { text: rules, .. }] = files::all("/usr/sbin/fw-user");
    for words in [
        "TEST!=\"/run/fw-user-all\"",
        "veth|netkit|bridge|dummy|ifb|vrf|openvswitch|nlmon",
        "RUN+=\"/bin/systemctl start fw-user-later@$env{IFINDEX}.service\"",
    ] {
        ensure!(rules.contains(words), "no {words:?} in {rules}");
    }
    ensure!(all.text.contains("RuntimeDirectory=fw-user-all\n"), "{}", all.text);
    ensure!(later.text.contains("apply --force --each --index %i\n"), "{}", later.text);
    Ok(())
}

fn run_follows_an_interface_that_turns_outside() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.write_file("all", ALL)?;
    lab.pi.run("ip link add br0 type bridge")?;
    lab.pi.set_address("br0", &["172.17.0.1/16"])?;
    let mut run = running(&lab)?;
    ensure!(!run.said()?.contains("br0"), "{}", run.said()?);
    lab.pi.run("ip route add default via 172.17.0.9 dev br0 metric 500")?;
    run.await_said("br0  attach, according to")?;
    // A tap of a guest, which a VPN program takes.
    lab.pi.run("ip tuntap add dev tap0 mode tap")?;
    lab.pi.run("ip link set tap0 up")?;
    lab.pi.run("ip address add 10.9.0.1/24 dev tap0")?;
    run.await_said("tap0  attach, according to")?;
    // A closed port stays closed.
    lab.pi.run("ip route delete default dev br0")?;
    ensure!(lab.fw(&["status"])?.contains("br0  active"), "br0 has lost its filter");
    Ok(())
}

/// Nothing tells of it: the links go with their pins.
fn run_mounts_a_bpf_file_system_that_is_unmounted_and_attaches_again() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.write_file("all", ALL)?;
    let folder = tempfile::tempdir()?;
    let script = r#"
        set -e
        fw="$0 --bpffs $1 --config $2"
        mount -t bpf -o mode=700 bpf "$1"
        $fw run --listen off > "$1.said" 2>&1 &
        run=$!
        until grep -q 'eth0  attach' "$1.said"; do sleep 0.05; done
        $fw status --check
        kill -STOP $run
        umount "$1"
        code=0; $fw status --check 2>&1 || code=$?
        echo "status exits with $code"
        kill -CONT $run
        until [ "$(grep -c 'eth0  attach' "$1.said")" = 2 ]; do sleep 0.05; done
        $fw status --check
        kill $run; wait $run
        cat "$1.said"; rm "$1.said"
        $fw detach --all"#;
    let mut private = lab.pi.command("unshare");
    private.args(["--mount", "--pid", "--fork", "--mount-proc", "--", "sh", "-c", script]);
    private.arg(fw::binary()).arg(folder.path()).arg(lab.fw.config());
    let said = command::run(private.env("DOCKER_HOST", "unix:///nowhere"))?;
    let place = folder.path().display();
    for words in [
        "not filtered: eth0",
        "status exits with 6",
        &format!("the BPF file system at {place} is gone, and every filter with it; fw-user mounts one again"),
    ] {
        ensure!(said.contains(words), "no {words:?} in {said}");
    }
    Ok(())
}
