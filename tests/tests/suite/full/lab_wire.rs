//! The whole sample of the case table over a real wire, in each mode.

use anyhow::Result;
use fw_tests::{lab::Mode, tests};

use crate::quick::lab_wire;

tests! { in every mode:
    every_row_of_the_sample_is_judged_on_the_wire;
}

fn every_row_of_the_sample_is_judged_on_the_wire(mode: Mode) -> Result<()> {
    lab_wire::play(mode, lab_wire::sample()?)
}
