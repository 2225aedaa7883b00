//! The case table over a real wire: frames are put on a veth, judged by the attached filter, and told by its counters.
//!
//! A sample, since it takes a tenth of a second to read the counters after each frame. What happened earlier in a row happened just now
//! here: no test turns the clock back.

use anyhow::{Context, Result, ensure};
use fw_tests::{
    cases,
    lab::{
        Mode,
        wire_world::{WireWorld, fits_a_wire},
    },
    report::Failures,
    row::Row,
    tests, world,
};

tests! { in both modes:
    rows_of_the_table_are_judged_on_the_wire_as_well;
}

/// Below this many rows the sample says little.
const LEAST_ROWS: usize = 150;
/// One of so many rows is played. All of them are when the programs are tested without a wire; it is odd, since IPv4 and IPv6 take turns.
const ONE_OF: usize = 5;
/// Of those that need an attachment of their own fewer are.
const ONE_OF_THOSE_WITH_A_PAST: usize = 15;

fn rows_of_the_table_are_judged_on_the_wire_as_well(mode: Mode) -> Result<()> {
    let mut rows: Vec<Row> = cases::all().into_iter().filter(fits_a_wire).collect();
    let mut count = 0;
    rows.retain(|row| {
        count += 1;
        count % (if row.earlier.is_empty() { ONE_OF } else { ONE_OF_THOSE_WITH_A_PAST }) == 0
    });
    ensure!(rows.len() >= LEAST_ROWS, "{} rows are few", rows.len());
    // Rows without a past share an attachment with others of their policy; a past is forgotten by detaching.
    rows.sort_by_key(|row| (row.earlier.len().min(1), row.routing, format!("{:?}", row.policy)));
    let world = WireWorld::new(mode)?;
    let mut failures = Failures::default();
    let mut in_force: Option<&Row> = None;
    for row in &rows {
        let (has_past, had_past) = (!row.earlier.is_empty(), in_force.is_some_and(|last| !last.earlier.is_empty()));
        let is_same = in_force.is_some_and(|last| last.routing == row.routing && last.policy == row.policy);
        if has_past || had_past || !is_same {
            // Routes are remembered, as flows are.
            if in_force.is_some_and(|last| has_past || had_past || last.routing != row.routing) {
                world.fw(&["detach", world::INTERFACE])?;
            }
            world.set_routing(row.routing)?;
            world.attach(&row.policy).with_context(|| format!("the policy of {:?}", row.name))?;
            in_force = Some(row);
        }
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
