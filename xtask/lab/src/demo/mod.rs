//! `cargo xtask demo`: the hole and the remedy, on machines made of network namespaces. Each step checks that it shows what it claims.

mod stage;
mod traffic;
mod web;

use std::{
    io::IsTerminal as _,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use fw_tests::lab::{
    LAN4, Lab, Namespace, PI4, PI6, command,
    netfilter::{CLOSED_TARGET, OPEN_TARGET},
    wait,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use self::{stage::Tone, web::Answer};
use xtask::{debian, product::FwUser, root};

/// Options of `demo`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Seconds to show live statistics, on a terminal
    #[arg(long, value_name = "SECONDS", default_value_t = 8)]
    live: u64,
    /// Seconds to pause for reading before each step, on a terminal
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    pause: u64,
}

/// The commands of the Pi's owner.
const ATTACH: &str = "attach eth0 --allow 22,80,443";

pub(crate) fn run(options: &Options) -> Result<()> {
    if !root::is_built() {
        FwUser::Debug.build()?;
    }
    if !root::is_root() {
        ensure!(root::again()?.success(), "the demo did not show what it claims");
        return Ok(());
    }
    debian::provide(&[debian::IP, debian::NFT])?;
    // Should this process be killed, everything below goes with it.
    root::hide()?;
    let watched = std::io::stdout().is_terminal();
    let time = |seconds| watched.then(|| Duration::from_secs(seconds));
    let (pause, live) = (time(options.pause), time(options.live));
    Demo { lab: Lab::new()?, fw_user: FwUser::Debug.path(), steps: 0, pause, live }.play()
}

struct Demo {
    lab: Lab,
    fw_user: PathBuf,
    steps: usize,
    /// For a person to read; nothing where nobody watches.
    pause: Option<Duration>,
    live: Option<Duration>,
}

impl Demo {
    fn play(&mut self) -> Result<()> {
        self.introduce()?;
        self.show_the_hole()?;
        self.attach()?;
        self.show_it_closed()?;
        self.show_the_way_out()?;
        self.show_statistics()?;
        self.detach()?;
        self.step("The end");
        stage::say(
            "The machines of this demo are removed now. To close the ports of your own machine:

    cargo build --release && sudo install target/release/fw-user /usr/local/sbin
    sudo fw-user attach eth0 --allow 22,80,443 --confirm 60

`attach` refuses to cut your own SSH session. Type `sudo fw-user confirm` within a minute, or the change is undone.
`sudo fw-user detach eth0` opens all ports again.",
        );
        Ok(())
    }

    fn step(&mut self, title: &str) {
        if let Some(pause) = self.pause {
            thread::sleep(pause);
        }
        self.steps += 1;
        stage::step(self.steps, title);
    }

    /// Start what listens, and show the machines.
    fn introduce(&self) -> Result<()> {
        web::serve(&self.lab.pi, 9123, "a program on the Pi itself")?;
        web::serve(self.lab.container(0), CLOSED_TARGET, "the container's private page")?;
        web::serve(self.lab.container(0), OPEN_TARGET, "the container's public page")?;
        web::serve(&self.lab.lan, 8000, "a server on the LAN")?;
        stage::say(
            "A laptop, a Raspberry Pi and a container, built from network namespaces. The demo touches no interface,
firewall rule or container of this machine. When it ends, nothing stays behind.

    laptop                  Pi                            container
    eth0 ------------------ eth0         docker0 -------- eth0
    192.0.2.10              192.0.2.1    172.17.0.1       172.17.0.2
    2001:db8:1::10          2001:db8:1::1",
        );
        Ok(())
    }

    fn show_the_hole(&mut self) -> Result<()> {
        self.step("The Pi's owner drops everything but SSH, HTTP and HTTPS");
        self.show_rules("list chain inet filter input")?;
        stage::say(
            "Two ports of the container are published, with the rules that Docker writes for -p 80:8080 -p 9125:80:",
        );
        self.show_rules("list chain ip nat DOCKER")?;

        self.step("What the laptop can reach");
        self.expect(&[
            silence(PI4, 9123, "closed, as the owner wants"),
            page(PI4, 80, "open, as the owner wants", Tone::Good),
            page(PI4, 9125, "WIDE OPEN", Tone::Bad),
            page(PI6, 9125, "WIDE OPEN", Tone::Bad),
        ])?;
        stage::say(
            "Docker's rule redirects 9125 before routing, so the packet is forwarded to the container. It never
reaches the input chain. The rules there are correct, but this packet does not pass them.",
        );
        Ok(())
    }

    fn attach(&mut self) -> Result<()> {
        self.step("One command on the Pi");
        self.fw_user(ATTACH)?;
        Ok(())
    }

    fn show_it_closed(&mut self) -> Result<()> {
        self.step("What the laptop can reach now");
        let dropped = self.dropped(9125)?;
        self.expect(&[
            silence(PI4, 9123, "closed"),
            page(PI4, 80, "open", Tone::Good),
            silence(PI4, 9125, "closed"),
            silence(PI6, 9125, "closed"),
        ])?;
        ensure!(self.dropped(9125)? > dropped, "port 9125 is closed, but not by the filter: it counted no drop");
        Ok(())
    }

    fn show_the_way_out(&mut self) -> Result<()> {
        self.step("Outbound connections of the Pi and the container still work");
        let server = SocketAddr::new(LAN4, 8000);
        for (name, machine) in [("Pi", &self.lab.pi), ("container", self.lab.container(0))] {
            let answer = web::get(machine, server)?;
            stage::finding(&format!("{name} -> {server}"), &answer.to_string(), "works", Tone::Good);
            ensure!(matches!(answer, Answer::Page(_)), "the {name} can no longer reach {server}");
        }
        stage::gap();
        Ok(())
    }

    fn show_statistics(&mut self) -> Result<()> {
        self.step("The statistics, while the laptop scans the Pi");
        traffic::while_scanning(&self.lab.lan, || self.watch_statistics())?;
        ensure!(
            self.dropped(traffic::LAST)? > 0,
            "the laptop scanned port {}, but the filter counted no drop",
            traffic::LAST
        );
        Ok(())
    }

    fn watch_statistics(&self) -> Result<()> {
        wait::until("the scan to be seen", || Ok((self.dropped(traffic::LAST)? > 0).then_some(())))?;
        let Some(time) = self.live else { return self.fw_user("stats --once") };
        stage::say(&format!("The live screen, for {} seconds.", time.as_secs()));
        stage::command("pi", "fw-user stats");
        if let Some(pause) = self.pause {
            thread::sleep(pause);
        }
        let mut live = fw_user(&self.lab.pi, &self.fw_user, "stats").spawn().context("cannot start fw-user")?;
        thread::sleep(time);
        // The same as Ctrl-C.
        kill(Pid::from_raw(i32::try_from(live.id())?), Signal::SIGINT)?;
        let status = live.wait()?;
        stage::gap();
        ensure!(status.success(), "the live statistics ended with {status}");
        Ok(())
    }

    fn detach(&mut self) -> Result<()> {
        self.step("Detach, to show that the filter closed the ports");
        self.fw_user("detach eth0")?;
        self.expect(&[page(PI4, 9125, "open again", Tone::Bad)])?;
        let link = self.lab.pi.run("ip -json -details link show eth0")?;
        ensure!(!link.contains("\"xdp\""), "eth0 still has a program: {link}");
        Ok(())
    }

    /// Show what nftables has.
    fn show_rules(&self, arguments: &str) -> Result<()> {
        stage::command("pi", &format!("nft {arguments}"));
        stage::output(&self.lab.pi.run(&format!("nft {arguments}"))?);
        Ok(())
    }

    /// Run the product on the Pi, and show what it says.
    fn fw_user(&self, arguments: &str) -> Result<()> {
        stage::command("pi", &format!("fw-user {arguments}"));
        stage::output(&command::run(&mut fw_user(&self.lab.pi, &self.fw_user, arguments))?);
        Ok(())
    }

    /// How many packets to a TCP port the filter has dropped.
    fn dropped(&self, port: u16) -> Result<u64> {
        let answer = command::run(&mut fw_user(&self.lab.pi, &self.fw_user, "stats eth0 --json"))?;
        let stats: fw_tests::lab::stats::Stats = serde_json::from_str(&answer)?;
        Ok(stats.interface("eth0")?.dropped_at("tcp", port))
    }

    /// Have the laptop make these attempts, and show what each means if it is what was to be shown. At once: silence takes its time.
    fn expect(&self, attempts: &[Attempt]) -> Result<()> {
        let answers: Vec<_> = thread::scope(|scope| {
            let ask = |attempt: &Attempt| {
                let to = attempt.to;
                scope.spawn(move || web::get(&self.lab.lan, to))
            };
            let asked: Vec<_> = attempts.iter().map(ask).collect();
            asked.into_iter().map(thread::ScopedJoinHandle::join).collect()
        });
        for (attempt, answer) in attempts.iter().zip(answers) {
            let answer = answer.map_err(|_panic| anyhow!("asking {} panicked", attempt.to))??;
            let shown = format!("laptop -> {}", attempt.to);
            if !(attempt.fits)(&answer) {
                stage::finding(&shown, &answer.to_string(), "wrong", Tone::Bad);
                bail!("{} should be {}, but the answer is: {answer}", attempt.to, attempt.means)
            }
            stage::finding(&shown, &answer.to_string(), attempt.means, attempt.tone);
        }
        stage::gap();
        Ok(())
    }
}

/// The laptop's attempts, and their expected results.
struct Attempt {
    to: SocketAddr,
    fits: fn(&Answer) -> bool,
    means: &'static str,
    tone: Tone,
}

fn page(address: IpAddr, port: u16, means: &'static str, tone: Tone) -> Attempt {
    Attempt { to: SocketAddr::new(address, port), fits: |answer| matches!(answer, Answer::Page(_)), means, tone }
}

fn silence(address: IpAddr, port: u16, means: &'static str) -> Attempt {
    let fits = |answer: &Answer| matches!(answer, Answer::Silence);
    Attempt { to: SocketAddr::new(address, port), fits, means, tone: Tone::Good }
}

/// The product on one of the machines.
fn fw_user(machine: &Namespace, program: &Path, arguments: &str) -> Command {
    let mut command = machine.command(program);
    // Whoever watches the demo over SSH is not logged in to its Pi.
    command.args(arguments.split(' ')).env_remove("SSH_CONNECTION").env_remove("SSH_CLIENT");
    command
}
