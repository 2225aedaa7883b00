//! The container: its recipe is built by a real Docker, and what comes of it is run the way the manual says.
//!
//! No image can be fetched here. Two others stand in for those that the recipe begins with, under the same names: one whose `cargo` hands
//! out the program under test, and one that has the libraries which that needs.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::{Lab, PI4, Transport, command, docker::Docker, fw::binary, wait},
    tests,
};
use tempfile::TempDir;

tests! {
    the_container_is_built_runs_as_the_manual_says_and_applies_what_changes;
}

/// It checks that it was called as it should be, and that the context has what a build needs.
const CARGO: &str = "\
#!/bin/sh
set -eu
[ \"$*\" = 'build --release --locked --package fw-user' ]
[ -f Cargo.lock ] && [ -f fw-user/bpf/fw.bpf.o ] && [ -f fw-user/src/main.rs ]
[ ! -e target ] && [ ! -e .git ]
mkdir -p target/release
cp /stand-in/fw-user target/release/fw-user
";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Copy a file to where an image has it.
fn put(image: &Path, from: &Path, to: &str) -> Result<()> {
    let to = image.join(to.trim_start_matches('/'));
    fs::create_dir_all(to.parent().context("a file is in a folder")?)?;
    fs::copy(from, &to).with_context(|| format!("{} to {}", from.display(), to.display()))?;
    Ok(())
}

/// A shell and what it calls.
fn busybox(image: &Path) -> Result<()> {
    put(image, Path::new("/bin/busybox"), "/bin/busybox")?;
    ["sh", "mkdir", "cp", "["].iter().try_for_each(|name| Ok(symlink("busybox", image.join("bin").join(name))?))
}

/// The images that the recipe begins with, in their order.
fn bases(recipe: &str) -> Result<(&str, &str)> {
    let mut names = recipe.lines().filter_map(|line| line.strip_prefix("FROM ")?.split(' ').next());
    names.next().zip(names.next()).context("two stages")
}

fn stand_ins(docker: &Docker<'_>) -> Result<()> {
    let recipe = fs::read_to_string(root().join("contrib/container/Containerfile"))?;
    let (builder, runtime) = bases(&recipe)?;
    ensure!(builder.contains("/rust:") && runtime.contains("/debian:"), "{builder} {runtime}");
    let folder = TempDir::with_prefix("fw-lab-image-")?;
    busybox(folder.path())?;
    fs::write(folder.path().join("bin/cargo"), CARGO)?;
    fs::set_permissions(folder.path().join("bin/cargo"), fs::Permissions::from_mode(0o755))?;
    put(folder.path(), binary(), "/stand-in/fw-user")?;
    for names in ["/etc/services", "/etc/protocols"] {
        put(folder.path(), Path::new(names), names)?;
    }
    docker.import(folder.path(), ".", builder, &["ENV PATH=/bin"])?;

    let folder = TempDir::with_prefix("fw-lab-image-")?;
    busybox(folder.path())?;
    fs::create_dir_all(folder.path().join("usr/local/sbin"))?;
    let libraries = command::run(Command::new("ldd").arg(binary()))?;
    for library in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
        put(folder.path(), Path::new(library), library)?;
    }
    docker.import(folder.path(), ".", runtime, &["ENV PATH=/bin"])
}

/// The commands of the manual that begin with these words, without `sudo docker`.
fn manual(verb: &str) -> Result<Vec<String>> {
    let page = fs::read_to_string(root().join("docs/fleet.md"))?;
    let line = page.lines().find(|line| line.starts_with(&format!("sudo docker {verb} ")));
    let line = line.with_context(|| format!("docs/fleet.md has no docker {verb}"))?;
    Ok(line.split(' ').skip(2).map(ToOwned::to_owned).collect())
}

fn run(docker: &Docker<'_>, words: &[String]) -> Result<String> {
    docker.run(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Docker knows the two capabilities from release 23 on; before, as the manual says, a larger one stands for both.
fn as_known(docker: &Docker<'_>, mut words: Vec<String>) -> Result<Vec<String>> {
    let release = docker.run(&["version", "--format", "{{.Server.Version}}"])?;
    let major: u32 = release.split('.').next().context("a release")?.parse()?;
    if major < 23 {
        for word in words.iter_mut().filter(|word| ["BPF", "PERFMON"].contains(&word.as_str())) {
            "SYS_ADMIN".clone_into(word);
        }
    }
    Ok(words)
}

fn the_container_is_built_runs_as_the_manual_says_and_applies_what_changes() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    let docker = Docker::start(&lab.pi, true)?;
    stand_ins(&docker)?;
    let mut build = manual("build")?;
    let (context, options) = build.split_last_mut().context("a context")?;
    ensure!(context == ".", "{context}");
    *context = root().display().to_string();
    for word in options.iter_mut().filter(|word| word.starts_with("contrib/")) {
        *word = root().join(&*word).display().to_string();
    }
    run(&docker, &build)?;

    let server = lab.pi.serve_tcp(8080)?;
    lab.lan.reaches(&server, Transport::Tcp, PI4, 8080)?;
    lab.write_file("node", "interfaces = [\"eth0\", \"wlan0\"]\nallow = [\"ssh/tcp\"]")?;
    // The lab's own folders, in the place of the machine's.
    let here = |word: String| {
        word.replace("source=/sys/fs/bpf,", &format!("source={},", lab.fw.bpffs().display()))
            .replace("source=/etc/fw-user,", &format!("source={},", lab.fw.config().display()))
    };
    let words: Vec<String> = manual("run")?.into_iter().map(here).collect();
    run(&docker, &as_known(&docker, words)?)?;
    let logs = || docker.run(&["logs", "fw-user"]);
    wait::until("the container to attach", || {
        let state = docker.run(&["inspect", "--format", "{{.State.Status}} {{.RestartCount}}", "fw-user"])?;
        ensure!(state.trim() == "running 0", "{state}: {}", logs()?);
        Ok(logs()?.contains("eth0  attach").then_some(()))
    })?;
    lab.is_closed(&server, Transport::Tcp, PI4, 8080)?;
    // The pins are the host's.
    ensure!(lab.fw(&["status"])?.starts_with("eth0  active"), "{}", lab.fw(&["status"])?);
    let metrics = lab.pi.get("http://127.0.0.1:9843/metrics")?;
    ensure!(metrics.contains("fw_up{interface=\"eth0\"} 1\n"), "{metrics}");
    lab.write_file("node", "interfaces = [\"eth0\"]\nallow = [\"ssh/tcp\", \"8080/tcp\"]")?;
    wait::until("the change to be applied", || Ok(logs()?.contains("+ 8080/tcp").then_some(())))?;
    lab.lan.reaches(&server, Transport::Tcp, PI4, 8080)?;
    lab.write_file("node", "interfaces = [\"eth0\"]\nallow = [\"ssh/tcp\"]")?;
    wait::until("the change back", || Ok(logs()?.contains("- 8080/tcp").then_some(())))?;
    // It ends when it is asked to, not when Docker loses its patience and kills it, and the filter stays.
    run(&docker, &manual("stop")?)?;
    let code = docker.run(&["inspect", "--format", "{{.State.ExitCode}}", "fw-user"])?;
    assert_eq!(code.trim(), "0", "{}", logs()?);
    lab.is_closed(&server, Transport::Tcp, PI4, 8080)
}
