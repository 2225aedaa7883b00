//! Debian's fail2ban bans with `fw-user` whom a real sshd in a container complains of.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    process::Stdio,
};

use anyhow::{Context, Result, bail, ensure};
use fw_tests::{
    lab::{
        FAR4, FAR6, Lab, Mode, Namespace, PI4, PI6, command,
        netfilter::OPEN_TARGET,
        process::Process,
        skip,
        ssh::{self, Sshd},
        wait,
    },
    pages::root,
    tests,
};
use tempfile::TempDir;

tests! {
    whom_fail2ban_bans_reaches_no_published_port_until_it_unbans_him;
}

/// fail2ban on the Pi, with folders of its own and one jail.
struct Fail2ban<'a> {
    lab: &'a Lab,
    folder: TempDir,
    /// The log that it reads.
    complaints: PathBuf,
}

impl<'a> Fail2ban<'a> {
    fn new(lab: &'a Lab, complaints: PathBuf) -> Result<Self> {
        skip::need("fail2ban-server", "fail2ban")?;
        let fail2ban = Self { lab, folder: TempDir::with_prefix("fw-lab-fail2ban-")?, complaints };
        let at = |name: &str| fail2ban.at(name).display().to_string();
        for folder in ["action.d", "filter.d"] {
            fs::create_dir(fail2ban.at(folder))?;
        }
        fs::copy(root().join("contrib/fail2ban/fw-user.conf"), fail2ban.at("action.d/fw-user.conf"))?;
        for filter in ["common.conf", "sshd.conf"] {
            fs::copy(format!("/etc/fail2ban/filter.d/{filter}"), fail2ban.at("filter.d").join(filter))?;
        }
        // Without syslog, sshd writes neither time nor host nor name.
        fs::write(
            fail2ban.at("filter.d/sshd.local"),
            "[DEFAULT]\n__prefix_line =\n\n[Definition]\ndatepattern = {NONE}\n",
        )?;
        let main = format!(
            "[Definition]\nloglevel = INFO\nlogtarget = {}\nsyslogsocket = auto\nsocket = {}\npidfile = {}\ndbfile = {}\ndbpurgeage = 1d\n\
             dbmaxmatches = 10\n",
            at("log"),
            at("socket"),
            at("pid"),
            at("database")
        );
        fs::write(fail2ban.at("fail2ban.conf"), main)?;
        let fw = lab.fw.command(&lab.pi, [] as [&str; 0]);
        // What comes before the program enters the namespace that fail2ban is in.
        let words: Vec<String> = fw.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        let typed = words.split(|word| word == "--").next_back().context("a command")?.join(" ");
        let jail = format!(
            "[sshd]\nenabled = true\nfilter = sshd\nlogpath = {}\nbackend = polling\nmaxretry = 2\nfindtime = 600\nbantime = 3600\n\
             action = fw-user[name=sshd, command=\"{typed}\"]\n",
            fail2ban.complaints.display()
        );
        fs::write(fail2ban.at("jail.conf"), jail)?;
        Ok(fail2ban)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.at("log")).unwrap_or_default()
    }

    fn start(&self) -> Result<Process> {
        let mut server = self.lab.pi.command("fail2ban-server");
        server.arg("-c").arg(self.folder.path()).args(["-x", "-f", "start"]);
        let mut process = Process::start(server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()))?;
        wait::until("fail2ban to answer", || match process.ended()? {
            Some(status) => bail!("fail2ban ended with {status}: {}", self.log()),
            None => Ok(self.client(&["ping"]).ok()),
        })?;
        Ok(process)
    }

    fn client(&self, words: &[&str]) -> Result<String> {
        command::run(self.lab.pi.command("fail2ban-client").arg("-c").arg(self.folder.path()).args(words))
    }

    fn bans(&self, address: IpAddr) -> Result<()> {
        let listed = wait::until(format!("a ban of {address}"), || {
            Ok(self.lab.fw(&["bans"])?.contains(&format!("{address} ")).then_some(()))
        });
        listed.with_context(|| format!("{}{}", self.log(), fs::read_to_string(&self.complaints).unwrap_or_default()))
    }
}

/// The Pi drops something of the far machine that it sends to the container's published port.
fn is_kept_out(lab: &Lab, far: &Namespace, pi: IpAddr) -> Result<()> {
    let banned = || anyhow::Ok(lab.stats("eth0")?.reason("banned").packets);
    let before = banned()?;
    let _knocking = far.try_tcp(SocketAddr::new(pi, 80))?;
    wait::until("a banned packet", || Ok((banned()? > before).then_some(())))
}

/// Try to log in as somebody that there is not, twice.
fn guess(sshd: &Sshd, far: &Namespace, pi: IpAddr) -> Result<()> {
    for user in ["mallory", "admin"] {
        let output = sshd.guess(far, user, SocketAddr::new(pi, 80))?;
        ensure!(!output.status.success(), "{user} is in");
    }
    Ok(())
}

fn whom_fail2ban_bans_reaches_no_published_port_until_it_unbans_him() -> Result<()> {
    let lab = Lab::new()?;
    let far = lab.add_far_host(1500)?;
    let sshd = Sshd::start(lab.container(0), &ssh::EVERYWHERE, OPEN_TARGET)?;
    lab.attach(Mode::Tc, "22,80")?;
    let fail2ban = Fail2ban::new(&lab, sshd.log())?;
    let mut running = fail2ban.start()?;
    for (pi, sender) in [(PI4, FAR4), (PI6, FAR6)] {
        far.connect_tcp(SocketAddr::new(pi, 80)).context("before the ban")?;
        guess(&sshd, &far, pi)?;
        fail2ban.bans(sender)?;
        is_kept_out(&lab, &far, pi)?;
        lab.lan.connect_tcp(SocketAddr::new(pi, 80)).context("somebody else")?;
    }
    let json = lab.fw(&["bans", "--set", "fail2ban-sshd", "--json"])?;
    ensure!(!json.contains("\"until\":null"), "the kernel ends them, too: {json}");
    fail2ban.client(&["set", "sshd", "unbanip", &FAR4.to_string()])?;
    far.connect_tcp(SocketAddr::new(PI4, 80)).context("after the ban")?;
    is_kept_out(&lab, &far, PI6)?;
    // Over a restart fail2ban remembers the other one.
    running.stop()?;
    ensure!(lab.fw(&["bans"])? == "no bans\n", "{}", fail2ban.log());
    let mut running = fail2ban.start()?;
    fail2ban.bans(FAR6)?;
    is_kept_out(&lab, &far, PI6)?;
    far.connect_tcp(SocketAddr::new(PI4, 80))?;
    running.stop()?;
    ensure!(!fail2ban.log().contains("ERROR"), "{}", fail2ban.log());
    Ok(())
}
