//! The Ansible role, played for real: on a machine that is the lab's Pi.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::{Lab, command, fw::binary, skip},
    tests,
};
use serde_json::{Value, json};
use tempfile::TempDir;

tests! {
    the_example_is_understood;
    the_role_makes_the_machine_as_it_says_and_is_content_then;
    a_mistake_never_gets_to_its_place;
    a_check_changes_nothing;
}

fn ansible() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib/ansible")
}

fn playbook(command: &mut Command, home: &Path) -> Result<Output> {
    command.arg(ansible().join("site.yml")).current_dir(ansible());
    command.env("HOME", home).env("ANSIBLE_LOCAL_TEMP", home).env("ANSIBLE_NOCOLOR", "1").env("LC_ALL", "C.UTF-8");
    command.output().context("cannot run ansible-playbook")
}

/// A machine, and what is to be there.
struct Play<'a> {
    lab: &'a Lab,
    home: TempDir,
}

impl<'a> Play<'a> {
    fn new(lab: &'a Lab) -> Result<Self> {
        skip::need("ansible-playbook", "ansible-core")?;
        Ok(Self { lab, home: TempDir::with_prefix("fw-lab-ansible-")? })
    }

    fn program(&self) -> PathBuf {
        self.home.path().join("fw-user")
    }

    fn run(&self, interfaces: &Value, options: &[&str]) -> Result<(bool, String)> {
        let variables = json!({
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_remote_tmp": self.home.path(),
            "ansible_become": false,
            "fw_copy_from": binary(),
            "fw_program": self.program(),
            "fw_folder": self.lab.fw.config(),
            "fw_bpffs": self.lab.fw.bpffs(),
            // This machine need not have systemd; `service install` is tested where there is one.
            "fw_at_boot": false,
            "fw_interfaces": interfaces,
        });
        let inventory = self.home.path().join("inventory");
        fs::write(&inventory, "[pis]\npi ansible_connection=local\n")?;
        let mut play = self.lab.pi.command("ansible-playbook");
        play.arg("--inventory").arg(inventory).arg("--extra-vars").arg(variables.to_string()).args(options);
        let output = playbook(&mut play, self.home.path())?;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        Ok((output.status.success(), said))
    }

    /// A play that succeeds, and how many tasks changed something.
    fn changes(&self, interfaces: &Value, options: &[&str]) -> Result<usize> {
        let (succeeded, said) = self.run(interfaces, options)?;
        ensure!(succeeded, "{said}");
        let count = said.split("changed=").nth(1).and_then(|rest| rest.split_whitespace().next());
        Ok(count.with_context(|| format!("no recap: {said}"))?.parse()?)
    }

    fn allowed(&self) -> Result<Value> {
        let status: Value = serde_json::from_str(&self.lab.fw(&["status", "--json"])?)?;
        Ok(status["interfaces"][0]["allow"].clone())
    }
}

fn the_example_is_understood() -> Result<()> {
    skip::need("ansible-playbook", "ansible-core")?;
    let home = TempDir::with_prefix("fw-lab-ansible-")?;
    let mut check = Command::new("ansible-playbook");
    check.args(["--syntax-check", "--inventory"]).arg(ansible().join("inventory.yml"));
    let output = playbook(&mut check, home.path())?;
    ensure!(output.status.success(), "{output:?}");
    // Its files, as the role would write them, are files.
    let inventory = command::run(
        Command::new("ansible-inventory")
            .args(["--list", "--inventory"])
            .arg(ansible().join("inventory.yml"))
            .env("HOME", home.path()),
    )?;
    let inventory: Value = serde_json::from_str(&inventory)?;
    let hosts = inventory["_meta"]["hostvars"].as_object().context("hosts")?;
    ensure!(hosts.len() == 2, "{inventory}");
    let lab = Lab::without_containers()?;
    let play = Play::new(&lab)?;
    for (host, variables) in hosts {
        play.changes(&variables["fw_interfaces"], &[]).with_context(|| host.clone())?;
    }
    Ok(())
}

fn the_role_makes_the_machine_as_it_says_and_is_content_then() -> Result<()> {
    let lab = Lab::without_containers()?;
    let play = Play::new(&lab)?;
    let first = json!({"eth0": {"allow": ["22/tcp", "80/tcp@192.0.2.0/24"], "allow-proto": ["gre"], "monitor": false, "forward": "drop"}});
    // The program, the file, and what is in force.
    assert_eq!(play.changes(&first, &[])?, 3);
    assert_eq!(play.allowed()?, json!(["22/tcp", "80/tcp@192.0.2.0/24"]));
    let said = command::run(Command::new(play.program()).arg("--version"))?;
    ensure!(said.starts_with("fw-user "), "{said}");
    ensure!(lab.read_file("eth0")?.contains("interfaces = [\"eth0\"]"), "{}", lab.read_file("eth0")?);
    assert_eq!(play.changes(&first, &[])?, 0, "the second time there is nothing to do");
    // A change by hand is reverted.
    lab.fw(&["allow", "8080/tcp"])?;
    assert_eq!(play.changes(&first, &[])?, 1);
    let second = json!({"eth0": {"allow": ["22/tcp", "443/tcp"]}});
    assert_eq!(play.changes(&second, &[])?, 2);
    assert_eq!(play.allowed()?, json!(["22/tcp", "443/tcp"]));
    Ok(())
}

fn a_mistake_never_gets_to_its_place() -> Result<()> {
    let lab = Lab::without_containers()?;
    let play = Play::new(&lab)?;
    play.changes(&json!({"eth0": {"allow": ["22/tcp"]}}), &[])?;
    let before = (lab.read_file("eth0")?, lab.active("eth0")?);
    for (interface, word) in
        [(json!({"allow": ["70000"]}), "70000"), (json!({"allow": ["22"], "monitr": true}), "monitr")]
    {
        let (succeeded, said) = play.run(&json!({ "eth0": interface }), &[])?;
        ensure!(!succeeded && said.contains(word), "{said}");
        assert_eq!((lab.read_file("eth0")?, lab.active("eth0")?), before);
    }
    Ok(())
}

fn a_check_changes_nothing() -> Result<()> {
    let lab = Lab::without_containers()?;
    let play = Play::new(&lab)?;
    play.changes(&json!({"eth0": {"allow": ["22/tcp"]}}), &[])?;
    lab.fw(&["allow", "8080/tcp"])?;
    let before = (lab.read_file("eth0")?, lab.active("eth0")?);
    // The differences are printed.
    assert_eq!(play.changes(&json!({"eth0": {"allow": ["22/tcp"]}}), &["--check"])?, 1);
    assert_eq!((lab.read_file("eth0")?, lab.active("eth0")?), before);
    Ok(())
}
