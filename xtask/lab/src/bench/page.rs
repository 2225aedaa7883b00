//! The report as people read it: on a terminal, and as a page of the manual.

use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::{MetadataExt as _, chown},
    path::Path,
};

use anyhow::{Context as _, Result};
use comfy_table::{CellAlignment, TableStyle, presets};

use super::{
    chart,
    report::{Cell, Machine, Report, Row, Section, Table},
};
use xtask::workspace;

const INTRODUCTION: &str = "\
`cargo xtask bench --write` measures everything in one run and writes this page, its charts and [the numbers](bench/bench.json) for
programs. The numbers are from one machine. Compare only numbers in the same table.

Each number is a median. bench.json also has its noise: half of the interquartile range of the samples. A missed goal is marked `missed`.";

/// For a terminal.
pub(super) fn terminal(report: &Report) -> String {
    let mut text = String::new();
    for section in &report.sections {
        let _ = writeln!(text, "{}\n", section.title);
        for rows in &section.tables {
            let _ = writeln!(text, "{}\n", table(rows, presets::NOTHING).trim_fmt());
        }
    }
    text
}

/// Into the manual: the page, the charts, and the numbers for programs.
pub(super) fn write(report: &Report) -> Result<()> {
    let docs = workspace::root().join("docs");
    let folder = docs.join("bench");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    own(&folder)?;
    for section in &report.sections {
        for chart in &section.charts {
            put(&docs.join(file(section, chart.name)), &chart::svg(chart)?)?;
        }
    }
    put(&folder.join("bench.json"), &format!("{}\n", serde_json::to_string_pretty(report)?))?;
    put(&docs.join("bench.md"), &markdown(report))
}

fn put(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    own(path)?;
    eprintln!("wrote {}", workspace::shown(path));
    Ok(())
}

/// Give what root wrote to whom the source tree belongs.
fn own(path: &Path) -> Result<()> {
    let owner = fs::metadata(workspace::root())?;
    chown(path, Some(owner.uid()), Some(owner.gid())).with_context(|| format!("cannot give {} away", path.display()))
}

/// A chart's file, as the page names it.
fn file(section: &Section, chart: &str) -> String {
    format!("bench/{}-{chart}.svg", section.name)
}

fn markdown(report: &Report) -> String {
    let mut text = format!("# What it costs\n\n{INTRODUCTION}\n\n{}\n", machine(&report.machine));
    for section in &report.sections {
        let _ = write!(text, "\n## {}\n\n{}\n", section.title, section.text);
        for chart in &section.charts {
            let _ = write!(text, "\n![{}]({})\n", chart.title, file(section, chart.name));
        }
        for rows in &section.tables {
            let _ = write!(text, "\n{}\n", table(rows, presets::ASCII_MARKDOWN).trim_fmt());
        }
    }
    text
}

fn machine(machine: &Machine) -> String {
    let Machine { linux, architecture, cpus, processor } = machine;
    let processor = processor.as_ref().map_or_else(String::new, |name| format!(", {name}"));
    format!("Measured on Linux {linux}, {architecture}, {cpus} CPUs{processor}.")
}

fn table(rows: &Table, style: TableStyle) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    let has_goals = rows.rows.iter().any(|row| row.goal.is_some());
    let header = [rows.subject].into_iter().chain(rows.columns.iter().copied());
    table.load_style(style).set_header(header.chain(has_goals.then_some(["goal", ""]).into_iter().flatten()));
    for row in &rows.rows {
        table.add_row(words(row));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn words(row: &Row) -> Vec<String> {
    let mut words = vec![row.subject.clone()];
    words.extend(row.cells.iter().map(cell));
    if let Some(goal) = &row.goal {
        words.push(goal.asks.clone());
        words.push(if goal.met { "met" } else { "missed" }.to_owned());
    }
    words
}

fn cell(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => text.clone(),
        Cell::Number { value, unit } => unit.show(value.median),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{
        measure::Measured,
        report::{Goal, Unit},
    };

    #[test]
    fn a_row_says_its_numbers_with_units_and_whether_its_goal_is_met() {
        let number = Cell::Number { value: Measured::exactly(8.04), unit: Unit::Nanoseconds };
        let row = Row {
            subject: "closed".to_owned(),
            cells: vec![Cell::Text("drop".to_owned()), number],
            goal: Some(Goal::at_most(1.0, Unit::Ratio, 2.0)),
        };
        assert_eq!(words(&row), ["closed", "drop", "8.0 ns", "at most 1.00", "missed"]);
        let table = table(
            &Table { subject: "packet", columns: vec!["verdict", "fw"], rows: vec![row] },
            presets::ASCII_MARKDOWN,
        );
        let text = table.trim_fmt();
        assert!(text.starts_with("| packet |"), "{text}");
    }
}
