//! `metrics`: what Prometheus reads is what `stats` and `status` say, in both formats, and nobody outside can make it grow.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::fs::{FileTypeExt, MetadataExt, symlink},
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::{Lab, Mode, PI4, background::Background, command, http::Answer, skip, wait},
    tests,
};
use fw_user::testing::ports;
use nix::sys::signal::Signal;

const FAILED: i32 = 1;
const USAGE: i32 = 2;
const URL: &str = "http://127.0.0.1:9843/metrics";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

tests! {
    what_it_tells_is_what_stats_says;
    reasons_that_never_occurred_are_told_of_as_zero;
    both_formats_follow_the_conventions;
    clients_get_the_format_that_they_name;
    other_paths_and_methods_are_answered_too;
    an_interface_without_its_filter_is_told_of;
    a_renamed_interface_is_told_of_by_its_new_name;
    damaged_pins_and_mistakes_are_told_of;
    a_filter_that_only_counts_and_a_change_on_trial_are_told_of;
    a_scan_does_not_make_the_answer_grow;
    slow_clients_and_large_requests_are_sent_away;
    idle_clients_keep_nobody_from_the_metrics;
    an_address_that_is_not_to_be_had_is_said;
    an_address_that_others_reach_is_said;
    the_textfile_is_replaced_at_once;
    the_textfile_is_written_again_and_again;
    a_textfile_that_cannot_be_written_for_a_while_is_written_afterwards;
    a_run_serves_how_applying_went;
}

/// An endpoint on the Pi's loopback that is ready.
fn serve(lab: &Lab) -> Result<Background> {
    let mut server = lab.fw_background(&["metrics"])?;
    server.await_said("metrics are at http://127.0.0.1:9843/metrics")?;
    Ok(server)
}

/// The samples of a text, by name and labels as they stand there.
fn samples(text: &str) -> Result<BTreeMap<String, String>> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').with_context(|| format!("no sample: {line}"))?;
            Ok((name.to_owned(), value.to_owned()))
        })
        .collect()
}

fn read(lab: &Lab) -> Result<BTreeMap<String, String>> {
    samples(&lab.pi.get(URL)?)
}

/// The value of a sample, where a test does not know it beforehand.
fn value(told: &BTreeMap<String, String>, name: &str) -> Result<f64> {
    Ok(told.get(name).with_context(|| format!("no {name}"))?.parse()?)
}

fn packets(verdict: &str, reason: &str) -> String {
    format!("fw_packets_total{{interface=\"eth0\",verdict=\"{verdict}\",reason=\"{reason}\"}}")
}

fn port(protocol: &str, port: u16, verdict: &str) -> String {
    format!("fw_port_packets_total{{interface=\"eth0\",protocol=\"{protocol}\",port=\"{port}\",verdict=\"{verdict}\"}}")
}

fn what_it_tells_is_what_stats_says() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22,8080")?;
    let to = |port| SocketAddr::new(PI4, port);
    for _ in 0..3 {
        lab.lan.send_udp_from(5000, to(9125), b"closed")?;
    }
    for _ in 0..2 {
        lab.lan.send_udp_from(5000, to(8080), b"open")?;
    }
    let stats = lab.await_stats("what was sent", |stats| {
        stats.dropped_at("udp", 9125) == 3 && stats.port("udp", 8080).is_some_and(|port| port.passed == 2)
    })?;
    let _server = serve(&lab)?;
    let told = read(&lab)?;
    assert_eq!(told[&port("udp", 9125, "drop")], "3");
    assert_eq!(told[&port("udp", 8080, "pass")], "2");
    assert!(
        !told.contains_key(&port("udp", 9125, "pass")),
        "a closed port that never let anything in has no such counter"
    );
    assert_eq!(told[&packets("drop", "closed-port")], stats.reason("closed-port").packets.to_string());
    let bytes = packets("drop", "closed-port").replace("packets", "bytes");
    assert_eq!(told[&bytes], stats.reason("closed-port").bytes.to_string());
    assert_eq!(told["fw_interface_present{interface=\"eth0\"}"], "1");
    assert_eq!(told["fw_attached{interface=\"eth0\"}"], "1");
    assert_eq!(told["fw_up{interface=\"eth0\"}"], "1");
    let info = told.keys().find(|name| name.starts_with("fw_interface_info{")).context("how it is attached")?;
    for label in
        ["interface=\"eth0\"", "mode=\"native\"", "egress=\"", &format!("version=\"{}\"", env!("CARGO_PKG_VERSION"))]
    {
        ensure!(info.contains(label), "{label}: {info}");
    }
    let since = value(&told, "fw_attached_timestamp_seconds{interface=\"eth0\"}")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    ensure!((now - since).abs() < 300.0, "attached at {since}, now it is {now}");
    assert_eq!(told["fw_flows_capacity{family=\"ipv6\"}"], "65536");
    // Outbound flows are remembered, by family.
    let before = value(&told, "fw_flows{family=\"ipv4\"}")?;
    lab.pi.send_udp_from(5001, SocketAddr::new(fw_tests::lab::LAN4, 9), b"out")?;
    wait::until("the flow", || Ok((value(&read(&lab)?, "fw_flows{family=\"ipv4\"}")? > before).then_some(())))
}

/// A rate needs a beginning.
fn reasons_that_never_occurred_are_told_of_as_zero() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22")?;
    let _server = serve(&lab)?;
    let told = read(&lab)?;
    for reason in fw_common::Reason::ALL {
        let name = packets(&reason.verdict().to_string(), reason.name());
        ensure!(told.contains_key(&name), "{name} is not in {told:#?}");
    }
    assert_eq!(told[&packets("drop", "vlan-depth")], "0");
    assert_eq!(told[&port("tcp", 22, "pass")], "0");
    Ok(())
}

fn both_formats_follow_the_conventions() -> Result<()> {
    skip::need("promtool", "prometheus")?;
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22")?;
    lab.write_file("eth7", "allow = [\"22\"]")?;
    let _server = serve(&lab)?;
    let text = lab.pi.get(URL)?;
    let complaints = command::run_with_input(Command::new("promtool").args(["check", "metrics"]), text.as_bytes())?;
    ensure!(complaints.is_empty(), "{complaints}");
    ensure!(!text.contains("# EOF") && text.contains("# TYPE fw_packets_total counter\n"), "{text}");
    let named = [("Accept", "application/openmetrics-text;version=1.0.0")];
    let Answer { body, .. } = lab.pi.ask("GET", URL, &named)?;
    ensure!(body.ends_with("\n# EOF\n") && body.contains("# TYPE fw_packets counter\n"), "{body}");
    ensure!(body.contains("# TYPE fw_interface info\n"), "{body}");
    // The same names in both; what a Prometheus makes of OpenMetrics is seen in prometheus.rs.
    let names = |text: &str| samples(text).map(|samples| samples.into_keys().collect::<Vec<_>>());
    assert_eq!(names(&body)?, names(&text)?);
    Ok(())
}

fn clients_get_the_format_that_they_name() -> Result<()> {
    let lab = Lab::without_containers()?;
    let _server = serve(&lab)?;
    let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                      text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    for (accept, content_type) in [
        (prometheus, OPEN_METRICS),
        ("Application/OpenMetrics-Text", OPEN_METRICS),
        ("text/plain, application/openmetrics-text;q=0.9", OPEN_METRICS),
        ("application/openmetrics-text;q=0", TEXT),
        ("text/plain;version=0.0.4", TEXT),
        ("*/*", TEXT),
        ("application/json", TEXT),
        ("text/plain; note=\"application/openmetrics-text, so to speak\"", TEXT),
        ("", TEXT),
        (",;=", TEXT),
    ] {
        let answer = lab.pi.ask("GET", URL, &[("Accept", accept)])?;
        assert_eq!((answer.status, answer.content_type.as_str()), (200, content_type), "{accept}");
    }
    Ok(())
}

fn other_paths_and_methods_are_answered_too() -> Result<()> {
    let lab = Lab::without_containers()?;
    let _server = serve(&lab)?;
    let ask = |method, path: &str| lab.pi.ask(method, &URL.replace("/metrics", path), &[]);
    let landing = ask("GET", "/")?;
    assert_eq!((landing.status, landing.content_type.as_str()), (200, "text/html; charset=utf-8"));
    ensure!(landing.body.contains("href=\"/metrics\""), "{landing:?}");
    for path in ["/metric", "/metrics/", "/favicon.ico", "//metrics", "/%2e%2e/etc/passwd"] {
        assert_eq!(ask("GET", path)?.status, 404, "{path}");
    }
    assert_eq!(ask("GET", "/metrics?name[]=fw_up")?.status, 200);
    let head = ask("HEAD", "/metrics")?;
    assert_eq!((head.status, head.content_type.as_str(), head.body.as_str()), (200, TEXT, ""));
    ensure!(head.length.is_some_and(|length| length > 100), "{head:?}");
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        assert_eq!(ask(method, "/metrics")?.status, 405, "{method}");
    }
    Ok(())
}

/// So that an alarm can ring: a counter that is not there makes no noise.
fn an_interface_without_its_filter_is_told_of() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.write_file("eth0", "allow = [\"22\"]")?;
    lab.write_file("eth7", "allow = [\"22\"]")?;
    lab.fw(&["apply", "eth0"])?;
    let _server = serve(&lab)?;
    let state = || -> Result<String> {
        let told = read(&lab)?;
        let names = ["fw_interface_present", "fw_attached", "fw_up"];
        Ok(["eth0", "eth7"]
            .iter()
            .flat_map(|of| names.map(|name| told[&format!("{name}{{interface=\"{of}\"}}")].clone()))
            .collect())
    };
    assert_eq!(state()?, "111000");
    lab.fw(&["detach", "eth0"])?;
    assert_eq!(state()?, "100000");
    ensure!(!read(&lab)?.contains_key(&packets("drop", "closed-port")), "nothing counts there");
    // Without file and pins nobody knows of it any more.
    fs::remove_file(lab.file("eth0"))?;
    ensure!(!read(&lab)?.contains_key("fw_attached{interface=\"eth0\"}"), "it is nobody's concern");
    Ok(())
}

fn a_renamed_interface_is_told_of_by_its_new_name() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22")?;
    let _server = serve(&lab)?;
    lab.pi.run("ip link set eth0 down")?;
    lab.pi.run("ip link set eth0 name lan0")?;
    let told = read(&lab)?;
    let up: Vec<&String> = told.keys().filter(|name| name.starts_with("fw_up{")).collect();
    ensure!(up == ["fw_up{interface=\"lan0\"}"], "{up:?}");
    Ok(())
}

fn damaged_pins_and_mistakes_are_told_of() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22")?;
    let _server = serve(&lab)?;
    assert_eq!(read(&lab)?["fw_config_mistakes"], "0");
    lab.write_file("eth0", "allow = [\"22\", \"70000\"]\nmonitr = true")?;
    let pin = lab.fw.pins()?.into_iter().find(|pin| pin.ends_with("if-eth0/COUNTERS")).context("a pin of counters")?;
    fs::remove_file(pin)?;
    let told = read(&lab)?;
    assert_eq!(told["fw_config_mistakes"], "2");
    assert_eq!(told["fw_attached{interface=\"eth0\"}"], "1");
    assert_eq!(told["fw_up{interface=\"eth0\"}"], "0");
    ensure!(!told.contains_key(&packets("drop", "closed-port")), "what cannot be read is not told as nothing");
    Ok(())
}

fn a_filter_that_only_counts_and_a_change_on_trial_are_told_of() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.fw(&["attach", "eth0", "--allow", "22", "--monitor"])?;
    let _server = serve(&lab)?;
    let told = read(&lab)?;
    let deadline = "fw_trial_deadline_timestamp_seconds{interface=\"eth0\"}";
    assert_eq!(told["fw_monitor{interface=\"eth0\"}"], "1");
    assert!(!told.contains_key(deadline));
    lab.fw(&["enforce", "--confirm", "600"])?;
    let told = read(&lab)?;
    assert_eq!(told["fw_monitor{interface=\"eth0\"}"], "0");
    let left = value(&told, deadline)? - SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    ensure!((500.0..=602.0).contains(&left), "{left} s");
    lab.fw(&["rollback"])?;
    assert!(!read(&lab)?.contains_key(deadline));
    Ok(())
}

fn a_scan_does_not_make_the_answer_grow() -> Result<()> {
    const SCANNED: u16 = 3000;
    let lab = Lab::without_containers()?;
    // More open ports than are told of, too.
    lab.attach(Mode::Native, "22/tcp,20000-20999/udp")?;
    for port in 1000..1000 + SCANNED {
        lab.lan.send_udp_from(5000, SocketAddr::new(PI4, port), b"scan")?;
    }
    for _ in 0..5 {
        lab.lan.send_udp_from(5000, SocketAddr::new(PI4, 9125), b"again")?;
    }
    lab.await_stats("the scan", |stats| stats.reason("closed-port").packets >= u64::from(SCANNED) + 5)?;
    let _server = serve(&lab)?;
    let told = read(&lab)?;
    let of_ports = |words: &str| {
        told.keys().filter(|name| name.starts_with("fw_port_packets_total{") && name.contains(words)).count()
    };
    assert_eq!(of_ports("verdict=\"pass\""), ports::OPEN);
    assert_eq!(of_ports("verdict=\"drop\""), ports::OPEN + ports::CLOSED);
    assert_eq!(told[&port("udp", 9125, "drop")], "5", "the busiest is told of");
    assert!(told.keys().all(|name| !name.contains("192.0.2.") && !name.contains("2001:db8")), "no addresses: {told:?}");
    Ok(())
}

fn slow_clients_and_large_requests_are_sent_away() -> Result<()> {
    let lab = Lab::without_containers()?;
    let _server = serve(&lab)?;
    let connect = || lab.pi.enter(|| TcpStream::connect("127.0.0.1:9843"));
    let mut slow = connect()?;
    slow.write_all(b"GET /metrics HTTP/1.1\r\nHo")?;
    lab.pi.get(URL)?;
    let mut rest = Vec::new();
    slow.set_read_timeout(Some(wait::PATIENCE))?;
    slow.read_to_end(&mut rest).context("the slow client is still served")?;
    ensure!(!String::from_utf8_lossy(&rest).contains("fw_"), "{rest:?}");
    let large = "x".repeat(100_000);
    let answer = lab.pi.ask("GET", URL, &[("X-Large", &large)]);
    ensure!(answer.as_ref().map_or(true, |answer| answer.status == 431), "{answer:?}");
    let names: Vec<String> = (0..100).map(|count| format!("X-{count}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "x")).collect();
    let answer = lab.pi.ask("GET", URL, &many)?;
    assert_eq!(answer.status, 431);
    lab.pi.get(URL).map(drop)
}

/// Connections that are held open, from the scraper's address or another one, do not make a scraper time out.
fn idle_clients_keep_nobody_from_the_metrics() -> Result<()> {
    const IDLE: usize = 200;
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    let mut server = lab.fw_background(&["metrics", "--listen", "0.0.0.0:9843"])?;
    server.await_said("metrics are at")?;
    let url = "http://192.0.2.1:9843/metrics";
    for place in [&lab.lan, &lab.pi] {
        let idle =
            (0..IDLE).map(|_| place.enter(|| TcpStream::connect("192.0.2.1:9843"))).collect::<Result<Vec<_>, _>>()?;
        lab.pi.get(url).context("the scraper on the Pi")?;
        lab.lan.get(url).context("the scraper on the LAN")?;
        drop(idle);
    }
    Ok(())
}

fn an_address_that_is_not_to_be_had_is_said() -> Result<()> {
    let lab = Lab::without_containers()?;
    let _server = serve(&lab)?;
    let refused = |address, words: &[&str]| lab.refuses(&["metrics", "--listen", address], FAILED, words);
    refused("127.0.0.1:9843", &["127.0.0.1:9843", "another program has that port", "--listen"])?;
    refused("198.51.100.7:9843", &["198.51.100.7:9843", "no interface has that address", "--listen"])?;
    lab.refuses(&["metrics", "--listen", "9843"], USAGE, &["--listen", "9843"])?;
    lab.refuses(&["metrics", "--interval", "5"], USAGE, &["--textfile"])?;
    lab.refuses(&["metrics", "--listen", "127.0.0.1:1", "--textfile", "x"], USAGE, &["--listen", "--textfile"])
}

fn an_address_that_others_reach_is_said() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    let mut server = lab.fw_background(&["metrics", "--listen", "192.0.2.1:0"])?;
    let said = server.await_said("without a password")?;
    let (_, url) = said.split_once("metrics are at ").context("where")?;
    let url = url.lines().next().context("a URL")?;
    let number: u16 = url.split([':', '/']).nth(4).context("a port")?.parse()?;
    ensure!(said.contains(&format!("fw-user allow {number}/tcp@")), "{said}");
    lab.lan.get(url)?;
    // Loopback goes without saying.
    let mut server = lab.fw_background(&["metrics"])?;
    ensure!(!server.await_said("Ctrl-C ends the metrics, not the filter")?.contains("password"), "{}", server.said()?);
    let status = server.end(Signal::SIGINT)?;
    ensure!(status.success(), "{status}");
    Ok(())
}

fn the_textfile_is_replaced_at_once() -> Result<()> {
    skip::need("promtool", "prometheus")?;
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22")?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("fw.prom");
    let path = file.to_str().context("UTF-8")?;
    fs::write(&file, "old")?;
    let before = fs::metadata(&file)?.ino();
    assert_eq!(lab.fw(&["metrics", "--textfile", path])?, "");
    let facts = fs::metadata(&file)?;
    ensure!(facts.ino() != before, "it was written over, and half of it could be read");
    assert_eq!(facts.mode() & 0o777, 0o644, "the collector is another user");
    let text = fs::read_to_string(&file)?;
    assert_eq!(samples(&text)?["fw_up{interface=\"eth0\"}"], "1");
    command::run_with_input(Command::new("promtool").args(["check", "metrics"]), text.as_bytes())?;
    assert_eq!(fs::read_dir(folder.path())?.count(), 1, "nothing else lies there");
    for (bad, word) in [("missing/fw.prom", "missing/fw.prom"), ("..", "..")] {
        let bad = folder.path().join(bad);
        lab.refuses(&["metrics", "--textfile", bad.to_str().context("UTF-8")?], FAILED, &["writing", word])?;
    }
    ensure!(!folder.path().join("missing").exists(), "a folder that nobody reads was made");
    // A user who can write to the folder cannot redirect the write or the read to another file.
    let shadow = tempfile::NamedTempFile::new()?;
    fs::write(shadow.path(), "precious")?;
    fs::remove_file(&file)?;
    symlink(shadow.path(), &file)?;
    lab.fw(&["metrics", "--textfile", path])?;
    assert_eq!(fs::read_to_string(shadow.path())?, "precious");
    ensure!(fs::symlink_metadata(&file)?.is_file(), "the link is still there");
    // A device stays what it is, too.
    let pipe = folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU)?;
    lab.refuses(&["metrics", "--textfile", pipe.to_str().context("UTF-8")?], FAILED, &["pipe", "not a regular file"])?;
    ensure!(fs::metadata(&pipe)?.file_type().is_fifo(), "the pipe was replaced");
    Ok(())
}

fn the_textfile_is_written_again_and_again() -> Result<()> {
    let lab = Lab::without_containers()?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("fw.prom");
    let mut writer =
        lab.fw_background(&["metrics", "--textfile", file.to_str().context("UTF-8")?, "--interval", "0.1"])?;
    let is_told = |word: &str| fs::read_to_string(&file).is_ok_and(|text| text.contains(word));
    wait::until("the file", || Ok(is_told("fw_build_info").then_some(())))?;
    lab.attach(Mode::Native, "22")?;
    wait::until("the filter in it", || Ok(is_told("fw_up{interface=\"eth0\"} 1").then_some(())))?;
    let status = writer.end(Signal::SIGTERM)?;
    ensure!(status.success() && file.exists(), "{status}");
    Ok(())
}

/// As on a disk that is full, or a folder that is mounted anew.
fn a_textfile_that_cannot_be_written_for_a_while_is_written_afterwards() -> Result<()> {
    let lab = Lab::without_containers()?;
    let scratch = tempfile::tempdir()?;
    let (folder, elsewhere) = (scratch.path().join("collector"), scratch.path().join("elsewhere"));
    let file = folder.join("fw.prom");
    let args = ["metrics", "--interval", "0.1", "--textfile", file.to_str().context("UTF-8")?];
    lab.refuses(&args, FAILED, &["writing", "fw.prom"])?;
    fs::create_dir(&folder)?;
    let mut writer = lab.fw_background(&args)?;
    wait::until("the file", || Ok(file.exists().then_some(())))?;
    fs::rename(&folder, &elsewhere)?;
    writer.await_said("this is tried again every 0.1 s")?;
    fs::remove_file(elsewhere.join("fw.prom"))?;
    fs::rename(&elsewhere, &folder)?;
    wait::until("the file again", || Ok(file.exists().then_some(())))?;
    let status = writer.end(Signal::SIGTERM)?;
    let said = writer.said()?;
    ensure!(status.success() && said.matches("tried again").count() == 1, "{status}: {said}");
    Ok(())
}

fn a_run_serves_how_applying_went() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.write_file("eth0", "allow = [\"22\"]")?;
    let _run = lab.fw_background(&["run"])?;
    let good = "fw_config_last_apply_successful";
    let told = wait::until("the first time", || {
        // It listens before it applies.
        let told = read(&lab).ok().filter(|told| told.get(good).is_some_and(|good| good == "1"));
        Ok(told)
    })?;
    let when = value(&told, "fw_config_last_apply_success_timestamp_seconds")?;
    let attached = value(&told, "fw_attached_timestamp_seconds{interface=\"eth0\"}")?;
    ensure!(when > attached - 1.0, "{told:?}");
    lab.write_file("eth0", "allow = [\"70000\"]")?;
    let told = wait::until("the mistake", || Ok(Some(read(&lab)?).filter(|told| told[good] == "0")))?;
    assert_eq!(told["fw_config_mistakes"], "1");
    let still = value(&told, "fw_config_last_apply_success_timestamp_seconds")?;
    ensure!((still - when).abs() < f64::EPSILON, "it claims that a mistake was applied");
    // One that only serves applies nothing, and does not claim so.
    let mut other = lab.fw_background(&["metrics", "--listen", "127.0.0.2:9843"])?;
    other.await_said("metrics are at")?;
    let told = samples(&lab.pi.get("http://127.0.0.2:9843/metrics")?)?;
    assert!(!told.contains_key(good));
    Ok(())
}
