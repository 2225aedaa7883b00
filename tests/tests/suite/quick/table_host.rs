//! The case table through `decide` and `track` on the host.

use std::collections::BTreeSet;

use fw_common::Reason;
use fw_tests::{cases, model::Model, report::Failures};

#[test]
fn every_row_is_judged_as_the_table_says() {
    let mut failures = Failures::default();
    for row in cases::all() {
        let outcome = Model::play(&row).expect("policies of rows are small");
        failures.compare(&row, "the model", &outcome);
    }
    failures.panic_if_any();
}

#[test]
fn every_row_has_a_name_of_its_own() {
    let mut names = BTreeSet::new();
    let twice: Vec<_> =
        cases::all().into_iter().map(|row| row.name).filter(|name| !names.insert(name.clone())).collect();
    assert_eq!(twice, [""; 0], "names of two rows");
}

#[test]
fn every_reason_is_expected_by_some_row() {
    let expected: BTreeSet<Reason> = cases::all().iter().map(|row| row.reason).collect();
    assert_eq!(expected, cases::reasons().collect());
}
