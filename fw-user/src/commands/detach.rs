//! `fw-user detach`.

use serde::Serialize;

use super::{attached, json, print};
use crate::{
    Result,
    bpf::{attachment, pins::Pins},
    cli::DetachArgs,
    interface, privilege,
};

#[derive(Serialize)]
struct Outcome<'a> {
    detached: &'a [String],
}

pub(super) async fn run(pins: &Pins, args: &DetachArgs) -> Result<()> {
    privilege::check()?;
    let names = if args.all { pins.interfaces()? } else { attached(pins, &args.interfaces)? };
    // Where there is no such folder, nothing of ours is in it.
    let lock = if names.is_empty() && !pins.bpffs().exists() { None } else { Some(pins.lock()?) };
    for name in &names {
        attachment::detach(pins, name, interface::present(name).await?.as_ref()).await?;
    }
    if args.all && lock.is_some() {
        pins.remove_unused()?;
    }
    drop(lock);
    if args.json {
        return print(&json(&Outcome { detached: &names })?);
    }
    if names.is_empty() {
        return print("fw was not attached to any interface\n");
    }
    for name in &names {
        print(&format!("{name}  detached; every port is as open as the rest of this machine leaves it\n"))?;
    }
    Ok(())
}
