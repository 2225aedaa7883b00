//! The tests and the command under test, linked statically for a guest.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::Stdio,
};

use anyhow::{Context as _, Result, ensure};

use xtask::{architecture, command, linked, toolchain};

/// Has cargo spend little time on making them quick.
const UNOPTIMIZED: [(&str, &str); 3] = [
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
];

/// The folder where cargo puts them.
pub(super) struct Programs {
    pub(super) tests: PathBuf,
    pub(super) fw_user: PathBuf,
}

/// Build them.
pub(super) fn build(debian: &str) -> Result<Programs> {
    let architecture = architecture::of_debian(debian)?;
    eprintln!("{debian}  building the tests");
    let verb = ["build", "--quiet", "--release", "--package", "fw-user", "--package", "fw-guest"];
    let (mut cargo, _) = linked::cargo(&architecture, &toolchain::host()?, &verb, "std,panic_unwind,test")?;
    cargo.args(["--features", "fw-guest/guest", "--bin", "fw-user", "--test", "guest", "--message-format"]);
    cargo.arg("json-render-diagnostics").envs(UNOPTIMIZED).stdout(Stdio::piped());
    let mut running = cargo.spawn().context("cannot start cargo")?;
    let mut executables = Vec::new();
    for line in BufReader::new(running.stdout.take().context("cargo's output")?).lines() {
        let message: serde_json::Value = serde_json::from_str(&line?)?;
        if let (Some(name), Some(file)) = (message["target"]["name"].as_str(), message["executable"].as_str()) {
            executables.push((name.to_owned(), PathBuf::from(file)));
        }
    }
    ensure!(running.wait()?.success(), "`{}` failed", command::line(&cargo));
    let find = |wanted: &str| {
        let found = executables.iter().find(|(name, _)| name == wanted);
        found.map(|(_, file)| file.clone()).with_context(|| format!("cargo built no {wanted}"))
    };
    Ok(Programs { tests: find("guest")?, fw_user: find("fw-user")? })
}
