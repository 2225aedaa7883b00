//! What the kernel makes of the programs.

use anyhow::{Context, Result};
use aya::programs::loaded_programs;
use fw_tests::{
    lab::{Lab, Mode},
    tests,
};
use fw_user::bpf::object::{EGRESS, INGRESS};

tests! {
    the_verifier_accepts_both_programs;
}

/// And says how long it looked, which kernels before 5.16 do not: it gives up at a million instructions.
fn the_verifier_accepts_both_programs() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Generic, "22")?;
    for name in [INGRESS, EGRESS] {
        let mut programs = loaded_programs().filter_map(Result::ok);
        let program =
            programs.find(|program| program.name_as_str() == Some(name)).with_context(|| format!("no {name}"))?;
        let count = program.verified_instruction_count();
        let count = count.map_or_else(|| "an unknown number of".to_owned(), |count| count.to_string());
        println!("noted: the verifier looked at {count} instructions of {name}");
    }
    Ok(())
}
