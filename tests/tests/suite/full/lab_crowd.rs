//! Many commands at once, as at boot.

use anyhow::{Result, ensure};
use fw_tests::{
    lab::{Lab, background::Background, wait},
    tests,
};

tests! {
    twenty_interfaces_at_once_are_attached_one_by_one;
}

/// They take turns of a second, and the last one waits for all others.
fn twenty_interfaces_at_once_are_attached_one_by_one() -> Result<()> {
    let lab = Lab::without_containers()?;
    let names: Vec<String> = (1..=20).map(|number| format!("port{number}")).collect();
    for name in &names {
        lab.pi.run(&format!("ip link add {name} type bridge"))?;
    }
    let attach = |name: &String| lab.fw_background(&["attach", name, "--allow", "22"]);
    let started = names.iter().map(attach).collect::<Result<Vec<Background>>>()?;
    for (mut attach, name) in started.into_iter().zip(&names) {
        let ended = wait::within(wait::PATIENCE * 6, format!("{name} to be attached"), || attach.process.ended())?;
        ensure!(ended.success(), "{name}: {}", attach.said()?);
    }
    lab.fw(&["detach", "--all"])?;
    lab.nothing_is_left_behind()
}
