//! The kernel's treatment of the programs.

use std::thread;

use anyhow::{Result, ensure};
use fw_tests::{
    kernel::{Force, Kernel, Namespace, most_verified},
    tests,
};

tests! {
    the_verifier_accepts_every_program;
}

/// Having looked at no more than twice the instructions that the ceilings allow on the kernel of the lab: other kernels go some ways twice. Kernels
/// before 5.16 do not say how many.
fn the_verifier_accepts_every_program() -> Result<()> {
    // A separate thread, because it moves into other namespaces.
    thread::spawn(count).join().expect("the thread ends")
}

fn count() -> Result<()> {
    let mut kernel = Kernel::load(Namespace::enter()?, Force::ForGood)?;
    let mut above = Vec::new();
    for (name, most) in most_verified()? {
        let count = kernel.verified_instructions(name)?;
        if count.is_some_and(|count| count > 2 * most) {
            above.push(format!("{name} is above {}", 2 * most));
        }
        let count = count.map_or_else(|| "an unknown number of".to_owned(), |count| count.to_string());
        println!("noted: the verifier looked at {count} instructions of {name}");
    }
    ensure!(above.is_empty(), "more instructions than the ceilings allow: {}", above.join(", "));
    Ok(())
}
