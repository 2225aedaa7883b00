//! A flood at a closed port, and allowed traffic beside it.

mod beside;
mod contestant;
mod race;
mod source;

use anyhow::Result;

use super::report::Section;

const TEXT: &str = include_str!("text.md");

/// One after the other.
pub(super) fn measure() -> Result<Section> {
    let (race, race_chart) = race::measure()?;
    let by_protocol = race::by_protocol()?;
    let (beside, beside_chart) = beside::measure()?;
    Ok(Section {
        name: "flood",
        title: "A flood, and allowed traffic beside it",
        text: TEXT.to_owned(),
        tables: [race, by_protocol].into_iter().chain(beside).collect(),
        charts: vec![race_chart, beside_chart],
    })
}
