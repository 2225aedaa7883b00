//! A fault at the last step of each kind by which a command changes something: afterwards the interface is as before or as asked.

use anyhow::{Result, ensure};
use fw_tests::{
    lab::{Lab, faults::Fault, trivial},
    tests,
};

mod commands {
    mod refused {
        fw_tests::all_or_nothing!(every Refuse, Trivial, LastOfEachKind);
    }
    /// One command of each kind; `full::faults` kills every one.
    mod killed {
        fw_tests::all_or_nothing! { Kill, Trivial, LastOfEachKind:
            attach ATTACH, step STEP, deny DENY, join JOIN, monitor MONITOR, enforce ENFORCE, rollback ROLLBACK, detach DETACH, apply APPLY,
        }
    }
}

tests! {
    a_file_is_saved_as_a_whole_or_not_at_all;
}

/// A power cut is a kill that takes the machine along; that what was written reaches the disk before the name does is fsync's part.
fn a_file_is_saved_as_a_whole_or_not_at_all() -> Result<()> {
    const BEFORE: &str = "# mine\nallow = [\"22\"]\n";
    const AFTER: &str = "# mine\nallow = [\"22\", \"80\"]\n";
    let mut lab = Lab::without_containers()?;
    lab.fw.set_program(trivial::binary());
    lab.fw(&["attach", "eth0", "--allow", "22,80"])?;
    lab.write_file("eth0", BEFORE)?;
    let steps = lab.steps(&["save"])?;
    ensure!(lab.read_file("eth0")? == AFTER, "{}", lab.read_file("eth0")?);
    ensure!(steps.iter().any(|step| step.to_string().contains("rename")), "{steps:?}");
    for fault in [Fault::Kill, Fault::Refuse] {
        for step in &steps {
            lab.write_file("eth0", BEFORE)?;
            let output = lab.fw_with_fault(&["save"], step, fault)?;
            let (file, done) = (lab.read_file("eth0")?, output.status.success());
            ensure!(file == AFTER || (!done && file == BEFORE), "{fault:?} at {step}: {file}");
            lab.fw(&["check"])?;
            lab.fw(&["save"])?;
            ensure!(lab.read_file("eth0")? == AFTER, "{fault:?} at {step}");
        }
    }
    Ok(())
}
