//! The benchmarks work: their programs are verified and give the right verdicts. What they measure is for no test.

mod full {
    use std::process::Command;

    /// The part that loads all of them. It takes half a minute.
    #[test]
    fn the_cost_of_a_verdict_can_be_measured() {
        let mut bench = Command::new(env!("CARGO_BIN_EXE_xtask-lab"));
        let output = bench.args(["bench", "decisions"]).output().expect("the benchmark starts");
        let told = String::from_utf8_lossy(&output.stdout);
        let complaints = String::from_utf8_lossy(&output.stderr);
        // A goal may be missed on a busy machine.
        let has_failed = !output.status.success() && !complaints.contains("error: a goal is missed");
        assert!(!has_failed && told.contains("a look-up of an IPv6 flow"), "{told}{complaints}");
    }
}
