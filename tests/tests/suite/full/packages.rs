//! The Debian packages: what is in them, and what installing, upgrading and removing them does to a Debian.

use std::{env, fs, os::unix::fs::symlink, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use clap::CommandFactory;
use fw_tests::{
    deb::{self, System},
    lab::{
        Lab, Namespace, command, skip,
        tmux::Tmux,
        traffic::{OPEN, Traffic},
    },
    tests,
};
use fw_user::testing::cli::Cli;

tests! {
    there_is_a_package_for_every_architecture;
    lintian_has_nothing_to_say;
    another_folder_makes_the_same_package;
    every_command_has_a_page_that_renders_without_a_warning;
    bash_completes_commands_and_options;
    shells_understand_every_script;
    each_shell_completes_what_is_typed_at_a_key;
    installing_attaches_nothing_and_purging_leaves_nothing;
    an_upgrade_keeps_the_filter;
    removing_takes_filters_off_and_keeps_the_files_of_the_administrator;
    what_another_installation_made_stays;
}

fn there_is_a_package_for_every_architecture() -> Result<()> {
    for (name, machine) in deb::ARCHITECTURES.into_iter().zip(["X86-64", "AArch64", "ARM"]) {
        let mut packages = deb::packages()?.into_iter();
        let package = packages.find(|package| package.to_string_lossy().ends_with(&format!("_{name}.deb")));
        let package = package.with_context(|| format!("there is none for {name}"))?;
        let field = |field: &str| command::run(Command::new("dpkg-deb").arg("--field").arg(package).arg(field));
        ensure!(field("Architecture")?.trim() == name, "{name}: {}", field("Architecture")?);
        ensure!(!field("Depends")?.contains("libc"), "{name} wants libraries: {}", field("Depends")?);
        let files = unpack(package)?;
        let mut readelf = Command::new("readelf");
        readelf.args(["--file-header", "--program-headers"]).arg(files.path().join("usr/sbin/fw-user"));
        let said = command::run(&mut readelf)?;
        let built_for = said.lines().find_map(|line| line.trim().strip_prefix("Machine:")).context("a machine")?;
        ensure!(built_for.trim().ends_with(machine) && !said.contains("INTERP"), "{name}: {said}");
    }
    Ok(())
}

fn unpack(package: &Path) -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    command::run(Command::new("dpkg-deb").arg("--extract").args([package, folder.path()]))?;
    Ok(folder)
}

fn lintian_has_nothing_to_say() -> Result<()> {
    skip::need("lintian", "lintian")?;
    for package in deb::packages()? {
        let mut lintian = Command::new("lintian");
        lintian.args(["--allow-root", "--fail-on=error,warning", "--tag-display-limit=0"]).arg(package);
        let said = command::run(&mut lintian)?;
        ensure!(said.is_empty(), "{said}");
    }
    Ok(())
}

fn another_folder_makes_the_same_package() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let again = deb::elsewhere(&scratch.path().join("another/place"))?;
    let first = deb::native()?;
    ensure!(fs::read(&again)? == fs::read(first)?, "{} and {} differ", first.display(), again.display());
    Ok(())
}

/// All commands that are not hidden, each with its name in pages.
fn all_commands() -> Vec<(String, clap::Command)> {
    fn walk(command: &clap::Command, name: &str, found: &mut Vec<(String, clap::Command)>) {
        for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
            walk(command, &format!("{name}-{}", command.get_name()), found);
        }
        found.push((name.to_owned(), command.clone()));
    }
    let mut found = Vec::new();
    walk(&Cli::command(), "fw-user", &mut found);
    found
}

fn every_command_has_a_page_that_renders_without_a_warning() -> Result<()> {
    skip::need("man", "man-db")?;
    let files = unpack(deb::native()?)?;
    let folder = files.path().join("usr/share/man/man8");
    let commands = all_commands();
    for (name, command) in &commands {
        let mut man = Command::new("man");
        man.args(["--warnings", "--local-file"]).arg(folder.join(format!("{name}.8.gz")));
        let output = man.env("LC_ALL", "C.UTF-8").env("MANWIDTH", "100").output()?;
        let complaints = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success() && complaints.is_empty(), "{name}: {complaints}");
        let page = String::from_utf8(output.stdout)?;
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "EXAMPLES", "SEE ALSO"] {
            ensure!(page.contains(&format!("\n{section}\n")), "{name} has no section {section}: {page}");
        }
        let options = command.get_arguments().filter(|option| !option.is_hide_set()).filter_map(clap::Arg::get_long);
        for option in options {
            ensure!(page.contains(&format!("--{option}")), "{name} does not say what --{option} does: {page}");
        }
    }
    ensure!(fs::read_dir(folder)?.count() == commands.len(), "there are pages of commands that are not");
    Ok(())
}

/// The search path with the programs of an unpacked package before all others: a script asks `fw-user`.
fn search_path(files: &Path) -> String {
    format!("{}:{}", files.join("usr/sbin").display(), env::var("PATH").unwrap_or_default())
}

fn bash_completes_commands_and_options() -> Result<()> {
    let files = unpack(deb::native()?)?;
    let script = files.path().join("usr/share/bash-completion/completions/fw-user");
    let complete = |words: &[&str]| -> Result<Vec<String>> {
        let mut bash = Command::new("bash");
        let (last, before) = (words[words.len() - 1], words[words.len() - 2]);
        bash.env("PATH", search_path(files.path()));
        bash.args(["--norc", "-euc", COMPLETE, "bash"]).arg(&script).args([last, before]).args(words);
        Ok(command::run(&mut bash)?.lines().map(ToOwned::to_owned).collect())
    };
    let completed = complete(&["fw-user", ""])?;
    for (_, command) in all_commands().iter().filter(|(name, _)| name.split('-').count() == 3) {
        let name = command.get_name();
        ensure!(completed.iter().any(|word| word == name), "{name} is not among {completed:?}");
    }
    assert_eq!(complete(&["fw-user", "atta"])?, ["attach"]);
    assert_eq!(complete(&["fw-user", "attach", "eth0", "--allow-"])?, ["--allow-proto"]);
    assert_eq!(complete(&["fw-user", "attach", "--mode", "gen"])?, ["generic"]);
    assert_eq!(complete(&["fw-user", "attach", "eth0", "--allow", "22,domai"])?, ["22,domain", "22,domain-s"]);
    Ok(())
}

/// As bash itself calls a completion, after the key.
const COMPLETE: &str = r#"
. "$1"; current=$2 previous=$3; shift 3
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
set +eu
function=$(complete -p fw-user | sed -n 's/.*-F \([^ ]*\) .*/\1/p')
"$function" fw-user "$current" "$previous"
printf '%s\n' "${COMPREPLY[@]}"
"#;

fn shells_understand_every_script() -> Result<()> {
    let files = unpack(deb::native()?)?;
    let share = files.path().join("usr/share");
    let scripts = tempfile::tempdir()?;
    command::run(Command::new("dpkg-deb").arg("--control").arg(deb::native()?).arg(scripts.path()))?;
    for (shell, options, script) in [
        ("zsh", &["--no-exec"][..], share.join("zsh/vendor-completions/_fw-user")),
        ("fish", &["--no-execute"], share.join("fish/vendor_completions.d/fw-user.fish")),
        ("bash", &["-n"], share.join("bash-completion/completions/fw-user")),
        ("shellcheck", &[], scripts.path().join("postinst")),
        ("shellcheck", &[], scripts.path().join("prerm")),
        ("shellcheck", &[], scripts.path().join("postrm")),
    ] {
        skip::need(shell, shell)?;
        command::run(Command::new(shell).args(options).arg(script))?;
    }
    Ok(())
}

/// As a person has it, who types half a word and presses a key.
fn each_shell_completes_what_is_typed_at_a_key() -> Result<()> {
    let files = unpack(deb::native()?)?;
    let share = files.path().join("usr/share");
    let place = Namespace::new()?;
    place.run("ip link add lab0 type bridge")?;
    let fish = "fish --no-config --init-command 'function fish_prompt; echo -n \"lab\\$ \"; end; set -g fish_greeting'";
    for (shell, start, load) in [
        ("bash", "bash --norc", format!(". {}/bash-completion/completions/fw-user", share.display())),
        (
            "zsh",
            "zsh -f",
            format!("fpath+=({}/zsh/vendor-completions); autoload -U compinit; compinit -u -D", share.display()),
        ),
        ("fish", fish, format!("source {}/fish/vendor_completions.d/fw-user.fish", share.display())),
    ] {
        skip::need(shell, shell)?;
        let tmux = Tmux::start(&place, &[])?;
        tmux.enter(start)?;
        tmux.enter(&match shell {
            "fish" => format!("set -gx PATH {}/usr/sbin $PATH", files.path().display()),
            _ => format!("PATH={}", search_path(files.path())),
        })?;
        tmux.enter(&load)?;
        for (typed, completed) in [
            ("fw-user atta", "lab$ fw-user attach"),
            ("fw-user attach la", "lab$ fw-user attach lab0"),
            ("fw-user allow --interface la", "lab$ fw-user allow --interface lab0"),
            ("fw-user deny 22,syslog-tl", "lab$ fw-user deny 22,syslog-tls"),
            ("fw-user attach eth0 --allow-", "lab$ fw-user attach eth0 --allow-proto"),
            ("fw-user attach --mode gen", "lab$ fw-user attach --mode generic"),
        ] {
            tmux.write(typed)?;
            tmux.press("Tab")?;
            tmux.await_screen(format!("{completed} in {shell}"), |screen| screen.contains(completed))?;
            // Not Ctrl-C: zsh loses a signal that comes before it is done with the completion. A key waits.
            tmux.press("C-u")?;
        }
    }
    Ok(())
}

fn installing_attaches_nothing_and_purging_leaves_nothing() -> Result<()> {
    let lab = Lab::without_containers()?;
    let system = System::new(&lab)?;
    let before = system.files()?;
    system.install(deb::native()?)?;
    lab.nothing_is_left_behind()?;
    ensure!(system.run("fw-user --version")?.starts_with("fw-user "));
    // Here, where the names of ports are known.
    let example = system.root().join("usr/share/doc/fw-user/examples/eth0.toml");
    lab.fw(&["check", example.to_str().context("a path in UTF-8")?])?;
    for file in [
        "usr/lib/systemd/system/fw-user@.service",
        "usr/lib/systemd/system/fw-user-settle.service",
        "usr/lib/systemd/system/fw-user-all.service",
        "usr/lib/systemd/system/fw-user-later@.service",
        "usr/lib/udev/rules.d/81-fw-user.rules",
        "usr/share/man/man5/fw-user.toml.5.gz",
        "usr/share/doc/fw-user/README.md",
        "usr/share/doc/fw-user/changelog.Debian.gz",
        "usr/share/doc/fw-user/copyright",
        "usr/share/doc/fw-user/docs/boot.md",
    ] {
        ensure!(system.root().join(file).is_file(), "{file} is not there");
    }
    let unit = fs::read_to_string(system.root().join("usr/lib/systemd/system/fw-user@.service"))?;
    ensure!(unit.contains("\nExecStart=/usr/sbin/fw-user apply --force %I\n"), "{unit}");
    system.dpkg("--purge fw-user")?;
    same_files(&system, &before)
}

fn same_files(system: &System, before: &std::collections::BTreeSet<std::path::PathBuf>) -> Result<()> {
    let after = system.files()?;
    let left: Vec<_> = after.difference(before).collect();
    let gone: Vec<_> = before.difference(&after).collect();
    ensure!(left.is_empty() && gone.is_empty(), "left: {left:?}, gone: {gone:?}");
    Ok(())
}

/// A system with an older version of the package, which has attached a filter.
fn with_older_version<'a>(lab: &'a Lab, scratch: &Path) -> Result<System<'a>> {
    let system = System::new(lab)?;
    system.install(&deb::renamed(deb::native()?, "0.0.1-1", scratch)?)?;
    system.run(&format!("fw-user attach eth0 --allow 22,{OPEN}"))?;
    Ok(system)
}

fn an_upgrade_keeps_the_filter() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let lab = Lab::without_containers()?;
    let traffic = Traffic::without_filter(&lab)?;
    let system = with_older_version(&lab, scratch.path())?;
    traffic.is_filtered()?;
    let before = lab.traces()?;
    let said = traffic.during(|| system.install(deb::native()?))?;
    ensure!(said.contains("over (0.0.1-1)"), "that was no upgrade: {said}");
    ensure!(said.contains("filters attached by hand keep the old version"), "{said}");
    ensure!(lab.traces()? == before, "the filter is another one");
    traffic.is_filtered()?;
    // A downgrade is one upgrade more.
    let older = deb::renamed(deb::native()?, "0.0.1-1", scratch.path())?;
    traffic.during(|| system.install(&older))?;
    ensure!(lab.traces()? == before, "the filter is another one");
    Ok(())
}

fn removing_takes_filters_off_and_keeps_the_files_of_the_administrator() -> Result<()> {
    let lab = Lab::without_containers()?;
    let traffic = Traffic::without_filter(&lab)?;
    let system = System::new(&lab)?;
    let before = system.files()?;
    system.install(deb::native()?)?;
    system.run(&format!("fw-user attach eth0 --allow 22,{OPEN}"))?;
    system.run("fw-user save")?;
    traffic.is_filtered()?;
    let made = service(&system, "/usr/lib/systemd/system")?;
    let said = system.dpkg("--remove fw-user")?;
    ensure!(said.contains("eth0  detached"), "{said}");
    traffic.is_unfiltered()?;
    lab.nothing_is_left_behind()?;
    for path in &made {
        ensure!(path.symlink_metadata().is_err(), "{} is left", path.display());
    }
    let file = system.root().join("etc/fw-user/eth0.toml");
    ensure!(fs::read_to_string(&file)?.contains("8080/udp"), "the administrator's file is gone");
    system.dpkg("--purge fw-user")?;
    ensure!(!file.exists(), "purging leaves the files");
    same_files(&system, &before)
}

/// The result of `fw-user service install eth0` under systemd, with units in a folder.
fn service(system: &System, units: &str) -> Result<Vec<std::path::PathBuf>> {
    let etc = system.root().join("etc");
    let rule = etc.join("udev/rules.d/81-fw-user-eth0.rules");
    fs::create_dir_all(rule.parent().context("a file in a folder")?)?;
    fs::write(&rule, "# udev's\n")?;
    let mut made = vec![rule];
    for (target, unit, file) in [
        ("sys-subsystem-net-devices-eth0.device", "fw-user@eth0.service", "fw-user@.service"),
        ("sysinit.target", "fw-user-settle.service", "fw-user-settle.service"),
        ("sysinit.target", "fw-user-all.service", "fw-user-all.service"),
    ] {
        let folder = etc.join(format!("systemd/system/{target}.wants"));
        fs::create_dir_all(&folder)?;
        symlink(Path::new(units).join(file), folder.join(unit))?;
        made.push(folder.join(unit));
    }
    Ok(made)
}

/// Built from source before the package came: its unit is the one that systemd takes, and its program goes on being there.
fn what_another_installation_made_stays() -> Result<()> {
    let lab = Lab::without_containers()?;
    let traffic = Traffic::without_filter(&lab)?;
    let system = System::new(&lab)?;
    let made = service(&system, "/etc/systemd/system")?;
    fs::write(system.root().join("etc/systemd/system/fw-user@.service"), "[Service]\nExecStart=/bin/true\n")?;
    let before = system.files()?;
    system.install(deb::native()?)?;
    system.run(&format!("fw-user attach eth0 --allow 22,{OPEN}"))?;
    system.dpkg("--remove fw-user")?;
    traffic.is_filtered()?;
    for path in &made {
        ensure!(path.symlink_metadata().is_ok(), "{} is gone", path.display());
    }
    system.dpkg("--purge fw-user")?;
    same_files(&system, &before)
}
