//! `attach --boot`, `enable`, `disable` and `service`, and what `status`, `allow`, `deny` and `doctor` say of a reboot.

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::{
        Lab,
        systemd::{self, Systemd},
    },
    tests,
};
use serde_json::{Value, json};

const FAILED: i32 = 1;
const USAGE: i32 = 2;

tests! {
    attach_with_boot_is_all_that_is_typed_and_typing_it_again_changes_nothing;
    attach_all_with_boot_keeps_every_outside_interface;
    numbers_need_no_file_of_names;
    what_is_in_force_everywhere_is_enabled_for_all;
    of_an_interface_that_is_gone_nothing_is_in_force;
    a_file_with_other_patterns_is_not_overwritten;
    a_pattern_that_is_typed_belongs_in_a_file;
    enable_and_disable_go_there_and_back;
    status_and_allow_tell_what_a_reboot_makes_of_a_port;
    doctor_says_bad_where_nothing_brings_the_filter_back;
    whatever_would_keep_the_service_from_working_is_refused_before_anything_changes;
    whatever_would_keep_the_service_for_all_from_working_is_refused;
    on_a_read_only_etc_nothing_is_half_done;
    the_service_is_for_the_interfaces_that_systemd_has;
    service_takes_several_names_and_shows_them;
    replacing_a_policy_prints_the_difference;
    uninstall_leaves_nothing_but_what_the_owner_wrote;
}

fn boot_of(machine: &Systemd, lab: &Lab) -> Result<Value> {
    let status: Value = serde_json::from_str(&machine.fw(lab, &["status", "--json"])?)?;
    Ok(status["interfaces"][0]["boot"].clone())
}

fn attach_with_boot_is_all_that_is_typed_and_typing_it_again_changes_nothing() -> Result<()> {
    let lab = Lab::without_containers()?;
    let machine = Systemd::new(&lab)?;
    let attach = ["attach", "eth0", "--allow", "22,80/tcp", "--boot"];
    let said = machine.fw(&lab, &attach)?;
    let line = "  boot    yes, by fw-user@eth0.service: /etc/fw-user/eth0.toml, same rules as now\n";
    ensure!(said.contains(line), "{said}");
    let files: Vec<String> = machine.files()?.iter().map(|path| path.display().to_string()).collect();
    assert_eq!(
        files,
        [
            "/etc/fw-user/eth0.toml",
            "/etc/systemd/system/fw-user-settle.service",
            "/etc/systemd/system/fw-user@.service",
            "/etc/systemd/system/sys-subsystem-net-devices-eth0.device.wants/fw-user@eth0.service",
            "/etc/systemd/system/sysinit.target.wants/fw-user-settle.service",
            "/etc/udev/rules.d/81-fw-user-eth0.rules",
        ]
    );
    let file = machine.shell("cat /etc/fw-user/eth0.toml")?;
    ensure!(file.contains("\"22\",\n    \"80/tcp\",\n"), "{file}");
    ensure!(machine.shell("cat /run/typed")?.contains("systemctl start --quiet fw-user@eth0.service\n"));
    let before = machine.shell("stat -c '%i %y' /etc/fw-user/* /etc/systemd/system/fw* /etc/udev/rules.d/*")?;
    ensure!(machine.fw(&lab, &attach)?.contains(line));
    let after = machine.shell("stat -c '%i %y' /etc/fw-user/* /etc/systemd/system/fw* /etc/udev/rules.d/*")?;
    assert_eq!(before, after, "nothing is written twice");
    // Comments of the owner's stay, and the file follows.
    machine.shell("sed -i '1i # mine' /etc/fw-user/eth0.toml")?;
    machine.fw(&lab, &["attach", "eth0", "--allow", "22,443", "--boot"])?;
    let file = machine.shell("cat /etc/fw-user/eth0.toml")?;
    ensure!(file.starts_with("# mine\n") && file.contains("\"443\"") && !file.contains("80/tcp"), "{file}");
    Ok(())
}

/// The one command of the README. What comes later is in the same file.
fn attach_all_with_boot_keeps_every_outside_interface() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    lab.pi.run("ip tuntap add dev wg0 mode tun")?;
    lab.pi.set_address("wg0", &["10.9.0.1/24"])?;
    let machine = Systemd::new(&lab)?;
    let attach = ["attach", "--all", "--allow", "22,80,443", "--except", "wg*", "--boot"];
    let said = machine.fw(&lab, &attach)?;
    // What is the same for both is said once.
    let line = "  boot    yes, by fw-user-all.service: /etc/fw-user/all.toml, same rules as now\n";
    ensure!(said.matches("  boot  ").count() == 1 && said.contains(line), "no {line:?} in {said}");
    ensure!(said.contains("  later   an outside interface that appears later gets the same filter"), "{said}");
    let files = machine.files()?;
    let names: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
    assert_eq!(
        names,
        [
            "/etc/fw-user/all.toml",
            "/etc/systemd/system/fw-user-all.service",
            "/etc/systemd/system/fw-user-later@.service",
            "/etc/systemd/system/sysinit.target.wants/fw-user-all.service",
            "/etc/udev/rules.d/81-fw-user.rules",
        ]
    );
    let file = machine.shell("cat /etc/fw-user/all.toml")?;
    ensure!(file.contains("interfaces = [\"*\"]\nexcept = [\"wg*\"]\n") && file.contains("\"443\""), "{file}");
    ensure!(machine.shell("cat /run/typed")?.contains("systemctl start --quiet fw-user-all.service\n"));
    let before = machine.shell("stat -c '%i %y' /etc/fw-user/* /etc/systemd/system/fw* /etc/udev/rules.d/*")?;
    machine.fw(&lab, &attach)?;
    let after = machine.shell("stat -c '%i %y' /etc/fw-user/* /etc/systemd/system/fw* /etc/udev/rules.d/*")?;
    assert_eq!(before, after, "nothing is written twice");
    machine.fw(&lab, &["status", "--check"])?;
    // Another list, another exception, and a file that names one of them.
    machine.shell("sed -i '1i # mine' /etc/fw-user/all.toml; echo 'allow = [\"23\"]' > /etc/fw-user/eth1.toml")?;
    machine.fw(&lab, &["attach", "--all", "--allow", "22", "--boot"])?;
    let file = machine.shell("cat /etc/fw-user/all.toml")?;
    ensure!(file.starts_with("# mine\n") && file.contains("except = []\n") && !file.contains("443"), "{file}");
    ensure!(machine.shell("cat /etc/fw-user/eth1.toml")?.contains("\"22\""));
    machine.refuses(&lab, &["disable", "eth0"], FAILED, &["attached at boot by fw-user-all.service", "except = "])?;
    let said = machine.fw(&lab, &["disable"])?;
    ensure!(said.starts_with("every outside interface  not attached at boot; the filter stays until"), "{said}");
    let left: Vec<String> = machine.files()?.iter().map(|path| path.display().to_string()).collect();
    assert_eq!(left, ["/etc/fw-user/all.toml", "/etc/fw-user/eth1.toml"]);
    // Files with a pattern are enabled for all; one that names an interface alone is not.
    let said = machine.fw(&lab, &["enable"])?;
    ensure!(said.contains("eth0  after a reboot: yes, by fw-user-all.service: /etc/fw-user/all.toml"), "{said}");
    ensure!(said.contains("eth1  after a reboot: yes, by fw-user-all.service: /etc/fw-user/eth1.toml"), "{said}");
    Ok(())
}

/// A small Debian has neither `/etc/services` nor `/etc/protocols` (netbase).
fn numbers_need_no_file_of_names() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    let machine = Systemd::new(&lab)?;
    machine.shell("rm /etc/services /etc/protocols")?;
    let said = machine.fw(&lab, &["attach", "--all", "--allow", "22", "--allow-proto", "99", "--boot"])?;
    ensure!(said.contains("all.toml, same rules as now\n"), "{said}");
    // Each interface is compared with the file anew.
    machine.fw(&lab, &["allow", "80"])?;
    machine.fw(&lab, &["apply", "--force", "--each"])?;
    machine.refuses(&lab, &["allow", "http"], USAGE, &["cannot read /etc/services", "netbase"])
}

fn what_is_in_force_everywhere_is_enabled_for_all() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    let machine = Systemd::new(&lab)?;
    let said = machine.fw(&lab, &["attach", "--all", "--allow", "22,80"])?;
    ensure!(said.contains("a reboot opens every port; fw-user enable --all attaches"), "{said}");
    machine.fw(&lab, &["deny", "80", "--interface", "eth1"])?;
    machine.refuses(&lab, &["enable", "--all"], USAGE, &["eth0 and eth1 have different rules", "fw-user save eth1"])?;
    ensure!(machine.files()?.is_empty(), "a refusal wrote something");
    machine.fw(&lab, &["deny", "80", "--interface", "eth0"])?;
    let said = machine.fw(&lab, &["enable", "--all"])?;
    ensure!(
        said.contains("eth1  after a reboot: yes, by fw-user-all.service: /etc/fw-user/all.toml, same rules as now\n"),
        "{said}"
    );
    let shown: Value = serde_json::from_str(&machine.fw(&lab, &["service", "show", "--json"])?)?;
    let one = &shown["services"][0];
    assert_eq!((&one["interface"], &one["unit"]), (&Value::Null, &json!("fw-user-all.service")), "{shown}");
    let said = machine.fw(&lab, &["service", "show"])?;
    ensure!(said.starts_with("every outside interface  enabled, inactive: fw-user-all.service\n"), "{said}");
    machine.fw(&lab, &["service", "remove", "--all"])?;
    machine.refuses(&lab, &["service", "remove", "--all"], FAILED, &["no service is installed for every outside"])?;
    machine.fw(&lab, &["service", "install", "--all"])?;
    // Interfaces that are open now stay open then.
    machine.fw(&lab, &["disable"])?;
    machine.shell("rm /etc/fw-user/all.toml")?;
    machine.fw(&lab, &["detach", "eth1"])?;
    machine.fw(&lab, &["enable", "--all"])?;
    ensure!(machine.shell("cat /etc/fw-user/all.toml")?.contains("except = [\"eth1\"]\n"));
    let said = machine.fw(&lab, &["uninstall", "--yes"])?;
    ensure!(said.contains("removed  /etc/udev/rules.d/81-fw-user.rules\n"), "{said}");
    assert_eq!(machine.files()?, Vec::<std::path::PathBuf>::new(), "{said}");
    Ok(())
}

/// Its pins stay, and what they say is in force nowhere.
fn of_an_interface_that_is_gone_nothing_is_in_force() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    let machine = Systemd::new(&lab)?;
    let boot = |state: &str| -> Result<()> {
        let status: Value = serde_json::from_str(&machine.fw(&lab, &["status", "--json"])?)?;
        let boot = &status["interfaces"][1]["boot"];
        ensure!((&boot["state"], &boot["fix"]) == (&json!(state), &Value::Null), "{status}");
        Ok(())
    };
    machine.fw(&lab, &["attach", "--all", "--allow", "22"])?;
    lab.pi.run("ip link delete eth1")?;
    let said = machine.fw(&lab, &["status"])?;
    let open = "  boot    not here now; once it is, every port is open (no boot service is installed)\n";
    ensure!(said.contains(open), "{said}");
    boot("absent")?;
    let said = machine.fw(&lab, &["enable", "--all"])?;
    assert_eq!(said, "eth0  after a reboot: yes, by fw-user-all.service: /etc/fw-user/all.toml, same rules as now\n");
    let then = "not here now; once it is, fw-user-all.service applies /etc/fw-user/all.toml";
    let said = machine.fw(&lab, &["enable", "--all"])?;
    ensure!(said.ends_with(&format!("eth1  after a reboot: {then} (as before)\n")), "{said}");
    let said = machine.fw(&lab, &["status"])?;
    ensure!(said.contains(&format!("  boot    {then}\n")), "{said}");
    boot("absent")?;
    let said = machine.fw(&lab, &["disable", "--all"])?;
    let stays = "the filter stays until `fw-user detach eth0` or a reboot";
    assert_eq!(said, format!("every outside interface  not attached at boot; {stays}\n"));
    Ok(())
}

/// Patterns that do not match every interface are somebody's choice.
fn a_file_with_other_patterns_is_not_overwritten() -> Result<()> {
    let lab = Lab::without_containers()?;
    let machine = Systemd::new(&lab)?;
    for (text, words) in [
        ("interfaces = [\"et*\"]\nallow = [\"22\"]\n", &["lan.toml", "do not match every interface", "[\"*\"]"][..]),
        ("interfaces = [\"*\"]\nallow = [\"22\"]\nexcept = [\"[\"]\n", &["lan.toml:3:11: "]),
    ] {
        machine
            .shell(&format!("mkdir -p /etc/fw-user; printf '{}' > /etc/fw-user/lan.toml", text.replace('\n', "\\n")))?;
        let before = machine.files()?;
        let output = machine.try_fw(&lab, &["attach", "--all", "--allow", "22", "--boot"])?;
        let said = String::from_utf8_lossy(&output.stderr);
        let missing: Vec<_> = words.iter().filter(|word| !said.contains(**word)).collect();
        ensure!(!output.status.success() && missing.is_empty(), "{said} without {missing:?}");
        assert_eq!(machine.files()?, before);
    }
    Ok(())
}

/// The refusal names the way, which works.
fn a_pattern_that_is_typed_belongs_in_a_file() -> Result<()> {
    let lab = Lab::without_containers()?;
    let machine = Systemd::new(&lab)?;
    let line = "interfaces = [\"et*\"]";
    let ways =
        ["fw-user enable --all\n", &format!("{line} in a file in /etc/fw-user, then fw-user apply and fw-user enable")];
    for args in [&["enable", "et*"][..], &["service", "install", "et*"]] {
        machine.refuses(&lab, args, USAGE, &ways)?;
    }
    machine.refuses(&lab, &["enable", "eth[0-9]"], USAGE, &["`eth[0-9]` is not a pattern"])?;
    assert_eq!(machine.files()?, Vec::<std::path::PathBuf>::new());
    machine.shell(&format!("mkdir /etc/fw-user; printf '{line}\\nallow = [\"22\"]\\n' > /etc/fw-user/lan.toml"))?;
    machine.fw(&lab, &["apply"])?;
    let said = machine.fw(&lab, &["enable"])?;
    ensure!(said.contains("eth0  after a reboot: yes, by fw-user-all.service: /etc/fw-user/lan.toml"), "{said}");
    Ok(())
}

fn enable_and_disable_go_there_and_back() -> Result<()> {
    let lab = Lab::without_containers()?;
    let machine = Systemd::new(&lab)?;
    machine.refuses(&lab, &["enable"], FAILED, &["attach"])?;
    let said = machine.fw(&lab, &["attach", "eth0", "--allow", "22"])?;
    ensure!(said.contains("  boot    a reboot opens every port; fw-user enable eth0 attaches the filter again\n"));
    let said = machine.fw(&lab, &["enable"])?;
    assert_eq!(said, "eth0  after a reboot: yes, by fw-user@eth0.service: /etc/fw-user/eth0.toml, same rules as now\n");
    ensure!(machine.fw(&lab, &["enable", "eth0"])?.ends_with("same rules as now (as before)\n"));
    let said = machine.fw(&lab, &["disable"])?;
    assert_eq!(said, "eth0  not attached at boot; the filter stays until `fw-user detach eth0` or a reboot\n");
    assert_eq!(machine.files()?, ["/etc/fw-user/eth0.toml"].map(std::path::PathBuf::from));
    ensure!(machine.fw(&lab, &["disable", "eth0"])?.contains("(as before)"));
    assert_eq!(machine.fw(&lab, &["disable"])?, "no boot service is installed; nothing was changed\n");
    // A file is enough.
    machine.fw(&lab, &["detach", "eth0"])?;
    let said = machine.fw(&lab, &["enable"])?;
    ensure!(said.contains("no filter now: fw-user apply eth0 attaches it"), "{said}");
    machine.refuses(&lab, &["enable", "eth7"], FAILED, &["no file in /etc/fw-user is for eth7"])
}

fn status_and_allow_tell_what_a_reboot_makes_of_a_port() -> Result<()> {
    let lab = Lab::without_containers()?;
    let machine = Systemd::new(&lab)?;
    machine.fw(&lab, &["attach", "eth0", "--allow", "22"])?;
    let lost = "no: after a reboot every port is open (no boot service is installed); fw-user enable eth0\n";
    ensure!(machine.fw(&lab, &["status"])?.contains(&format!("  boot    {lost}")));
    assert_eq!(boot_of(&machine, &lab)?["state"], json!("lost"));
    for verb in ["allow", "deny"] {
        let said = machine.fw(&lab, &[verb, "99"])?;
        ensure!(said.contains(&format!("eth0  after a reboot: {lost}")), "{said}");
    }
    machine.fw(&lab, &["enable"])?;
    assert_eq!(boot_of(&machine, &lab)?["state"], json!("kept"));
    let said = machine.fw(&lab, &["allow", "99"])?;
    ensure!(said.contains("eth0.toml: a reboot or `fw-user apply` undoes it; to keep it: --save\n"), "{said}");
    let boot = boot_of(&machine, &lab)?;
    assert_eq!((&boot["state"], &boot["closed"], &boot["opened"]), (&json!("different"), &json!(["99"]), &json!([])));
    let said = machine.fw(&lab, &["status"])?;
    ensure!(said.contains("but /etc/fw-user/eth0.toml differs: - 99; fw-user save eth0"), "{said}");
    let said = machine.fw(&lab, &["allow", "99", "--save"])?;
    ensure!(
        said.ends_with(
            "eth0  after a reboot: yes, by fw-user@eth0.service: /etc/fw-user/eth0.toml, same rules as now\n"
        )
    );
    // Mode and flows are compared as well: of a file that leaves the mode open, nothing is otherwise.
    for (line, words) in
        [("mode = \"generic\"", "native -> generic"), ("flows = 2048", "65536 -> 2048"), ("mode = \"auto\"", "")]
    {
        machine.shell(&format!("cp /etc/fw-user/eth0.toml /run/; sed -i '1i {line}' /etc/fw-user/eth0.toml"))?;
        let said = machine.fw(&lab, &["status"])?;
        let expected = if words.is_empty() {
            "eth0.toml, same rules as now".to_owned()
        } else {
            format!("eth0.toml differs: {} {words};", line.split(' ').next().unwrap_or_default())
        };
        ensure!(said.contains(&expected), "{line}: no {expected:?} in {said}");
        machine.shell("mv /run/eth0.toml /etc/fw-user/eth0.toml")?;
    }
    // Problems of the unit are reported, and so are unknown states.
    for (done, undone, state, word) in [
        ("touch /etc/fw-user/off", "rm /etc/fw-user/off", "lost", "/etc/fw-user/off keeps"),
        ("mv /etc/fw-user/eth0.toml /run", "mv /run/eth0.toml /etc/fw-user", "lost", "no file in /etc/fw-user"),
        ("sed -i s/allow/alow/ /etc/fw-user/eth0.toml", "sed -i s/alow/allow/ /etc/fw-user/eth0.toml", "lost", "alow"),
        (
            "ln -s /dev/null /etc/systemd/system/fw-user@eth0.service",
            "rm /etc/systemd/system/fw-user@eth0.service",
            "lost",
            "is masked",
        ),
        (
            "cd /etc/systemd/system; mkdir fw-user@.service.d; echo 'ExecStart=/bin/true' > fw-user@.service.d/a.conf",
            "rm -r /etc/systemd/system/fw-user@.service.d",
            "unknown",
            "a.conf changes when or what the unit starts",
        ),
        (
            "mv /etc/systemd/system/sysinit.target.wants /run",
            "mv /run/sysinit.target.wants /etc/systemd/system",
            "unknown",
            "the network may start before the filter",
        ),
        (
            "sed -i 's:/usr/local/sbin:/gone:' /etc/systemd/system/fw-user@.service",
            "sed -i 's:/gone:/usr/local/sbin:' /etc/systemd/system/fw-user@.service",
            "lost",
            "/gone/fw-user, which",
        ),
    ] {
        machine.shell(done)?;
        let boot = boot_of(&machine, &lab)?;
        let why = boot["why"].as_str().context("a reason").with_context(|| boot.to_string())?;
        ensure!(boot["state"] == json!(state) && why.contains(word), "{done}: {boot}");
        machine.shell(undone)?;
    }
    assert_eq!(boot_of(&machine, &lab)?["state"], json!("kept"));
    Ok(())
}

fn doctor_says_bad_where_nothing_brings_the_filter_back() -> Result<()> {
    let lab = Lab::without_containers()?;
    let machine = Systemd::new(&lab)?;
    machine.fw(&lab, &["attach", "eth0", "--allow", "22"])?;
    let boot = || -> Result<Value> {
        let output = machine.try_fw(&lab, &["doctor", "eth0", "--json"])?;
        let said: Value = serde_json::from_slice(&output.stdout)?;
        let findings = said["findings"].as_array().context("findings")?;
        let is_boot = |one: &&Value| one["interface"] == json!("eth0") && one["about"] == json!("boot");
        Ok(findings.iter().find(is_boot).context("a finding about the boot")?.clone())
    };
    let found = boot()?;
    assert_eq!((&found["verdict"], &found["fix"]), (&json!("bad"), &json!("fw-user enable eth0")));
    machine.fw(&lab, &["enable"])?;
    assert_eq!(boot()?["verdict"], json!("ok"));
    machine.fw(&lab, &["allow", "99"])?;
    assert_eq!(boot()?["verdict"], json!("note"));
    Ok(())
}

fn whatever_would_keep_the_service_from_working_is_refused_before_anything_changes() -> Result<()> {
    let lab = Lab::without_containers()?;
    let machine = Systemd::new(&lab)?;
    let attach = ["attach", "eth0", "--allow", "22", "--boot"];
    let unit = "/etc/systemd/system/fw-user@.service";
    let rows: [(&str, &str, i32, &[&str]); 7] = [
        ("rmdir /run/systemd/system", "mkdir /run/systemd/system", FAILED, &["not started by systemd", "apply"]),
        ("mount -o remount,ro /etc", "mount -o remount,rw /etc", FAILED, &["Read-only file system"]),
        ("chmod 777 /usr/local/sbin", "chmod 755 /usr/local/sbin", FAILED, &["users other than root", "mode 777"]),
        (
            &format!("echo '[Service]' > {unit}"),
            &format!("rm {unit}"),
            FAILED,
            &["was edited", "systemctl edit", "rm "],
        ),
        (&format!("ln -s /dev/null {unit}"), &format!("rm {unit}"), FAILED, &["symbolic link to /dev/null"]),
        (
            "mkdir -p /etc/fw-user; echo 'alow = 1' > /etc/fw-user/eth0.toml",
            "rm /etc/fw-user/eth0.toml",
            USAGE,
            &["/etc/fw-user/eth0.toml:1:1: "],
        ),
        (
            "printf 'interfaces = [\"eth0\", \"wlan0\"]\nallow = [\"23\"]\n' > /etc/fw-user/eth0.toml",
            "rm /etc/fw-user/eth0.toml",
            FAILED,
            &["it is also for wlan0"],
        ),
    ];
    for (done, undone, code, words) in rows {
        machine.shell(done)?;
        let before = machine.files()?;
        machine.refuses(&lab, &attach, code, words).with_context(|| done.to_owned())?;
        assert_eq!(machine.files()?, before, "{done}");
        ensure!(machine.fw(&lab, &["status", "--json"])?.contains("\"interfaces\":[]"), "{done}: it is attached");
        machine.shell(undone)?;
    }
    machine.refuses(&lab, &[&attach[..], &["--confirm", "60"]].concat(), USAGE, &["--confirm"])?;
    machine.refuses(
        &lab,
        &["--config", "/run", "attach", "eth0", "--allow", "22", "--boot"],
        FAILED,
        &["/etc/fw-user"],
    )?;
    // The program of another installation is replaced, with a word.
    machine.fw(&lab, &attach)?;
    machine.shell("mkdir /usr/local/sbin/b; touch /usr/local/sbin/b/fw-user; mount --bind /usr/local/sbin/fw-user /usr/local/sbin/b/fw-user")?;
    let mut other = machine.command("/usr/local/sbin/b/fw-user");
    let output = other.arg("--bpffs").arg(lab.fw.bpffs()).args(["enable", "eth0"]).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.contains("started /usr/local/sbin/fw-user until now"), "{said}");
    Ok(())
}

/// The same for every outside interface: nothing is written or attached.
fn whatever_would_keep_the_service_for_all_from_working_is_refused() -> Result<()> {
    let lab = Lab::without_containers()?;
    let machine = Systemd::new(&lab)?;
    let attach = ["attach", "--all", "--allow", "22", "--boot"];
    let edited = |path: &str| (format!("echo '# mine' > {path}"), format!("rm {path}"));
    let [unit, rules] = ["/etc/systemd/system/fw-user-all.service", "/etc/udev/rules.d/81-fw-user.rules"].map(edited);
    let rows: [(&str, &str, &[&str]); 6] = [
        ("rmdir /run/systemd/system", "mkdir /run/systemd/system", &["not started by systemd"]),
        ("mount -o remount,ro /etc", "mount -o remount,rw /etc", &["Read-only file system"]),
        ("chmod 777 /usr/local/sbin", "chmod 755 /usr/local/sbin", &["users other than root"]),
        (&unit.0, &unit.1, &["fw-user-all.service was edited", "rm "]),
        (&rules.0, &rules.1, &["81-fw-user.rules was edited", "rm "]),
        (
            "mkdir -p /etc/fw-user; echo 'alow = 1' > /etc/fw-user/eth0.toml",
            "rm -r /etc/fw-user",
            &["/etc/fw-user/eth0.toml:1:1: "],
        ),
    ];
    for (done, undone, words) in rows {
        machine.shell(done)?;
        let before = machine.files()?;
        let output = machine.try_fw(&lab, &attach)?;
        let said = String::from_utf8_lossy(&output.stderr);
        let missing: Vec<_> = words.iter().filter(|word| !said.contains(**word)).collect();
        ensure!(!output.status.success() && missing.is_empty(), "{done}: {said} without {missing:?}");
        assert_eq!(machine.files()?, before, "{done}");
        ensure!(machine.fw(&lab, &["status", "--json"])?.contains("\"interfaces\":[]"), "{done}: it is attached");
        machine.shell(undone)?;
    }
    // The program of another installation is replaced, with a word.
    machine.fw(&lab, &attach)?;
    machine.shell("mkdir /usr/local/sbin/b; touch /usr/local/sbin/b/fw-user; mount --bind /usr/local/sbin/fw-user /usr/local/sbin/b/fw-user")?;
    let mut other = machine.command("/usr/local/sbin/b/fw-user");
    let output = other.arg("--bpffs").arg(lab.fw.bpffs()).args(["enable", "--all"]).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success() && said.contains("fw-user-all.service started /usr/local/sbin/fw-user until now"),
        "{said}"
    );
    Ok(())
}

fn on_a_read_only_etc_nothing_is_half_done() -> Result<()> {
    let lab = Lab::without_containers()?;
    let machine = Systemd::new(&lab)?;
    machine.fw(&lab, &["attach", "eth0", "--allow", "22,80", "--boot"])?;
    machine.fw(&lab, &["deny", "80"])?;
    let before = (machine.files()?, lab.active("eth0")?);
    machine.shell("mount -o remount,ro /etc")?;
    for args in [
        &["allow", "99", "--save"][..],
        &["save"],
        &["enable"],
        &["attach", "eth0", "--allow", "22,99", "--boot"],
        &["attach", "--all", "--allow", "22", "--boot"],
        &["uninstall"],
        &["uninstall", "--yes"],
    ] {
        let words = ["writing /etc/", "Read-only file system; `mount -o remount,rw /etc` makes it writable"];
        machine.refuses(&lab, args, FAILED, &words)?;
        assert_eq!((machine.files()?, lab.active("eth0")?), before, "{args:?}");
    }
    machine.refuses(&lab, &["disable"], FAILED, &["Read-only file system"])?;
    assert_eq!((machine.files()?, lab.active("eth0")?), before, "disable");
    Ok(())
}

/// Another network namespace may have an interface of the same name.
fn the_service_is_for_the_interfaces_that_systemd_has() -> Result<()> {
    let lab = Lab::without_containers()?;
    let machine = Systemd::new(&lab)?;
    for args in [&["enable", "eth0"][..], &["service", "install", "--all"]] {
        machine.shell(
            "mkdir -p /etc/fw-user; printf 'interfaces = [\"*\"]\\nallow = [\"22\"]\\n' > /etc/fw-user/all.toml",
        )?;
        let before = machine.files()?;
        let mut elsewhere = machine.command("unshare");
        elsewhere.args(["--net", systemd::PROGRAM, "--bpffs"]).arg(lab.fw.bpffs()).args(args);
        let output = elsewhere.output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        let is_refused = output.status.code() == Some(FAILED) && said.contains("runs in another network namespace");
        ensure!(is_refused, "{args:?}: {output:?}");
        assert_eq!(machine.files()?, before);
    }
    Ok(())
}

fn service_takes_several_names_and_shows_them() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    let machine = Systemd::new(&lab)?;
    ensure!(machine.fw(&lab, &["service", "show"])?.contains("no boot service is installed; fw-user enable"));
    machine
        .shell("mkdir /etc/fw-user; for i in eth0 br-lan; do echo 'allow = [\"22\"]' > /etc/fw-user/$i.toml; done")?;
    machine.refuses(&lab, &["service", "install", "eth0", "eth7"], FAILED, &["for eth7"])?;
    ensure!(machine.files()?.len() == 2, "a refusal left something behind");
    machine.fw(&lab, &["service", "install", "eth0", "br-lan"])?;
    let said = machine.fw(&lab, &["service", "show"])?;
    assert_eq!(
        said,
        "br-lan  enabled, inactive: fw-user@br\\x2dlan.service\n  applies  /etc/fw-user/br-lan.toml\n  \
         unit     /etc/systemd/system/fw-user@.service, starts /usr/local/sbin/fw-user\n\
         eth0  enabled, inactive: fw-user@eth0.service\n  applies  /etc/fw-user/eth0.toml\n  \
         unit     /etc/systemd/system/fw-user@.service, starts /usr/local/sbin/fw-user\n"
    );
    let shown: Value = serde_json::from_str(&machine.fw(&lab, &["service", "show", "eth0", "--json"])?)?;
    let one = &shown["services"][0];
    assert_eq!((&one["unit"], &one["enabled"]), (&json!("fw-user@eth0.service"), &json!(true)));
    machine.refuses(&lab, &["service", "remove", "eth0", "eth7"], FAILED, &["no service is installed for eth7"])?;
    machine.fw(&lab, &["service", "remove", "eth0", "br-lan"])?;
    assert_eq!(machine.files()?.len(), 2, "only the configuration files stay");
    Ok(())
}

fn replacing_a_policy_prints_the_difference() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    let said = lab.fw(&["attach", "eth0", "--allow", "22,53@192.0.2.0/24"])?;
    ensure!(!said.contains("  + "), "{said}");
    let said = lab.fw(&["attach", "eth0", "--allow", "22,445/tcp", "--monitor"])?;
    let lines: Vec<&str> = said.lines().skip(1).take(3).collect();
    assert_eq!(
        lines,
        ["  + 445/tcp", "  - 53@192.0.2.0/24", "  enforce -> monitor: verdicts are counted, nothing is dropped"]
    );
    let said: Value = serde_json::from_str(&lab.fw(&["attach", "eth0", "--allow", "22", "--json"])?)?;
    assert_eq!(said["interfaces"][0]["difference"]["closed"], json!(["445/tcp"]));
    Ok(())
}

fn uninstall_leaves_nothing_but_what_the_owner_wrote() -> Result<()> {
    let lab = Lab::without_containers()?;
    let machine = Systemd::new(&lab)?;
    machine.fw(&lab, &["attach", "eth0", "--allow", "22", "--boot"])?;
    let drop_in = "/etc/systemd/system/fw-user@.service.d";
    machine
        .shell(&format!("mkdir {drop_in}; echo '[Unit]' > {drop_in}/mine.conf; echo mine > /etc/fw-user/notes.txt"))?;
    machine.shell("echo '# mine' >> /etc/systemd/system/fw-user-settle.service")?;
    let said = machine.fw(&lab, &["uninstall"])?;
    ensure!(said.contains("eth0  detached"), "{said}");
    ensure!(
        machine
            .shell("cat /run/typed")?
            .contains("systemctl stop fw-user@*.service fw-user-settle*.service fw-user-all*.service")
    );
    for kept in ["/etc/fw-user/eth0.toml", drop_in, "/etc/systemd/system/fw-user-settle.service"] {
        ensure!(said.contains(&format!("kept     {kept}\n")), "{said}");
    }
    ensure!(said.ends_with("the program is left; rm /usr/local/sbin/fw-user removes it\n"), "{said}");
    let files: Vec<String> = machine.files()?.iter().map(|path| path.display().to_string()).collect();
    assert_eq!(
        files,
        ["/etc/fw-user/eth0.toml", "/etc/fw-user/notes.txt", "/etc/systemd/system/fw-user-settle.service"],
        "{said}"
    );
    let said = machine.fw(&lab, &["uninstall", "--yes"])?;
    ensure!(said.contains(&format!("removed  {drop_in}\n")), "{said}");
    assert_eq!(machine.files()?, ["/etc/fw-user/notes.txt"].map(std::path::PathBuf::from), "{said}");
    // Once more: there is nothing, which is no failure.
    machine.fw(&lab, &["uninstall", "--yes"])?;
    lab.nothing_is_left_behind()
}
