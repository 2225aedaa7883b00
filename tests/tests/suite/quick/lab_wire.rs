//! The case table over a real wire: frames are put on a veth, judged by the attached filter, and told by its counters.
//!
//! A sample, of which each mode plays a third; `full::lab_wire` plays all of it in each. What happened earlier in a row happened just now here: no test turns the clock back.

use std::ops::Range;

use anyhow::{Context, Result, ensure};
use fw_tests::{
    cases,
    lab::{
        Mode,
        wire_world::{WireWorld, fits_a_wire},
    },
    report::Failures,
    row::Row,
    tests,
    world::QUARANTINED,
};

tests! { in every mode:
    rows_of_the_table_are_judged_on_the_wire_as_well;
}

/// Below this many rows the sample says little.
const LEAST_ROWS: usize = 150;
/// One of so many rows is played. All of them are when the programs are tested without a wire; it is odd, since IPv4 and IPv6 take turns.
const ONE_OF: usize = 5;
/// Of those that need an attachment of their own fewer are.
const ONE_OF_THOSE_WITH_A_PAST: usize = 15;
/// The modes share the sample out in the quick tier.
const MODES: [Mode; 3] = [Mode::Native, Mode::Tc, Mode::Generic];

fn rows_of_the_table_are_judged_on_the_wire_as_well(mode: Mode) -> Result<()> {
    let mut turn = MODES.into_iter().cycle();
    play(mode, sample()?.into_iter().filter(|_| turn.next() == Some(mode)).collect())
}

/// The rows to play.
pub(crate) fn sample() -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = cases::all().into_iter().filter(fits_a_wire).collect();
    let mut count = 0;
    rows.retain(|row| {
        count += 1;
        count % (if row.earlier.is_empty() { ONE_OF } else { ONE_OF_THOSE_WITH_A_PAST }) == 0
    });
    ensure!(rows.len() >= LEAST_ROWS, "{} rows are few", rows.len());
    Ok(rows)
}

/// Play rows against an attached filter.
pub(crate) fn play(mode: Mode, mut rows: Vec<Row>) -> Result<()> {
    // Rows without a past share an attachment with others of their policy; a past is forgotten by detaching.
    rows.sort_by_key(|row| (needs_its_own_attachment(row), row.routing, format!("{:?}", row.policy)));
    let mut world = WireWorld::new(mode)?;
    let mut failures = Failures::default();
    let mut last: Option<&Row> = None;
    for row in &rows {
        let is_same = |last: &Row| {
            last.routing == row.routing && !needs_its_own_attachment(last) && !needs_its_own_attachment(row)
        };
        if !last.is_some_and(is_same) {
            world.set_routing(row.routing)?;
            world.attach_anew()?;
        }
        if last.is_none_or(|last| !is_same(last) || last.policy != row.policy) {
            world.put_in_force(&row.policy).with_context(|| format!("the policy of {:?}", row.name))?;
        }
        last = Some(row);
        match world.play(row) {
            Ok(None) => {}
            Ok(Some(difference)) => failures.add(row, &difference),
            Err(error) => failures.add(row, &format!("the wire fails: {error:#}")),
        }
    }
    failures.panic_if_any();
    println!("{} rows", rows.len());
    Ok(())
}

/// Whether what rows before it left behind would change a row: flows, and routes, which are remembered whoever sends.
fn needs_its_own_attachment(row: &Row) -> bool {
    const SOURCE_MAC: Range<usize> = 6..12;
    // A limit counts what the rows before sent.
    !row.earlier.is_empty() || row.policy.has_limits() || row.frame.get(SOURCE_MAC) == Some(&QUARANTINED.mac)
}
