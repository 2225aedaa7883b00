//! `attach --debug`: the programs say what they do with each packet.

use anyhow::{Result, ensure};
use fw_tests::{
    lab::{Lab, PI4, Transport, traffic::OPEN},
    tests,
};
use nix::sys::signal::Signal;

tests! {
    every_verdict_is_said_while_debugging;
}

fn every_verdict_is_said_while_debugging() -> Result<()> {
    let lab = Lab::without_containers()?;
    let mut debugging = lab.fw_background(&["attach", "eth0", "--allow", OPEN, "--debug"])?;
    debugging.await_said("eth0")?;
    let server = lab.pi.serve_tcp(9125)?;
    lab.is_closed(&server, Transport::Tcp, PI4, 9125)?;
    debugging.await_said("closed-port ")?;
    ensure!(debugging.end(Signal::SIGINT)?.success());
    Ok(())
}
