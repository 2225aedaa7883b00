//! A systemd that writes the links of `systemctl enable` and starts nothing, for commands that talk to one.
//!
//! `/etc`, `/run` and `/usr/local/sbin` are folders of the test in a mount namespace of its own, and process 1 lives in the Pi's network
//! namespace. The links are made by the real `systemctl`, which needs no running systemd for that.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::{
    Lab,
    background::Background,
    command,
    skip::{self, Missing},
};

/// The path of the command under test in there.
pub const PROGRAM: &str = "/usr/local/sbin/fw-user";

/// `systemctl` and `udevadm` as far as `fw-user` asks them. What was typed is kept in a file.
const SYSTEMCTL: &str = r#"#!/bin/sh
echo "systemctl $*" >> /run/typed
case "$1" in
enable | disable)
    verb=$1
    shift
    for word; do
        shift
        [ "$word" = --now ] || set -- "$@" "$word"
    done
    exec env SYSTEMD_OFFLINE=1 REAL "$verb" "$@"
    ;;
show) echo "ActiveState=inactive" ;;
esac
"#;

/// The stand-in, with the folders that a machine would have.
#[derive(Debug)]
pub struct Systemd {
    scratch: TempDir,
    inside: u32,
    _holder: Background,
}

impl Systemd {
    /// One for the Pi of a lab.
    ///
    /// # Errors
    /// There is no `systemctl` here, or no mount namespace can be made.
    pub fn new(lab: &Lab) -> Result<Self> {
        let real = ["/usr/bin/systemctl", "/bin/systemctl"].into_iter().find(|path| Path::new(path).exists());
        let real = real.ok_or_else(|| Missing("`systemctl` is not installed: apt install systemd".to_owned()))?;
        skip::need("unshare", "util-linux")?;
        let scratch = tempfile::tempdir()?;
        let bin = scratch.path().join("bin");
        fs::create_dir(&bin)?;
        let systemctl = SYSTEMCTL.replace("REAL", real);
        for (name, text) in [("systemctl", systemctl.as_str()), ("udevadm", "#!/bin/sh\n")] {
            fs::write(bin.join(name), text)?;
            fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755))?;
        }
        let script = format!(
            "set -e
            etc=$(mktemp -d) && mount -t tmpfs etc $etc
            for name in services protocols passwd group nsswitch.conf hosts ld.so.cache; do
                [ ! -e /etc/$name ] || cp -L /etc/$name $etc/
            done
            mkdir -p $etc/systemd/system $etc/udev/rules.d
            mount --move $etc /etc
            mount -t tmpfs run /run && mkdir -p /run/systemd/system
            mount -t tmpfs -o mode=755 local /usr/local/sbin && touch {PROGRAM}
            mount --bind {} {PROGRAM}
            echo ready
            exec sleep infinity",
            lab.fw.program().display()
        );
        let mut unshare = lab.pi.command("unshare");
        unshare.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", &script]);
        let mut holder = Background::start(&mut unshare)?;
        holder.await_said("ready")?;
        let pid = holder.process.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        let inside = children.split_whitespace().next().context("unshare has no child")?.parse()?;
        Ok(Self { scratch, inside, _holder: holder })
    }

    /// A command in there, with the stand-ins before everything else.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args([&format!("--target={}", self.inside), "--mount", "--pid", "--net", "--", program]);
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", self.scratch.path().join("bin").display()));
        command
    }

    /// Run `fw-user` with the pins of the lab and the files in `/etc/fw-user`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn try_fw(&self, lab: &Lab, args: &[&str]) -> Result<Output> {
        let mut fw = self.command(PROGRAM);
        fw.arg("--bpffs").arg(lab.fw.bpffs()).args(args).stdin(std::process::Stdio::null());
        for name in ["SSH_CONNECTION", "SSH_CLIENT", "SUDO_UID"] {
            fw.env_remove(name);
        }
        Ok(fw.env("DOCKER_HOST", "unix:///run/no-docker.sock").output()?)
    }

    /// The same, which must succeed. Returns standard output.
    ///
    /// # Errors
    /// It fails.
    pub fn fw(&self, lab: &Lab, args: &[&str]) -> Result<String> {
        let output = self.try_fw(lab, args)?;
        let said = String::from_utf8(output.stdout)?;
        ensure!(output.status.success(), "{args:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
        Ok(said)
    }

    /// The same, which must fail with a code and these words.
    ///
    /// # Errors
    /// It does not.
    pub fn refuses(&self, lab: &Lab, args: &[&str], code: i32, words: &[&str]) -> Result<()> {
        let output = self.try_fw(lab, args)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(code), "{args:?}: {}, {said}", output.status);
        let missing: Vec<&&str> = words.iter().filter(|word| !said.contains(**word)).collect();
        ensure!(missing.is_empty(), "{args:?} says {said}, without {missing:?}");
        Ok(())
    }

    /// Run a line of shell.
    ///
    /// # Errors
    /// It fails.
    pub fn shell(&self, line: &str) -> Result<String> {
        command::run(self.command("sh").args(["-c", line]))
    }

    /// Every file of the boot service, below `/etc`.
    ///
    /// # Errors
    /// They cannot be listed.
    pub fn files(&self) -> Result<Vec<PathBuf>> {
        let found = self.shell("find /etc -name '*fw-user*' ! -type d -o -path '/etc/fw-user/*' | sort")?;
        Ok(found.lines().map(PathBuf::from).collect())
    }
}
