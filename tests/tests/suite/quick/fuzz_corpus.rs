//! Earlier findings of the fuzzers: every input that reaches new code, and every one that broke something.

use std::panic::catch_unwind;

use fw_tests::fuzz::TARGETS;

#[test]
fn every_input_that_a_fuzzer_kept_is_taken_without_a_fault() {
    for target in TARGETS {
        let inputs = target.inputs().expect("the corpus is there");
        assert!(inputs.len() >= 10, "{} has {} inputs", target.name, inputs.len());
        let broken: Vec<_> = inputs
            .iter()
            .filter(|(_, input)| catch_unwind(|| (target.run)(input)).is_err())
            .map(|(name, _)| name)
            .collect();
        assert!(broken.is_empty(), "of {}: {broken:?}", target.name);
        println!("{}: {} inputs", target.name, inputs.len());
    }
}
