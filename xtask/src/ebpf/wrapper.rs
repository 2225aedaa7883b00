//! A wrapper of rustc, for flags that cargo does not know.
//!
//! Cargo gives every crate a `-C metadata=...` that depends, for a crate outside the registry, on the path of its folder. It is part of symbol
//! names and decides their order, so another folder would make another object. For BPF, the wrapper gives crates names that are the same on every
//! machine. Cargo also rebuilds everything if a flag differs. Flags that replace this machine's folders in the output do not change what is built.
//! The wrapper hides them from cargo, so that a build in one folder serves another one.

use std::{
    env,
    ffi::{OsStr, OsString},
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result};

const MARK: &str = "FW_XTASK_BEFORE_RUSTC";
/// The value of [`MARK`] that has crates named; any other is flags.
const IDENTITY: &str = "identity";
/// Between two flags.
const SEPARATOR: char = '\u{1f}';

/// Make cargo call this program with every rustc command line, and name crates for a target by package and version.
pub fn name_crates(cargo: &mut Command) -> Result<()> {
    put_before_rustc(cargo, IDENTITY)
}

/// Make cargo call this program with every rustc command line, and add flags to those for a target.
pub fn add_flags(cargo: &mut Command, flags: impl Iterator<Item = String>) -> Result<()> {
    put_before_rustc(cargo, &flags.collect::<Vec<_>>().join(&SEPARATOR.to_string()))
}

fn put_before_rustc(cargo: &mut Command, mark: &str) -> Result<()> {
    let this = env::current_exe().context("cannot find this program's own file")?;
    cargo.env("RUSTC_WRAPPER", this).env(MARK, mark).env_remove("RUSTC_WORKSPACE_WRAPPER");
    Ok(())
}

/// If cargo called us in front of rustc, become rustc. Returns when there is nothing to take over, or it could not be started.
#[must_use]
pub fn take_over() -> Option<ExitCode> {
    let mark = env::var(MARK).ok()?;
    let mut args = env::args_os().skip(1);
    let rustc = args.next()?;
    let package = |name| env::var(name).unwrap_or_default();
    let identity = format!("{}-{}", package("CARGO_PKG_NAME"), package("CARGO_PKG_VERSION"));
    let args = changed(args.collect(), &mark, &identity);
    let error = Command::new(&rustc).args(args).exec();
    eprintln!("error: cannot start {}: {error}", rustc.display());
    Some(ExitCode::FAILURE)
}

/// Only what is built for a target is changed; host crates (macros, build scripts) may come in two versions of one package.
fn changed(mut args: Vec<OsString>, mark: &str, identity: &str) -> Vec<OsString> {
    if !args.iter().any(|arg| arg == OsStr::new("--target")) {
        return args;
    }
    if mark != IDENTITY {
        args.extend(mark.split(SEPARATOR).map(OsString::from));
        return args;
    }
    let is_metadata = |arg: &&mut OsString| arg.to_str().is_some_and(|arg| arg.starts_with("metadata="));
    for metadata in args.iter_mut().filter(is_metadata) {
        *metadata = format!("metadata={identity}").into();
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(args: &[&str]) -> Vec<OsString> {
        changed(args.iter().map(OsString::from).collect(), IDENTITY, "core-0.0.0")
    }

    #[test]
    fn a_crate_for_the_target_gets_a_name_without_its_folder() {
        assert_eq!(
            renamed(&["--target", "bpf", "-C", "metadata=1f", "-C", "extra-filename=-1f"]),
            ["--target", "bpf", "-C", "metadata=core-0.0.0", "-C", "extra-filename=-1f"]
        );
    }

    #[test]
    fn a_crate_for_the_target_gets_the_flags() {
        let args = ["--target", "arm", "-C", "metadata=1f"].map(OsString::from).to_vec();
        let flags = "--remap-path-prefix=/a=b\u{1f}--remap-path-prefix=/c=d";
        assert_eq!(
            changed(args, flags, "core-0.0.0"),
            ["--target", "arm", "-C", "metadata=1f", "--remap-path-prefix=/a=b", "--remap-path-prefix=/c=d"]
        );
    }

    #[test]
    fn a_crate_for_the_host_stays_as_it_is() {
        assert_eq!(renamed(&["-C", "metadata=1f"]), ["-C", "metadata=1f"]);
        assert_eq!(changed(vec!["-O".into()], "--cfg=x", ""), ["-O"]);
    }
}
