//! A real `sshd` on the Pi, and sessions in it: what must not be cut.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, PipeWriter, Write, pipe},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use super::{
    Lab, Namespace, command,
    fw::binary,
    process::Process,
    skip::Missing,
    wait::{self, PATIENCE},
};

/// Every address.
pub const EVERYWHERE: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];

/// It starts itself again for each session, and wants to be called by its full name for that.
const SSHD: &str = "/usr/sbin/sshd";

/// A running `sshd`. It is gone when dropped, and its sessions with it.
#[derive(Debug)]
pub struct Sshd {
    port: u16,
    keys: TempDir,
    _process: Process,
}

impl Sshd {
    /// Start one in a namespace, on a port of these addresses.
    ///
    /// # Errors
    /// [`Missing`] where it is not installed.
    pub fn start(place: &Namespace, addresses: &[IpAddr], port: u16) -> Result<Self> {
        if !Path::new(SSHD).exists() {
            return Err(Missing("no sshd: apt install openssh-server".to_owned()).into());
        }
        // Where Debian's has its empty folder; the service makes it when it starts.
        fs::create_dir_all("/run/sshd").context("cannot make /run/sshd")?;
        let keys = TempDir::with_prefix("fw-lab-ssh-")?;
        for name in ["host", "client"] {
            let mut keygen = Command::new("ssh-keygen");
            command::run(keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(keys.path().join(name)))?;
        }
        let mut sshd = place.command(SSHD);
        sshd.args(["-D", "-e", "-f", "/dev/null", "-p", &port.to_string(), "-h"]).arg(keys.path().join("host"));
        let authorized = keys.path().join("client.pub");
        for option in [
            &*format!("AuthorizedKeysFile={}", authorized.display()),
            "PermitRootLogin=yes",
            "PasswordAuthentication=no",
            "KbdInteractiveAuthentication=no",
            // The keys lie below a folder that everybody may write to.
            "StrictModes=no",
            "UsePAM=yes",
            "PidFile=none",
            "PrintMotd=no",
        ] {
            sshd.args(["-o", option]);
        }
        for &address in addresses {
            sshd.args(["-o", &format!("ListenAddress={}", SocketAddr::new(address, port))]);
        }
        let log = File::create_new(keys.path().join("log"))?;
        let mut process = Process::start(sshd.stdin(Stdio::null()).stderr(log))?;
        wait::until("sshd to listen", || {
            if let Some(status) = process.ended()? {
                bail!("sshd ended: {status}");
            }
            let listening = place.run(&format!("ss --no-header --listening --tcp --numeric sport = :{port}"))?;
            Ok((!listening.is_empty()).then_some(()))
        })?;
        Ok(Self { port, keys, _process: process })
    }

    /// What it says of logins goes to this file.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.keys.path().join("log")
    }

    /// Try to log in as somebody that it does not know.
    ///
    /// # Errors
    /// There is no client.
    pub fn guess(&self, from: &Namespace, user: &str, to: SocketAddr) -> Result<Output> {
        let mut ssh = self.client(from, to.port());
        ssh.args(["-l", user, &to.ip().to_string(), "true"]).stdin(Stdio::null());
        ssh.output().context("cannot run ssh")
    }

    fn client(&self, from: &Namespace, port: u16) -> Command {
        let mut ssh = from.command("ssh");
        ssh.args(["-q", "-F", "/dev/null", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"]);
        ssh.args(["-o", "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes", "-i"])
            .arg(self.keys.path().join("client"));
        ssh.args(["-p", &port.to_string()]);
        ssh
    }

    /// Log in from elsewhere, and have `shell` there: `sh`, or something that starts one.
    ///
    /// # Errors
    /// The login failed.
    pub fn session(&self, from: &Namespace, address: &str, shell: &str) -> Result<Session> {
        self.session_at(from, address, self.port, shell)
    }

    /// The same at another port, which is redirected.
    ///
    /// # Errors
    /// The login failed.
    pub fn session_at(&self, from: &Namespace, address: &str, port: u16, shell: &str) -> Result<Session> {
        let mut ssh = self.client(from, port);
        ssh.args(["-l", "root", address, shell]);
        Session::start(ssh)
    }
}

/// A shell at the other end of an SSH connection.
#[derive(Debug)]
pub struct Session {
    input: PipeWriter,
    lines: Receiver<String>,
    _client: Process,
}

/// The result of a command in a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The exit code.
    pub code: i32,
    /// Its standard output and error.
    pub said: String,
}

impl Session {
    /// The end mark after each command's output.
    const END: &str = "--- the command ended with ";

    fn start(mut ssh: Command) -> Result<Self> {
        let (for_client, input) = pipe()?;
        let (output, from_client) = pipe()?;
        let client = Process::start(ssh.stdin(for_client).stdout(from_client).stderr(Stdio::null()))?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let mut session = Self { input, lines, _client: client };
        session.run("true").context("no SSH session")?;
        Ok(session)
    }

    /// Run a line, and wait for its end.
    ///
    /// # Errors
    /// The connection is cut.
    pub fn run(&mut self, line: &str) -> Result<Outcome> {
        self.type_line(line)?;
        self.answer(line)
    }

    /// Wait for the end of a line that was typed.
    ///
    /// # Errors
    /// The connection is cut.
    pub fn answer(&mut self, line: &str) -> Result<Outcome> {
        let mut said = String::new();
        loop {
            let line = self.lines.recv_timeout(PATIENCE).with_context(|| format!("no answer to {line:?}; {said:?}"))?;
            if let Some(code) = line.strip_prefix(Self::END) {
                return Ok(Outcome { code: code.parse()?, said });
            }
            said += &line;
            said.push('\n');
        }
    }

    /// Type a line, and do not wait.
    ///
    /// # Errors
    /// The client has ended.
    pub fn type_line(&mut self, line: &str) -> Result<()> {
        writeln!(self.input, "({line}) 2>&1 </dev/null; code=$?; echo; echo '{}'$code", Self::END)
            .context("the SSH client has ended")
    }

    /// The value of `SSH_CONNECTION` in it.
    ///
    /// # Errors
    /// The connection is cut.
    pub fn connection(&mut self) -> Result<String> {
        let Outcome { said, .. } = self.run("echo $SSH_CONNECTION")?;
        Ok(said.trim().to_owned())
    }

    /// Run `fw-user` in the session, as the lab's Pi has it.
    ///
    /// # Errors
    /// The connection is cut.
    pub fn fw(&mut self, lab: &Lab, args: &str) -> Result<Outcome> {
        self.run(&fw_line(lab, args))
    }

    /// The same, where it must succeed.
    ///
    /// # Errors
    /// It failed, or the connection is cut.
    pub fn fw_succeeds(&mut self, lab: &Lab, args: &str) -> Result<String> {
        let outcome = self.fw(lab, args)?;
        ensure!(outcome.code == 0, "fw-user {args} failed: {}", outcome.said);
        Ok(outcome.said)
    }

    /// The same, where it must be refused with these words, and change nothing.
    ///
    /// # Errors
    /// It does otherwise.
    pub fn fw_refused(&mut self, lab: &Lab, args: &str, words: &[&str]) -> Result<String> {
        let before = lab.traces()?;
        let Outcome { code, said } = self.fw(lab, args)?;
        ensure!(code == 1, "fw-user {args} ended with {code}: {said}");
        for word in words {
            ensure!(said.contains(word), "fw-user {args} does not mention {word:?}: {said}");
        }
        let after = lab.traces()?;
        ensure!(before == after, "fw-user {args} was refused, and changed something: {before:#?} {after:#?}");
        Ok(said)
    }
}

/// The command line for `fw-user` on the lab's Pi.
#[must_use]
pub fn fw_line(lab: &Lab, args: &str) -> String {
    let bpffs: PathBuf = lab.fw.bpffs().into();
    format!("{} --bpffs {} {args}", binary().display(), bpffs.display())
}
