//! Bans on the wire: whose packets get in, and how long.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::{
        FAR4, FAR6, Lab, Mode, Namespace, PI4, PI6, Server, Transport, command,
        netfilter::{CLOSED_TARGET, OPEN_TARGET},
        wait,
    },
    tests,
};
use serde_json::Value;

tests! { in every mode:
    nothing_of_a_banned_sender_gets_in_and_everything_of_others;
}

tests! {
    bans_that_overlap_hold_until_the_last_one_ends;
    a_ban_ends_by_itself;
    what_explains_a_banned_sender_says_the_ban_first;
    bans_are_listed_with_the_packets_that_they_dropped;
    bans_outlive_the_filter_and_its_maps;
    bans_that_are_typed_before_the_filter_hold_with_it;
    a_damaged_ledger_keeps_no_filter_off_and_is_never_overwritten;
    a_banned_sender_is_seen_in_monitor_mode_and_not_dropped;
}

/// A machine behind the LAN's router, and what it can reach: a container's published port, and ports of the Pi.
struct Scene {
    lab: Lab,
    far: Namespace,
    published: Server,
    open: Server,
}

impl Scene {
    fn new(mode: Mode) -> Result<Self> {
        let lab = Lab::new()?;
        let far = lab.add_far_host(1500)?;
        let published = lab.container(0).serve_tcp(OPEN_TARGET)?;
        let open = lab.pi.serve_udp(443)?;
        lab.attach(mode, "22,80,443")?;
        Ok(Self { lab, far, published, open })
    }

    fn banned(&self) -> Result<u64> {
        Ok(self.lab.stats("eth0")?.reason("banned").packets)
    }

    /// The filter counts something as banned that is sent meanwhile.
    fn is_counted<T>(&self, what: &str, send: impl FnOnce() -> Result<T>) -> Result<()> {
        let before = self.banned()?;
        let _sent = send()?;
        wait::until(format!("{what} to be banned"), || Ok((self.banned()? > before).then_some(())))
    }

    fn gets_in(&self, pi: IpAddr) -> Result<()> {
        self.far.reaches(&self.published, Transport::Tcp, pi, 80).context("the published port")?;
        self.far.reaches(&self.open, Transport::Udp, pi, 443).context("a port of the Pi")
    }

    fn is_kept_out(&self, pi: IpAddr) -> Result<()> {
        let before = (self.published.reached(), self.open.reached());
        self.is_counted("a connection to the container", || self.far.try_tcp(SocketAddr::new(pi, 80)))?;
        self.is_counted("a datagram", || self.far.send_udp_from(0, SocketAddr::new(pi, 443), b"knock"))?;
        ensure!((self.published.reached(), self.open.reached()) == before, "it is banned, and yet it arrived at {pi}");
        Ok(())
    }
}

fn nothing_of_a_banned_sender_gets_in_and_everything_of_others(mode: Mode) -> Result<()> {
    let scene = Scene::new(mode)?;
    let Scene { lab, far, published, .. } = &scene;
    let served = far.serve_tcp(8000)?;
    for (pi, sender) in [(PI4, FAR4), (PI6, FAR6)] {
        scene.gets_in(pi).context("before the ban")?;
        far.ping(pi)?;
        lab.pi.reaches(&served, Transport::Tcp, sender, 8000)?;
        let said = lab.fw(&["ban", &sender.to_string()])?;
        ensure!(said == format!("{sender}  banned for ever (set manual)\n"), "{said}");
        scene.is_kept_out(pi)?;
        scene.is_counted("a ping", || far.send_ping(pi))?;
        // What the Pi asks of it is not answered either.
        scene.is_counted("a reply", || lab.pi.try_tcp(SocketAddr::new(sender, 8000)))?;
        lab.lan.reaches(published, Transport::Tcp, pi, 80).context("somebody else")?;
        lab.lan.ping(pi)?;
        let said = lab.fw(&["unban", &sender.to_string()])?;
        ensure!(said == format!("{sender}  unbanned (set manual)\n"), "{said}");
        scene.gets_in(pi).context("after the ban")?;
        far.ping(pi)?;
    }
    Ok(())
}

fn bans_that_overlap_hold_until_the_last_one_ends() -> Result<()> {
    let scene = Scene::new(Mode::Native)?;
    let Scene { lab, .. } = &scene;
    lab.fw(&["ban", "203.0.113.10", "--set", "one"])?;
    lab.fw(&["ban", "203.0.113.0/24", "--set", "two"])?;
    lab.fw(&["ban", "203.0.113.10", "--set", "three", "--for", "1h"])?;
    let said = lab.fw(&["unban", "203.0.113.10"])?;
    let expected =
        "203.0.113.10  unbanned (set one, three)\n  note    203.0.113.10 is still banned by 203.0.113.0/24 (set two)\n";
    ensure!(said == expected, "{said}");
    scene.is_kept_out(PI4)?;
    // One that is over hides none around it.
    lab.fw(&["ban", "203.0.113.10", "--for", "1s"])?;
    wait::until("the end of a ban", || Ok((!lab.fw(&["bans"])?.contains("203.0.113.10")).then_some(())))?;
    scene.is_kept_out(PI4)?;
    lab.fw(&["unban", "--set", "two"])?;
    scene.gets_in(PI4)?;
    ensure!(lab.fw(&["bans"])? == "no bans\n");
    Ok(())
}

fn a_ban_ends_by_itself() -> Result<()> {
    let scene = Scene::new(Mode::Generic)?;
    let Scene { lab, .. } = &scene;
    lab.fw(&["ban", "203.0.113.10", "--for", "2s"])?;
    scene.is_counted("a datagram", || scene.far.send_udp_from(0, SocketAddr::new(PI4, 443), b"knock"))?;
    // Nobody but the kernel ends it.
    let before = scene.open.reached();
    wait::until("the end of the ban", || {
        scene.far.send_udp_from(0, SocketAddr::new(PI4, 443), b"knock")?;
        Ok((scene.open.reached() > before).then_some(()))
    })?;
    ensure!(fs::read_to_string(lab.fw.ledger())?.contains("203.0.113.10"), "the next command sweeps it");
    ensure!(lab.fw(&["bans"])? == "no bans\n");
    lab.fw(&["ban", "198.51.100.7"])?;
    ensure!(!fs::read_to_string(lab.fw.ledger())?.contains("203.0.113.10"), "it swept it");
    Ok(())
}

fn bans_are_listed_with_the_packets_that_they_dropped() -> Result<()> {
    let scene = Scene::new(Mode::Native)?;
    let Scene { lab, .. } = &scene;
    lab.fw(&["ban", "203.0.113.0/24", "203.0.113.10", "198.51.100.0/24"])?;
    let dropped = || -> Result<Vec<u64>> {
        let said: Value = serde_json::from_str(&lab.fw(&["bans", "--json"])?)?;
        let bans = said["bans"].as_array().context("a list")?;
        bans.iter().map(|ban| ban["dropped"].as_u64().with_context(|| format!("{said}"))).collect()
    };
    ensure!(dropped()? == [0, 0, 0]);
    scene.is_kept_out(PI4)?;
    wait::until("the packets of the sender", || {
        let dropped = dropped()?;
        let banned = scene.banned()?;
        ensure!(dropped[0] == 0 && dropped[1] == dropped[2] && dropped[1] <= banned, "{dropped:?} of {banned}");
        Ok((dropped[1] >= 2).then_some(()))
    })?;
    let said = lab.fw(&["bans"])?;
    ensure!(!said.lines().skip(2).any(|line| line.ends_with(" 0") || line.ends_with(" -")), "{said}");
    Ok(())
}

fn bans_outlive_the_filter_and_its_maps() -> Result<()> {
    let scene = Scene::new(Mode::Native)?;
    let Scene { lab, .. } = &scene;
    lab.fw(&["ban", "203.0.113.0/24", "2001:db8:3::/64"])?;
    lab.fw(&["ban", "198.51.100.0/24", "--for", "1h"])?;
    let listed = || -> Result<Vec<[Value; 4]>> {
        let said: Value = serde_json::from_str(&lab.fw(&["bans", "--json"])?)?;
        let bans = said["bans"].as_array().context("a list")?;
        Ok(bans.iter().map(|ban| ["network", "set", "since", "until"].map(|field| ban[field].clone())).collect())
    };
    let before = listed()?;
    lab.attach(Mode::Native, "80,443")?;
    scene.is_kept_out(PI4)?;
    lab.fw(&["detach", "--all"])?;
    lab.nothing_is_left_behind()?;
    lab.attach(Mode::Native, "80,443")?;
    for pi in [PI4, PI6] {
        scene.is_kept_out(pi)?;
    }
    ensure!(listed()? == before);
    lab.fw(&["unban", "203.0.113.0/24", "2001:db8:3::/64"])?;
    scene.gets_in(PI4)
}

fn bans_that_are_typed_before_the_filter_hold_with_it() -> Result<()> {
    let scene = Scene::new(Mode::Native)?;
    let Scene { lab, .. } = &scene;
    lab.fw(&["detach", "--all"])?;
    let said = lab.fw(&["ban", "203.0.113.10"])?;
    ensure!(said.contains("no filter is attached; bans take effect with the next `fw-user attach`"), "{said}");
    ensure!(lab.fw(&["bans"])?.contains("no filter is attached"));
    scene.gets_in(PI4)?;
    lab.attach(Mode::Native, "80,443")?;
    scene.is_kept_out(PI4)?;
    ensure!(!lab.fw(&["bans"])?.contains("no filter"));
    Ok(())
}

fn what_explains_a_banned_sender_says_the_ban_first() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.fw(&["attach", "eth0", "--allow", "22"])?;
    lab.fw(&["ban", "203.0.113.7"])?;
    lab.fw(&["ban", "--set", "other", "203.0.113.0/24"])?;
    lab.fw(&["ban", "198.51.100.7"])?;
    let explain = |port: &str, sender: &str| lab.fw(&["explain", port, "--from", sender]);
    let unban = "fw-user unban 203.0.113.0/24 203.0.113.7/32";
    let open = explain("22/tcp", "203.0.113.7")?;
    ensure!(open.contains("reason   banned") && open.contains(&format!("fix      {unban}\n")), "{open}");
    let closed = explain("443/tcp", "203.0.113.7")?;
    let (before, behind) = closed.split_once("reason ").context("a reason")?;
    ensure!(before.contains("banned   the sender, by 203.0.113.0/24, 203.0.113.7/32, whatever port"), "{closed}");
    ensure!(behind.contains(&format!("fix      {unban}; fw-user allow 443/tcp@203.0.113.7\n")), "{closed}");
    let other = explain("443/tcp", "203.0.114.7")?;
    ensure!(!other.contains("ban"), "{other}");
    Ok(())
}

fn a_damaged_ledger_keeps_no_filter_off_and_is_never_overwritten() -> Result<()> {
    let scene = Scene::new(Mode::Native)?;
    let Scene { lab, .. } = &scene;
    let closed = lab.container(0).serve_tcp(CLOSED_TARGET)?;
    lab.fw(&["ban", "203.0.113.10"])?;
    let whole = fs::read_to_string(lab.fw.ledger())?;
    let cut = &whole[..whole.len() - 3];
    fs::write(lab.fw.ledger(), cut)?;
    for args in [&["ban", "198.51.100.7"][..], &["unban", "203.0.113.10"], &["unban", "--set", "manual"], &["bans"]] {
        lab.refuses(args, 1, &["bans:4:4: the file is truncated here", "nothing was changed", "mv "])?;
    }
    ensure!(fs::read_to_string(lab.fw.ledger())? == cut, "it is for a person to repair");
    fs::write(lab.fw.ledger(), [whole.as_bytes(), b"\xff\xfe\n"].concat())?;
    let doctor = lab.fw.command(&lab.pi, ["doctor"]).output()?;
    let said = String::from_utf8_lossy(&doctor.stdout);
    ensure!(said.contains("bans:5:1: ") && said.contains(".damaged"), "a ledger that is not UTF-8: {said}");
    // Nobody waits for somebody to write into a pipe.
    fs::remove_file(lab.fw.ledger())?;
    command::run(Command::new("mkfifo").arg(lab.fw.ledger()))?;
    for args in [&["ban", "198.51.100.7"][..], &["bans"]] {
        lab.refuses(args, 1, &["it is not a regular file"])?;
    }
    lab.fw(&["status"])?;
    fs::remove_file(lab.fw.ledger())?;
    fs::write(lab.fw.ledger(), cut)?;
    // What is in force stays, and a filter that is made anew has ports to close.
    scene.is_kept_out(PI4)?;
    lab.fw(&["detach", "--all"])?;
    let attach = lab.fw.command(&lab.pi, ["attach", "eth0", "--allow", "80,443"]).output()?;
    let complaint = String::from_utf8_lossy(&attach.stderr);
    ensure!(attach.status.success() && complaint.contains("note: the bans are not in force"), "{complaint}");
    lab.is_closed(&closed, Transport::Tcp, PI4, 9125)?;
    scene.gets_in(PI4)?;
    fs::write(lab.fw.ledger(), whole)?;
    lab.fw(&["ban", "198.51.100.7"])?;
    scene.is_kept_out(PI4)
}

fn a_banned_sender_is_seen_in_monitor_mode_and_not_dropped() -> Result<()> {
    let scene = Scene::new(Mode::Native)?;
    let Scene { lab, .. } = &scene;
    lab.fw(&["ban", "203.0.113.10"])?;
    lab.fw(&["monitor"])?;
    scene.is_counted("a datagram", || scene.gets_in(PI4))
}
