//! Refusals, limits and rules that end, on the wire and in files.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::{LAN4, Lab, Mode, PI4, PI6, Transport, netfilter::OPEN_TARGET, wait},
    tests,
};

const FAILED: i32 = 1;
const USAGE: i32 = 2;

tests! { in every mode:
    a_refusal_keeps_one_host_out_of_a_container_that_others_reach;
    a_limit_lets_each_sender_in_so_often;
    the_lan_is_who_is_on_the_link;
    a_rule_with_an_end_closes_by_itself;
}

tests! {
    pings_above_a_limit_get_no_answer;
    rules_of_every_kind_are_saved_and_applied;
    a_rule_with_an_end_outlives_other_commands_and_stands_in_no_file;
    bad_rates_and_times_change_nothing;
}

fn a_refusal_keeps_one_host_out_of_a_container_that_others_reach(mode: Mode) -> Result<()> {
    let lab = Lab::new()?;
    let far = lab.add_far_host(1500)?;
    let published = lab.container(0).serve_tcp(OPEN_TARGET)?;
    lab.attach(mode, "22,80,443")?;
    lab.lan.reaches(&published, Transport::Tcp, PI4, 80).context("before the refusal")?;
    let rule = format!("80@{LAN4}");
    let said = lab.fw(&["deny", &rule])?;
    ensure!(said == format!("eth0  open: 22, 80, 443\neth0  denied: {rule}/32\n"), "{said}");
    lab.is_closed(&published, Transport::Tcp, PI4, 80)?;
    far.reaches(&published, Transport::Tcp, PI4, 80).context("somebody else")?;
    lab.lan.reaches(&published, Transport::Tcp, PI6, 80).context("the other family")?;
    // What the Pi asks of it is answered.
    let served = lab.lan.serve_tcp(80)?;
    lab.pi.reaches(&served, Transport::Tcp, LAN4, 80)?;
    ensure!(lab.fw(&["explain", "80/tcp", "--from", &LAN4.to_string()])?.contains("is refused"));
    let said = lab.fw(&["allow", &rule])?;
    ensure!(said == "eth0  open: 22, 80, 443\n", "{said}");
    lab.lan.reaches(&published, Transport::Tcp, PI4, 80)
}

fn a_limit_lets_each_sender_in_so_often(mode: Mode) -> Result<()> {
    let lab = Lab::new()?;
    let far = lab.add_far_host(1500)?;
    let published = lab.container(0).serve_tcp(OPEN_TARGET)?;
    lab.attach(mode, "22")?;
    lab.fw(&["limit", "80/tcp=2/1h"])?;
    for pi in [PI4, PI6] {
        lab.lan.reaches(&published, Transport::Tcp, pi, 80).context("the first connection")?;
        lab.lan.reaches(&published, Transport::Tcp, pi, 80).context("the second connection")?;
        let (before, limited) = (published.reached(), lab.stats("eth0")?.reason("limited").packets);
        let _refused = lab.lan.try_tcp(SocketAddr::new(pi, 80));
        wait::until("a connection to be limited", || {
            Ok((lab.stats("eth0")?.reason("limited").packets > limited).then_some(()))
        })?;
        ensure!(published.reached() == before, "a third connection arrived at {pi}");
        far.reaches(&published, Transport::Tcp, pi, 80).context("somebody else")?;
    }
    // A rule for a network lifts the limit there.
    lab.fw(&["allow", &format!("80/tcp@{LAN4}")])?;
    lab.lan.reaches(&published, Transport::Tcp, PI4, 80)?;
    lab.fw(&["allow", "80/tcp"])?;
    lab.lan.reaches(&published, Transport::Tcp, PI6, 80)
}

fn a_rule_with_an_end_closes_by_itself(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    let server = lab.pi.serve_tcp(8000)?;
    lab.attach(mode, "22")?;
    lab.is_closed(&server, Transport::Tcp, PI4, 8000)?;
    lab.fw(&["allow", "8000/tcp", "--for", "1h"])?;
    lab.lan.reaches(&server, Transport::Tcp, PI4, 8000)?;
    ensure!(lab.fw(&["status"])?.contains("  open    22, 8000/tcp for "), "{}", lab.fw(&["status"])?);
    lab.fw(&["allow", "8000/tcp", "--for", "1s"])?;
    wait::until("the rule to end", || Ok((!lab.fw(&["status"])?.contains("8000")).then_some(())))?;
    lab.is_closed(&server, Transport::Tcp, PI4, 8000)
}

fn the_lan_is_who_is_on_the_link(mode: Mode) -> Result<()> {
    let lab = Lab::new()?;
    let far = lab.add_far_host(1500)?;
    let published = lab.container(0).serve_tcp(OPEN_TARGET)?;
    lab.attach(mode, "22,80")?;
    far.reaches(&published, Transport::Tcp, PI4, 80).context("while the port is open")?;
    lab.fw(&["deny", "80"])?;
    lab.fw(&["allow", "80/tcp@lan"])?;
    for pi in [PI4, PI6] {
        lab.lan.reaches(&published, Transport::Tcp, pi, 80)?;
        let before = published.reached();
        let closed = lab.stats("eth0")?.reason("closed-port").packets;
        let _closed = far.try_tcp(SocketAddr::new(pi, 80));
        wait::until("a far host to be kept out", || {
            Ok((lab.stats("eth0")?.reason("closed-port").packets > closed).then_some(()))
        })?;
        ensure!(published.reached() == before, "a far host arrived at {pi}");
    }
    lab.fw(&["save"])?;
    ensure!(lab.read_file("eth0")?.contains("\"80/tcp@lan\""));
    ensure!(lab.fw(&["apply"])?.ends_with("nothing to do\n"));
    ensure!(
        lab.fw(&["status"])?.contains("  lan     192.0.2.0/24, 2001:db8:1::/64, fe80::/10\n"),
        "{}",
        lab.fw(&["status"])?
    );
    // The next command notes an address that came meanwhile.
    lab.pi.run("ip address add 203.0.113.7/24 dev eth0")?;
    lab.fw(&["allow", "9/tcp@lan"])?;
    ensure!(lab.fw(&["status"])?.contains("203.0.113.0/24"), "{}", lab.fw(&["status"])?);
    lab.pi.run("ip address del 203.0.113.7/24 dev eth0")?;
    lab.fw(&["allow", "80"])?;
    // The first one removes the rule that was typed.
    lab.fw(&["deny", "80@lan"])?;
    lab.lan.reaches(&published, Transport::Tcp, PI4, 80)?;
    lab.fw(&["deny", "80@lan"])?;
    lab.is_closed(&published, Transport::Tcp, PI4, 80)?;
    far.reaches(&published, Transport::Tcp, PI4, 80).context("a far host")?;
    // As at boot, before the network is up.
    lab.pi.run("ip address flush dev eth0")?;
    lab.fw(&["allow", "9/udp@lan"])?;
    let private = "  lan     10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7, fe80::/10\n";
    ensure!(lab.fw(&["status"])?.contains(private), "{}", lab.fw(&["status"])?);
    Ok(())
}

fn pings_above_a_limit_get_no_answer() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22")?;
    lab.fw(&["limit", "ping=1/1h"])?;
    lab.lan.ping(PI4).context("the first ping")?;
    ensure!(lab.lan.ping(PI6).is_err(), "one ping of both families was let in");
    ensure!(lab.stats("eth0")?.reason("limited").packets > 0);
    let said = lab.fw(&["allow", "ping"])?;
    ensure!(said == "eth0  open: 22\n", "{said}");
    lab.lan.ping(PI6)
}

const FILE: &str = "\
allow = [\"22\", \"80/tcp\"]
limit = [\"ssh/tcp\", \"ping=100/s\"]  # as ufw does
deny = [
    { rule = \"80/tcp@192.0.2.99\", comment = \"the old camera\" },
]
";

fn rules_of_every_kind_are_saved_and_applied() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22,80/tcp")?;
    lab.write_file("eth0", FILE)?;
    let said = lab.fw(&["apply"])?;
    for line in ["  limit none -> 22/tcp=6/30s, ping=100/s\n", "  deny none -> 80/tcp@192.0.2.99/32 (the old camera)\n"]
    {
        ensure!(said.contains(line), "{line:?} in {said}");
    }
    let status = lab.fw(&["status"])?;
    for line in [
        "  open    22/udp, 80/tcp\n",
        "  limited 22/tcp=6/30s, ping=100/s\n",
        "  denied  80/tcp@192.0.2.99/32 (the old camera)\n",
    ] {
        ensure!(status.contains(line), "{line:?} in {status}");
    }
    ensure!(lab.fw(&["apply"])?.ends_with("nothing to do\n"));
    // A proposed command keeps them.
    let said = lab.fw(&["explain", "gre"])?;
    let kept = "--allow 22/udp,80/tcp,22/tcp --allow-proto gre && fw-user limit 22/tcp=6/30s && fw-user deny 80/tcp@192.0.2.99/32 && fw-user limit ping=100/s\n";
    ensure!(said.contains(kept), "{said}");
    // What is true stays as it was written, and new rules stand behind it.
    lab.fw(&["limit", "2222/tcp=10/m", "--comment", "git"])?;
    lab.fw(&["deny", "22@192.0.2.98"])?;
    lab.fw(&["save"])?;
    let saved = lab.read_file("eth0")?;
    for line in [
        "limit = [\"ssh/tcp\", \"ping=100/s\", { rule = \"2222/tcp=10/m\", comment = \"git\" }]  # as ufw does\n",
        "    { rule = \"80/tcp@192.0.2.99\", comment = \"the old camera\" },\n",
        "    \"22@192.0.2.98/32\",\n",
    ] {
        ensure!(saved.contains(line), "{line:?} in {saved}");
    }
    ensure!(lab.fw(&["apply"])?.ends_with("nothing to do\n"), "{saved}");
    for (text, words) in [
        ("allow = [\"22\"]\nlimit = [\"22/udp=1/s\"]\n", "2:10: `22/udp=1/s`: a limit counts TCP connections"),
        ("allow = [\"22\"]\nlimit = [\"22=1/s\", \"22/tcp=1/s\"]\n", "is in the list already"),
        ("allow = [\"22\"]\ndeny = [\"all\"]\n", "every port to everyone"),
    ] {
        lab.write_file("eth0", text)?;
        lab.refuses(&["check"], USAGE, &[words])?;
    }
    lab.write_file("eth0", "limit = [\"22\"]\n")?;
    lab.fw(&["check"]).map(drop)
}

fn a_rule_with_an_end_outlives_other_commands_and_stands_in_no_file() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22")?;
    lab.fw(&["allow", "8000/tcp", "--for", "1h", "--comment", "a film"])?;
    lab.fw(&["save"])?;
    ensure!(!lab.read_file("eth0")?.contains("8000"));
    lab.refuses(&["allow", "8001", "--for", "1h", "--save"], USAGE, &["--save"])?;
    let has_film = || Ok::<_, anyhow::Error>(lab.fw(&["status"])?.contains("(a film)"));
    lab.fw(&["allow", "9000/tcp"])?;
    lab.fw(&["monitor"])?;
    lab.fw(&["enforce"])?;
    lab.fw(&["apply"])?;
    ensure!(has_film()? && !lab.fw(&["status"])?.contains("9000"), "{}", lab.fw(&["status"])?);
    ensure!(lab.fw(&["apply"])?.ends_with("nothing to do\n"));
    lab.fw(&["allow", "9000/tcp", "--confirm", "600"])?;
    lab.fw(&["allow", "9001/tcp", "--for", "1h"])?;
    lab.fw(&["rollback"])?;
    ensure!(has_film()? && !lab.fw(&["status"])?.contains("900"), "{}", lab.fw(&["status"])?);
    lab.fw(&["deny", "8000/tcp"])?;
    ensure!(!has_film()?);
    Ok(())
}

fn bad_rates_and_times_change_nothing() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22")?;
    // After the hour the port would be closed, and the way in with it.
    lab.fw(&["limit", "23"])?;
    lab.refuses(&["allow", "22-30/tcp", "--for", "1h"], FAILED, &["`limit 23/tcp=6/30s`", "nothing was changed"])?;
    lab.fw(&["deny", "23/tcp"])?;
    let before = lab.fw(&["status", "--json"])?;
    for (typed, words) in [
        ("22/udp=3/s", "TCP connections"),
        ("22=0/s", "out of range"),
        ("22=1/0s", "out of range"),
        ("22=1/25h", "out of range"),
        ("22=99999999999999999999/s", "out of range"),
        ("22=6", "6/30s"),
        ("22=6/30", "6/30s"),
        ("22=-1/s", "6/30s"),
        ("22=6/s@", "not a network"),
        ("all@192.0.2.1", "named ports"),
        ("ping", "ping=100/s"),
        ("ping=5/s@192.0.2.1", "all senders"),
        ("=6/30s", "there is no port"),
    ] {
        lab.refuses(&["limit", typed], USAGE, &[words])?;
    }
    for time in ["0s", "400d", "1", "soon", "-1h"] {
        lab.refuses(&["allow", "80", &format!("--for={time}")], USAGE, &["--for"])?;
    }
    lab.refuses(&["allow", "ping", "--for", "1h"], USAGE, &["ping"])?;
    lab.refuses(&["deny", "80@192.0.2.1"], FAILED, &["not open"])?;
    ensure!(lab.fw(&["status", "--json"])? == before);
    lab.fw(&["deny", "22@192.0.2.0/24"])?;
    lab.refuses(&["allow", "22/tcp@192.0.2.9"], FAILED, &["would stay closed", "fw-user allow 22@192.0.2.0/24"])?;
    // A second time it is as before.
    ensure!(lab.fw(&["deny", "22@192.0.2.0/24"])?.contains("(as before)"));
    Ok(())
}
