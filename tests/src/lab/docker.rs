//! A real Docker daemon in the Pi's network namespace, with everything that it keeps in a folder of its own.

use std::{
    fs::{self, File},
    io::{Read, Seek},
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use super::{Namespace, command, process::Process, skip, skip::Missing, wait};

/// The only image: a static busybox, which is enough to stay alive in.
const IMAGE: &str = "lab";
const BUSYBOX: &str = "/bin/busybox";

/// A running dockerd. Containers and daemon are gone when it is dropped.
#[derive(Debug)]
pub struct Docker<'a> {
    daemon: Process,
    log: File,
    folder: TempDir,
    place: &'a Namespace,
    userland_proxy: bool,
}

/// A running container.
#[derive(Debug)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Its network namespace, in which servers can be put.
    pub namespace: Namespace,
    /// Its IPv4 address.
    pub address: IpAddr,
}

impl<'a> Docker<'a> {
    /// Start a daemon, and make the image.
    ///
    /// # Errors
    /// [`Missing`] where Docker or busybox is not installed; else the end of the daemon's log.
    pub fn start(place: &'a Namespace, userland_proxy: bool) -> Result<Self> {
        for (program, package) in [("dockerd", "docker.io"), ("docker", "docker.io"), ("tar", "tar")] {
            skip::need(program, package)?;
        }
        if !fs::exists(BUSYBOX)? || command::run(Command::new("ldd").arg(BUSYBOX)).is_ok() {
            return Err(Missing("no static busybox: apt install busybox-static".to_owned()).into());
        }
        let folder = TempDir::with_prefix("fw-lab-docker-")?;
        let log = File::create_new(folder.path().join("log"))?;
        let daemon = spawn(place, &folder, &log, userland_proxy)?;
        let log = File::open(folder.path().join("log"))?;
        let mut docker = Self { daemon, log, folder, place, userland_proxy };
        docker.await_ready()?;
        docker.make_image()?;
        Ok(docker)
    }

    /// Run `docker` with these arguments, and return what it printed.
    ///
    /// # Errors
    /// As [`command::run`].
    pub fn run(&self, args: &[&str]) -> Result<String> {
        command::run(self.command().args(args))
    }

    /// The daemon's address, for `DOCKER_HOST`.
    #[must_use]
    pub fn host(&self) -> String {
        format!("unix://{}", self.folder.path().join("socket").display())
    }

    fn command(&self) -> Command {
        let mut command = Command::new("docker");
        command.env_remove("DOCKER_HOST").env_remove("DOCKER_CONTEXT");
        // The legacy builder, because Debian packages the new one separately.
        command.env("DOCKER_BUILDKIT", "0");
        command.arg("--host").arg(self.host());
        command
    }

    /// Start a container that does nothing, with further arguments of `docker run`: `--publish 9125:80`.
    ///
    /// # Errors
    /// As [`command::run`].
    pub fn container(&self, name: &str, args: &[&str]) -> Result<Container> {
        self.run(&[&["run", "--detach", "--name", name][..], args, &[IMAGE, "/busybox", "sleep", "100000"]].concat())?;
        self.inspect(name)
    }

    /// Stop a container and start it again, which gives it another network namespace.
    ///
    /// # Errors
    /// As [`command::run`].
    pub fn restart_container(&self, container: Container) -> Result<Container> {
        let Container { name, .. } = container;
        self.run(&["stop", "--time", "0", &name])?;
        self.run(&["start", &name])?;
        self.inspect(&name)
    }

    /// A running container, as it is now.
    ///
    /// # Errors
    /// It is not running.
    pub fn inspect(&self, name: &str) -> Result<Container> {
        const FORMAT: &str = "{{.State.Pid}} {{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let facts = self.run(&["inspect", "--format", FORMAT, name])?;
        let (pid, address) =
            facts.trim().split_once(' ').with_context(|| format!("docker inspect printed {facts:?}"))?;
        Ok(Container {
            name: name.to_owned(),
            namespace: Namespace::of_process(pid.parse()?)?,
            address: address.parse()?,
        })
    }

    /// Stop the daemon and start it again. Containers end with it.
    ///
    /// # Errors
    /// The end of the daemon's log.
    pub fn restart(&mut self) -> Result<()> {
        let status = self.daemon.stop()?;
        ensure!(status.success(), "dockerd ended with {status}: {}", self.end_of_log()?);
        let log = File::options().append(true).open(self.folder.path().join("log"))?;
        self.daemon = spawn(self.place, &self.folder, &log, self.userland_proxy)?;
        self.await_ready()
    }

    fn await_ready(&mut self) -> Result<()> {
        wait::until("dockerd to answer", || {
            if let Some(status) = self.daemon.ended()? {
                bail!("dockerd ended with {status}: {}", self.end_of_log()?);
            }
            Ok(command::run(self.command().arg("version")).ok())
        })
        .map(drop)
    }

    fn make_image(&self) -> Result<()> {
        self.import("/bin".as_ref(), "busybox", IMAGE, &[])
    }

    /// Make an image of what is called so in a folder, with changes as in a `Dockerfile`: `ENV PATH=/bin`.
    ///
    /// # Errors
    /// tar's, or the daemon's.
    pub fn import(&self, folder: &Path, name: &str, image: &str, changes: &[&str]) -> Result<()> {
        let mut tar = Command::new("tar");
        tar.args(["--create", "--directory"]).arg(folder).arg(name).stdout(Stdio::piped());
        let mut tar = tar.spawn()?;
        let archive = tar.stdout.take().context("standard output was asked to be a pipe")?;
        let mut import = self.command();
        import.arg("import").args(changes.iter().flat_map(|change| ["--change", change])).args(["-", image]);
        let imported = import.stdin(archive).output()?;
        ensure!(imported.status.success(), "docker import: {}", String::from_utf8_lossy(&imported.stderr));
        ensure!(tar.wait()?.success(), "tar failed");
        Ok(())
    }

    fn end_of_log(&mut self) -> Result<String> {
        let mut text = String::new();
        self.log.rewind()?;
        self.log.read_to_string(&mut text)?;
        let lines: Vec<&str> = text.lines().collect();
        Ok(lines[lines.len().saturating_sub(20)..].join("\n"))
    }
}

impl Drop for Docker<'_> {
    fn drop(&mut self) {
        // The daemon takes its containers along only when it is asked to end.
        let ended = self.remove_containers().and_then(|()| self.daemon.stop());
        if let Err(error) = ended {
            eprintln!("dockerd cannot be stopped: {error:#}");
        }
    }
}

impl Docker<'_> {
    /// Remove every container, running or not.
    ///
    /// # Errors
    /// As [`command::run`].
    pub fn remove_containers(&self) -> Result<()> {
        let all = self.run(&["ps", "--all", "--quiet"])?;
        let all: Vec<&str> = all.split_whitespace().collect();
        if all.is_empty() { Ok(()) } else { self.run(&[&["rm", "--force"], &all[..]].concat()).map(drop) }
    }
}

fn spawn(place: &Namespace, folder: &TempDir, log: &File, userland_proxy: bool) -> Result<Process> {
    let path = |name: &str| folder.path().join(name);
    let flag = |name: &str, path: PathBuf| format!("--{name}={}", path.display());
    let mut command = place.command("unshare");
    // A mount namespace, since dockerd mounts the network namespaces of its containers below /run.
    command.args(["--mount", "--", "dockerd"]);
    command.args([
        flag("data-root", path("data")),
        flag("exec-root", path("exec")),
        flag("pidfile", path("pid")),
        format!("--host=unix://{}", path("socket").display()),
        format!("--userland-proxy={userland_proxy}"),
        "--storage-driver=vfs".to_owned(),
    ]);
    // From release 28 on Docker drops in netfilter what is sent straight to a container; older ones do not, nor does 28 with this.
    command.env("DOCKER_INSECURE_NO_IPTABLES_RAW", "1");
    Process::start(command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?))
}
