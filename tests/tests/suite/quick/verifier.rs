//! The number of instructions that the kernel's verifier checks, and the size of the object.

use std::thread;

use anyhow::{Context as _, Result, ensure};
use fw_tests::kernel::{Force, Kernel, Namespace, most_verified};
use fw_user::testing::OBJECT;

/// Bytes.
const LARGEST_OBJECT: usize = 250_000;

#[test]
fn the_verifier_looks_at_no_more_instructions_than_the_ceilings_allow() {
    // A separate thread, because it moves into other namespaces.
    thread::spawn(count).join().expect("the thread ends").expect("the kernel loads the programs");
}

fn count() -> Result<()> {
    let mut kernel = Kernel::load(Namespace::enter()?, Force::ForGood)?;
    for (name, most) in most_verified()? {
        let count = kernel.verified_instructions(name)?.context("kernels from 5.16 on say how many")?;
        ensure!(count <= most, "{name}: {count} verified instructions, the ceiling is {most}");
        println!("{name}: {count} verified instructions");
    }
    Ok(())
}

#[test]
fn the_object_is_small() {
    assert!(OBJECT.len() <= LARGEST_OBJECT, "{} bytes", OBJECT.len());
}
