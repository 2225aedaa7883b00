//! Files of other users among our pins, or in their place, have no effect.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use fw_tests::{
    lab::{
        Lab, Refusal, command, fw,
        pins::pin_other_map,
        traffic::{OPEN, Traffic},
    },
    tests,
};

const FAILED: i32 = 1;
const CHANGED: i32 = 5;
/// nobody, on Debian.
const USER: u32 = 65534;

tests! {
    no_user_takes_the_filter_off_where_everybody_may_write;
    folders_of_others_are_moved_aside_wherever_they_are;
    what_is_in_the_place_of_our_folder_is_moved_aside;
    no_user_keeps_commands_waiting;
    a_folder_that_others_can_rename_is_refused_and_locks_nobody_out;
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    Ok(fs::set_permissions(path, Permissions::from_mode(mode))?)
}

/// Make a folder that belongs to another user.
fn squat(path: &Path) -> Result<()> {
    fs::create_dir(path)?;
    Ok(chown(path, Some(USER), Some(USER))?)
}

/// Nobody but root can enter any of our folders, and nothing in them is anybody else's.
fn all_is_roots(lab: &Lab) -> Result<()> {
    let ours = lab.fw.bpffs().join("fw-user");
    let lock = lab.fw.lock_folder();
    for path in lab.fw.pins()?.into_iter().filter(|path| path.starts_with(&ours)).chain([lock]) {
        let facts = fs::symlink_metadata(&path)?;
        if path.strip_prefix(lab.fw.bpffs())?.to_string_lossy().contains("aside-") {
            continue;
        }
        ensure!(facts.uid() == 0, "{} belongs to {}", path.display(), facts.uid());
        ensure!(!facts.is_dir() || facts.mode() & 0o7777 == 0o700, "{} has mode {:o}", path.display(), facts.mode());
    }
    Ok(())
}

/// The names of what was moved aside in a folder.
fn aside(folder: &Path) -> Result<Vec<String>> {
    let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let names: Vec<String> = names.collect::<Result<_>>()?;
    Ok(names.into_iter().filter(|name| name.starts_with("aside-")).collect())
}

fn no_user_takes_the_filter_off_where_everybody_may_write() -> Result<()> {
    let lab = Lab::without_containers()?;
    let folder = tempfile::tempdir()?;
    set_mode(folder.path(), 0o755)?;
    let script = r#"
        set -e
        fw() { "$fw" --bpffs "$dir" "$@"; }
        user() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
        fw=$0 dir=$1
        mount -t bpf bpf "$dir"
        user mkdir -p "$dir/fw-user/v5/if-eth0/keep"
        fw status
        fw doctor eth0 && exit 1
        fw attach eth0 --allow 22
        ls "$dir/fw-user/v5/if-eth0/ingress-link"
        ! user rm -f "$dir/fw-user/v5/if-eth0/ingress-link"
        ! user mv "$dir/fw-user" "$dir/mine"
        ! user ls "$dir/fw-user"
        fw status
        fw detach --all
        ls -l "$dir"
        "#;
    let mut private = lab.pi.command("unshare");
    private.args(["--mount", "--", "sh", "-c", script]).arg(fw::binary()).arg(folder.path());
    let output = private.output()?;
    let said = String::from_utf8(output.stdout)?;
    let complaints = String::from_utf8(output.stderr)?;
    ensure!(output.status.success(), "{}: {said}\n{complaints}", output.status);
    let dir = folder.path().display();
    for words in [
        format!("bad   BPF file system   other users can make files in {dir} (mode 1777)"),
        format!("bad   pins              {dir}/fw-user belongs to user 65534"),
        "eth0  active".to_owned(),
        "eth0  detached".to_owned(),
        " aside-fw-user-".to_owned(),
    ] {
        ensure!(said.contains(&words), "no {words:?} in {said}\n{complaints}");
    }
    ensure!(complaints.contains(&format!("note: {dir}/fw-user belongs to user 65534")), "{complaints}");
    Ok(())
}

fn folders_of_others_are_moved_aside_wherever_they_are() -> Result<()> {
    let lab = Lab::without_containers()?;
    let traffic = Traffic::without_filter(&lab)?;
    let ours = lab.fw.bpffs().join("fw-user");
    // As a root with an umask of 0 would have left it for everybody to write to.
    for folder in ["", "v3", "v3/if-eth0", "v2"] {
        fs::create_dir(ours.join(folder))?;
        set_mode(&ours.join(folder), 0o777)?;
    }
    for folder in ["v1", "v3/shared", "v3/if-nobody", "v2/if-eth0"] {
        squat(&ours.join(folder))?;
    }
    symlink(lab.fw.config(), ours.join("v3/if-eth1"))?;
    let map = ours.join("v3/if-eth0/PORTS");
    pin_other_map(&map, "array")?;
    chown(&map, Some(USER), Some(USER))?;
    let status = lab.fw(&["status"])?;
    ensure!(!status.contains("nobody"), "{status}");
    let said = lab.fw_background(&["attach", "eth0", "--allow", OPEN])?.await_success()?;
    for path in ["v1", "v3/shared", "v3/if-nobody", "v2/if-eth0", "v3/if-eth0/PORTS"] {
        let words = format!("note: {} belongs to user {USER}", ours.join(path).display());
        ensure!(said.contains(&words), "no {words:?} in {said}");
    }
    ensure!(said.contains(&format!("note: {} is not a folder", ours.join("v3/if-eth1").display())), "{said}");
    all_is_roots(&lab)?;
    traffic.is_filtered()?;
    let status = lab.fw(&["status", "--json"])?;
    let status: serde_json::Value = serde_json::from_str(&status)?;
    ensure!(status["interfaces"].as_array().is_some_and(|list| list.len() == 1), "{status}");
    // Moved files are reported, and kept.
    let output = lab.fw.command(&lab.pi, ["detach", "--all"]).output()?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(output.status.code() == Some(CHANGED) && said.contains("/aside-PORTS-"), "{said}");
    traffic.is_unfiltered()?;
    for path in lab.fw.pins()? {
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("aside-")) {
            lab.pi.run(&format!("rm -r {}", path.display()))?;
        }
    }
    lab.fw(&["detach", "--all"])?;
    lab.nothing_is_left_behind()
}

/// Objects of a user in the place of our folders.
type Squat = fn(&Path, &Path) -> Result<()>;

fn what_is_in_the_place_of_our_folder_is_moved_aside() -> Result<()> {
    let lab = Lab::without_containers()?;
    let dir = lab.fw.bpffs();
    let ours = dir.join("fw-user");
    let theirs = tempfile::tempdir()?;
    let squats: [(&str, Squat); 4] = [
        ("a folder of another user", |path, _| {
            squat(path)?;
            squat(&path.join("v3"))?;
            squat(&path.join("v3/if-eth7"))
        }),
        ("a map of another user", |path, _| {
            pin_other_map(path, "array")?;
            Ok(chown(path, Some(USER), Some(USER))?)
        }),
        // Where hard links are not protected, any user can make one of a file of root's.
        ("a map of root's", |path, _| pin_other_map(path, "array")),
        ("a symbolic link", |path, theirs| Ok(symlink(theirs, path)?)),
    ];
    for (what, squat) in squats {
        for name in [ours.clone(), lab.fw.lock_folder()] {
            let work = || -> Result<()> {
                squat(&name, theirs.path())?;
                let said = lab.fw(&["status"])?;
                ensure!(!said.contains("eth7"), "{said}");
                let said = lab.fw_background(&["detach", "--all"])?.await_success()?;
                ensure!(said.contains("fw was not attached to any interface"), "{said}");
                ensure!(said.contains(&format!("note: {} ", name.display())), "{said}");
                let [aside] = aside(dir)?.try_into().map_err(|found| anyhow::anyhow!("aside are {found:?}"))?;
                let doctor = lab.fw(&["doctor", "lo"]).unwrap_or_else(|error| error.to_string());
                ensure!(doctor.contains(&format!("{aside} stood in the place of a folder")), "{doctor}");
                lab.pi.run(&format!("rm -r {}", dir.join(aside).display()))?;
                lab.nothing_is_left_behind()
            };
            work().with_context(|| format!("{what} at {}", name.display()))?;
        }
    }
    ensure!(fs::read_dir(theirs.path())?.next().is_none(), "the link was followed");
    Ok(())
}

fn no_user_keeps_commands_waiting() -> Result<()> {
    let lab = Lab::without_containers()?;
    let dir = lab.fw.bpffs();
    set_mode(dir, 0o1777)?;
    squat(&lab.fw.lock_folder())?;
    squat(&dir.join("fw-user"))?;
    // Everything that another user can open.
    let held = [dir, lab.fw.config(), &dir.join("fw-user"), &lab.fw.lock_folder()].map(File::open);
    for file in &held {
        file.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?.lock()?;
    }
    let said = lab.fw_background(&["attach", "eth0", "--allow", "22"])?.await_success()?;
    ensure!(!said.contains("waiting"), "{said}");
    all_is_roots(&lab)?;
    drop(held);
    Ok(())
}

fn a_folder_that_others_can_rename_is_refused_and_locks_nobody_out() -> Result<()> {
    let lab = Lab::without_containers()?;
    let above = tempfile::tempdir()?;
    let place = above.path().join("bpf");
    fs::create_dir(&place)?;
    let refuse = |words: &[&str]| -> Result<()> {
        let script = r#""$0" --bpffs "$1" attach eth0 --allow 22; code=$?; grep -q " $1 " /proc/mounts || exit $code"#;
        let mut private = lab.pi.command("unshare");
        // With a first process of their own, theirs is not a mount namespace that ends with the command.
        private.args(["--mount", "--pid", "--fork", "--mount-proc", "--", "sh", "-c", script]);
        let refusal = Refusal::of(&private.arg(fw::binary()).arg(&place).output()?)?;
        ensure!(refusal.code == FAILED && words.iter().all(|words| refusal.message.contains(words)), "{refusal:?}");
        Ok(())
    };
    let above_words = above.path().to_str().context("a path in UTF-8")?;
    set_mode(above.path(), 0o777)?;
    refuse(&[above_words, "mode 777", &format!("chmod go-w {above_words}")])?;
    set_mode(above.path(), 0o755)?;
    chown(above.path(), Some(USER), None)?;
    refuse(&[above_words, "belongs to user 65534", &format!("chown root {above_words}")])?;
    // A user who is locked out still gets back in.
    let script = r#"
        set -e
        chown root "$1"; chmod 755 "$1"; mount -t bpf bpf "$1/bpf"
        "$0" --bpffs "$1/bpf" attach eth0 --allow 22
        chmod 777 "$1"
        "$0" --bpffs "$1/bpf" detach --all
        ip link show eth0"#;
    let mut private = lab.pi.command("unshare");
    private.args(["--mount", "--", "sh", "-c", script]).arg(fw::binary()).arg(above.path());
    let said = command::run(&mut private)?;
    ensure!(said.contains("eth0  detached") && !said.contains("xdp"), "{said}");
    // On the BPF file system itself it is mended: whoever mounted it so is no reason to leave the machine open.
    let said = lab.fw_background(&["detach", "--all"])?.await_success()?;
    ensure!(!said.contains("note"), "{said}");
    set_mode(lab.fw.bpffs(), 0o777)?;
    let said = lab.fw_background(&["detach", "--all"])?.await_success()?;
    ensure!(said.contains("its mode is now 1777, no longer 777"), "{said}");
    Ok(())
}
