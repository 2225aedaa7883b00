//! In front of each rustc: crate names that are the same on every machine.
//!
//! Cargo gives every crate a `-C metadata=...` that depends, for a crate outside the registry, on where its folder is. It goes into
//! symbol names and decides about their order, so another folder would make another object.

use std::{
    env,
    ffi::{OsStr, OsString},
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result};

const MARK: &str = "FW_XTASK_BEFORE_RUSTC";

/// Have cargo call this program with every rustc command line.
pub fn put_before_rustc(cargo: &mut Command) -> Result<()> {
    let this = env::current_exe().context("cannot find this program's own file")?;
    cargo.env("RUSTC_WRAPPER", this).env(MARK, "1").env_remove("RUSTC_WORKSPACE_WRAPPER");
    Ok(())
}

/// If cargo called us in front of rustc, become rustc. Returns when there is nothing to take over, or it could not be started.
#[must_use]
pub fn take_over() -> Option<ExitCode> {
    env::var_os(MARK)?;
    let mut args = env::args_os().skip(1);
    let rustc = args.next()?;
    let package = |name| env::var(name).unwrap_or_default();
    let identity = format!("{}-{}", package("CARGO_PKG_NAME"), package("CARGO_PKG_VERSION"));
    let error = Command::new(&rustc).args(with_identity(args, &identity)).exec();
    eprintln!("error: cannot start {}: {error}", rustc.display());
    Some(ExitCode::FAILURE)
}

fn with_identity(args: impl Iterator<Item = OsString>, identity: &str) -> Vec<OsString> {
    let rename = |arg: OsString| {
        let is_metadata = arg.to_str().is_some_and(|arg| arg.starts_with("metadata="));
        if is_metadata { OsString::from(format!("metadata={identity}")) } else { arg }
    };
    let args: Vec<_> = args.collect();
    // Only what is built for the BPF target; host crates (macros, build scripts) may come in two versions of one package.
    if args.iter().any(|arg| arg == OsStr::new("--target")) { args.into_iter().map(rename).collect() } else { args }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(args: &[&str]) -> Vec<OsString> {
        with_identity(args.iter().map(OsString::from), "core-0.0.0")
    }

    #[test]
    fn a_crate_for_the_target_gets_a_name_without_its_folder() {
        assert_eq!(
            renamed(&["--target", "bpf", "-C", "metadata=1f", "-C", "extra-filename=-1f"]),
            ["--target", "bpf", "-C", "metadata=core-0.0.0", "-C", "extra-filename=-1f"]
        );
    }

    #[test]
    fn a_crate_for_the_host_keeps_its_name() {
        assert_eq!(renamed(&["-C", "metadata=1f"]), ["-C", "metadata=1f"]);
    }
}
