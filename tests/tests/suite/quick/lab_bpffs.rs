//! BPF file systems that do not hold what is pinned in them, or are not there.

use anyhow::{Context as _, Result, ensure};
use fw_tests::{
    lab::{
        Lab, Mode, Refusal, command, fw,
        traffic::{OPEN, Traffic},
    },
    tests,
};

const FAILED: i32 = 1;
tests! {
    the_first_two_commands_at_once_share_one_file_system;
    one_is_mounted_on_an_empty_folder_only_and_goes_with_a_failure;
    a_file_system_that_would_end_with_the_command_is_refused;
    one_that_is_read_only_is_named_with_its_fix;
    a_filter_behind_another_mount_is_named;
}

/// Two mounted over each other would hide the pins of the first command.
fn the_first_two_commands_at_once_share_one_file_system() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    let folder = tempfile::tempdir()?;
    // Either takes a second from the look for a file system to the mount.
    let script = r#"
        folder=$1
        attach() {
            strace -f -qq -o /dev/null -e trace=mount -e inject=mount:delay_enter=1000000 \
                "$0" --bpffs "$folder" attach "$1" --allow 22
        }
        attach eth0 & attach eth1; wait
        grep -c " $folder bpf " /proc/mounts
        "$0" --bpffs "$folder" status
        "$0" --bpffs "$folder" detach --all"#;
    let mut private = lab.pi.command("unshare");
    // With a first process of their own, theirs is not a mount namespace that ends with the command.
    private.args(["--mount", "--pid", "--fork", "--mount-proc", "--", "sh", "-c", script]);
    private.arg(fw::binary()).arg(folder.path());
    let said = command::run(&mut private)?;
    for words in ["\n1\n", "eth0  active", "eth1  active", "eth0  detached", "eth1  detached"] {
        ensure!(said.contains(words), "no {words:?} in {said}");
    }
    Ok(())
}

/// One over a folder with files would hide them: `--bpffs /proc` took the machine's processes out of sight.
fn one_is_mounted_on_an_empty_folder_only_and_goes_with_a_failure() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.run("ip link add br0 type bridge")?;
    let folder = tempfile::tempdir()?;
    let script = r#"
        set -e
        fw=$0; cd "$1"
        umount /sys/fs/bpf
        mkdir empty full
        touch full/file
        look() { findmnt --noheadings --output TARGET; ls -R; }
        before=$(look)
        for place in / /proc /sys/fs "$1/full" full empty/.. full/file/.. full/file new/..; do
            "$fw" --bpffs "$place" attach eth0 --allow 22 2>&1 && exit 1
            echo "$place: $?"
            [ "$(look)" = "$before" ]
        done
        # A bridge has no native mode.
        for place in /sys/fs/bpf empty new/er; do
            "$fw" --bpffs "$place" attach br0 --mode native --allow 22 2>&1 && exit 1
            [ "$(look)" = "$before" ]
        done
        "$fw" --bpffs ./empty/../empty attach eth0 --allow 22
        stat --file-system --format '%T of ./empty' empty
        stat --format 'mode %a' empty
        "$fw" --bpffs "$1/empty" detach eth0"#;
    let mut private = lab.pi.command("unshare");
    private.args(["--mount", "--pid", "--fork", "--mount-proc", "--", "sh", "-c", script]);
    let said = command::run(private.arg(fw::binary()).arg(folder.path()))?;
    for place in ["/", "/proc", "/sys/fs", "full", "empty/.."] {
        ensure!(said.contains(&format!("\n{place}: 1\n")), "{place}: {said}");
    }
    let real = folder.path().display();
    for words in [
        &format!("fw-user: {real}/full is not on a BPF file system, and none is mounted there"),
        &format!("fw-user: {real} is not on a BPF file system, and none is mounted there"),
        "\nnew/..: 2\n",
        "eth0  attached",
        // The kernel adds the sticky bit.
        "bpf_fs of ./empty\nmode 1700\n",
        "eth0  detached",
    ] {
        ensure!(said.contains(words), "no {words:?} in {said}");
    }
    lab.nothing_is_left_behind()
}

/// `ip netns exec` hides the BPF file system that is there, and what is mounted in its place is gone with the command.
fn a_file_system_that_would_end_with_the_command_is_refused() -> Result<()> {
    let lab = Lab::without_containers()?;
    let folder = tempfile::tempdir()?;
    lab.write_file("eth0", "allow = [\"22\"]\n")?;
    let private = |script: &str| {
        let mut unshare = lab.pi.command("unshare");
        unshare.args(["--mount", "--", "sh", "-c", script]).arg(fw::binary()).args([folder.path(), lab.fw.config()]);
        unshare
    };
    for args in ["attach eth0 --allow 22", "apply"] {
        let refusal = Refusal::of(&private(&format!("exec \"$0\" --bpffs \"$1\" --config \"$2\" {args}")).output()?)?;
        ensure!(refusal.code == FAILED, "{refusal:?}");
        for words in ["ip netns exec", "nsenter --net=", "mount -t bpf -o mode=700 bpf"] {
            ensure!(refusal.message.contains(words), "no {words:?} in {refusal:?}");
        }
    }
    // A file system that the user mounted lasts as long as the user wants.
    let script =
        "mount -t bpf bpf \"$1\" && \"$0\" --bpffs \"$1\" attach eth0 --allow 22 && \"$0\" --bpffs \"$1\" detach eth0";
    let said = command::run(&mut private(script))?;
    ensure!(said.contains("eth0  attached") && said.contains("eth0  detached"), "{said}");
    lab.nothing_is_left_behind()
}

fn one_that_is_read_only_is_named_with_its_fix() -> Result<()> {
    let lab = Lab::without_containers()?;
    let folder = tempfile::tempdir()?;
    let script = r#"
        mount -t bpf -o mode=700 bpf "$1"
        "$0" --bpffs "$1" attach eth0 --allow 22
        mount -o remount,ro "$1"
        "$0" --bpffs "$1" doctor eth0 && exit 1
        mount -o remount,rw "$1"
        "$0" --bpffs "$1" doctor eth0 && "$0" --bpffs "$1" detach eth0"#;
    let mut private = lab.pi.command("unshare");
    private.args(["--mount", "--", "sh", "-c", script]).arg(fw::binary()).arg(folder.path());
    let said = command::run(&mut private)?;
    let path = folder.path().display();
    for words in [
        format!("{path} is mounted read-only"),
        format!("fix: mount -o remount,rw {path}"),
        "eth0  detached".to_owned(),
    ] {
        ensure!(said.contains(&words), "no {words:?} in {said}");
    }
    Ok(())
}

fn a_filter_behind_another_mount_is_named() -> Result<()> {
    let lab = Lab::without_containers()?;
    let traffic = Traffic::without_filter(&lab)?;
    lab.attach(Mode::Native, OPEN)?;
    let binary = fw::binary().to_str().context("a path in UTF-8")?;
    let script = format!(
        "set -e; mount -t bpf none {bpffs}; {binary} status; ! {binary} attach eth0 --allow 22 2>&1; {binary} detach --all",
        bpffs = fw::BPFFS
    );
    let mut hidden = lab.pi.command("unshare");
    hidden.args(["--mount", "--", "sh", "-c", &script]);
    let said = command::run(&mut hidden)?;
    for words in ["eth0  filtered, but no pin below", "eth0 is taken", "fw_ingress", "eth0  detached"] {
        ensure!(said.contains(words), "no {words:?} in {said}");
    }
    traffic.is_unfiltered()?;
    let status = lab.fw(&["status"])?;
    ensure!(status.contains("eth0  not attached any more"), "{status}");
    lab.fw(&["detach", "--all"])?;
    lab.nothing_is_left_behind()
}
