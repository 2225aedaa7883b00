//! `cargo xtask screenshot`: docs/screen.svg, a picture of `fw-user stats` on a real terminal, with a real Docker and made-up traffic.

use std::{
    fs,
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anstyle_svg::{Term, WIN10_CONSOLE};
use anyhow::{Context as _, Result, ensure};
use fw_common::PortProtocol::{self, Tcp, Udp};
use fw_tests::{
    lab::{LAN4, Lab, Mode, PI4, PI6, docker::Docker, tmux::Tmux, wire::Wire},
    packet::eth,
};

use xtask::{debian, product::FwUser, root, workspace};

/// Options of `screenshot`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Seconds of traffic before the picture is taken
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    after: u64,
}

/// Containers, and the ports that they publish.
const CONTAINERS: [(&str, &[&str]); 4] = [
    ("pihole", &["--publish", "53:53/udp", "--publish", "80:80"]),
    ("grafana", &["--publish", "3000:3000"]),
    ("jellyfin", &["--publish", "8096:8096"]),
    ("postgres", &["--publish", "5432:5432"]),
];

/// The machine's outbound requests.
const FLOWS: u16 = 48;

/// The senders: address, transport, port, most packets per second, and the period of the swell in seconds. Some of the ports are closed.
const TRAFFIC: [(&str, PortProtocol, u16, f64, f64); 13] = [
    ("192.0.2.20", Tcp, 22, 40.0, 30.0),
    ("192.0.2.31", Tcp, 80, 260.0, 45.0),
    ("2001:db8:1::31", Tcp, 443, 420.0, 25.0),
    ("203.0.113.77", Tcp, 5432, 70.0, 20.0),
    ("203.0.113.77", Tcp, 23, 38.0, 9.0),
    ("198.51.100.9", Tcp, 23, 24.0, 13.0),
    ("198.51.100.9", Tcp, 3389, 12.0, 17.0),
    ("198.51.100.140", Udp, 53, 55.0, 14.0),
    ("2001:db8:66::bad:cafe", Tcp, 3000, 19.0, 11.0),
    ("192.0.2.31", Tcp, 8096, 6.0, 12.0),
    ("203.0.113.200", Udp, 5060, 31.0, 8.0),
    ("203.0.113.200", Tcp, 445, 9.0, 22.0),
    ("192.0.2.40", Udp, 1900, 3.0, 10.0),
];

pub(crate) fn run(options: &Options) -> Result<()> {
    if !root::is_built() {
        FwUser::Debug.build()?;
    }
    if !root::is_root() {
        ensure!(root::again()?.success(), "drawing the picture failed");
        return Ok(());
    }
    debian::provide(&[debian::IP, debian::NFT, debian::DOCKER, debian::DOCKER_CLI, debian::BUSYBOX, debian::TMUX])?;
    root::hide()?;
    let lab = Lab::without_containers()?;
    let docker = Docker::start(&lab.pi, false)?;
    for (name, ports) in CONTAINERS {
        docker.container(name, ports)?;
    }
    lab.attach(Mode::Native, "22,80,443")?;
    for port in 1..=FLOWS {
        lab.pi.send_udp_from(0, SocketAddr::new(LAN4, port), b"question")?;
    }
    let wire = lab.lan.wire("eth0")?;
    let stopping = AtomicBool::new(false);
    let picture = thread::scope(|scope| {
        let sender = scope.spawn(|| send(&wire, &stopping));
        let picture = take(&lab, &docker, Duration::from_secs(options.after));
        stopping.store(true, Ordering::Relaxed);
        sender.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).and(picture)
    })?;
    let path = workspace::root().join("docs/screen.svg");
    fs::write(&path, picture).with_context(|| format!("cannot write {}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}

fn take(lab: &Lab, docker: &Docker<'_>, after: Duration) -> Result<String> {
    let tmux = Tmux::start(&lab.pi, &[("DOCKER_HOST", &docker.host())])?;
    tmux.resize(100, 28)?;
    let program = FwUser::Debug.path();
    tmux.enter(&format!("{} --bpffs {} stats", program.display(), lab.fw.bpffs().display()))?;
    // The sparklines are what takes so long.
    thread::sleep(after);
    tmux.await_screen("the containers' names", |screen| screen.contains("container postgres"))?;
    Ok(Term::new().palette(WIN10_CONSOLE).render_svg(tmux.coloured_screen()?.trim_end()))
}

/// Send as the table says, until it is enough.
fn send(wire: &Wire, stopping: &AtomicBool) -> Result<()> {
    const TICK: Duration = Duration::from_millis(20);
    let begun = Instant::now();
    let mut owed = [0.0_f64; TRAFFIC.len()];
    while !stopping.load(Ordering::Relaxed) {
        let time = begun.elapsed().as_secs_f64();
        for ((source, protocol, port, most, period), owed) in TRAFFIC.into_iter().zip(&mut owed) {
            // Never quite silent, and two waves that do not fall together.
            let wave = 0.55 + 0.3 * (time * std::f64::consts::TAU / period).sin() + 0.15 * (time * 2.9).sin();
            *owed += most * wave * TICK.as_secs_f64();
            while *owed >= 1.0 {
                *owed -= 1.0;
                wire.send(&frame(source, protocol, port))?;
            }
        }
        thread::sleep(TICK);
    }
    Ok(())
}

fn frame(source: &str, protocol: PortProtocol, port: u16) -> Vec<u8> {
    const FROM: u16 = 50_000;
    if source.contains(':') {
        eth().ipv6().from(source).to(&PI6.to_string()).ports(protocol, FROM, port).payload(&[0; 200]).build()
    } else {
        eth().ipv4().from(source).to(&PI4.to_string()).ports(protocol, FROM, port).payload(&[0; 200]).build()
    }
}
