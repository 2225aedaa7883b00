//! What the kernel makes of the programs.

use anyhow::{Context, Result, ensure};
use aya::programs::loaded_programs;
use fw_tests::{
    kernel::MOST_VERIFIED,
    lab::{Lab, Mode},
    tests,
};

tests! {
    the_verifier_accepts_both_programs;
}

/// Having looked at no more instructions than the ceilings allow. Kernels before 5.16 do not say how many.
fn the_verifier_accepts_both_programs() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Generic, "22")?;
    for (name, most) in MOST_VERIFIED {
        let mut programs = loaded_programs().filter_map(Result::ok);
        let program =
            programs.find(|program| program.name_as_str() == Some(name)).with_context(|| format!("no {name}"))?;
        let count = program.verified_instruction_count();
        ensure!(
            count.is_none_or(|count| count <= most),
            "{name}: {count:?} verified instructions, the ceiling is {most}"
        );
        let count = count.map_or_else(|| "an unknown number of".to_owned(), |count| count.to_string());
        println!("noted: the verifier looked at {count} instructions of {name}");
    }
    Ok(())
}
