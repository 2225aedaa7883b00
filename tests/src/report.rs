//! The report of a failed row.

use std::fmt::Write as _;

use crate::{
    model::Outcome,
    packet::{hex, words},
    row::Row,
};

/// Rows that did not come out as they should.
#[derive(Debug, Default)]
pub struct Failures {
    text: String,
    count: usize,
}

impl Failures {
    /// Compare what became of a row with what the row expects.
    pub fn compare(&mut self, row: &Row, who: &str, outcome: &Outcome) {
        let decision = &outcome.decision;
        if (decision.reason(), decision.port()) != (row.reason, row.port) {
            let said = |reason, port| format!("{reason} under {port:?}");
            let (got, wanted) = (said(decision.reason(), decision.port()), said(row.reason, row.port));
            self.add(row, &format!("{who} says {got}, the table {wanted}"));
        }
        if row.flows.is_some_and(|flows| flows != outcome.flows.len()) {
            self.add(row, &format!("{who} remembers {:?}, the table says {:?}", outcome.flows, row.flows));
        }
    }

    /// Note that a row failed.
    ///
    /// # Panics
    /// Never: a `String` takes all.
    pub fn add(&mut self, row: &Row, what: &str) {
        self.count += 1;
        write!(self.text, "\n{}\n  {what}\n", row.name).expect("a String takes all");
        for earlier in &row.earlier {
            let (direction, ago) = (earlier.direction, earlier.ago);
            writeln!(self.text, "  {direction:?} {ago:?} ago: {}", words(&earlier.frame)).expect("a String takes all");
        }
        writeln!(self.text, "  frame: {}\n  hex: {}", words(&row.frame), hex(&row.frame)).expect("a String takes all");
    }

    /// End the test here if any row failed.
    ///
    /// # Panics
    /// If any row failed.
    pub fn panic_if_any(&self) {
        assert!(self.count == 0, "{} rows failed\n{}", self.count, self.text);
    }
}
