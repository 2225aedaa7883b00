//! The results, in the form in which they are printed, saved and drawn.

use std::fs;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::measure::Measured;

/// Everything that was measured.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) sections: Vec<Section>,
}

/// Where.
#[derive(Serialize)]
pub(super) struct Machine {
    /// Version of Linux, without what a distribution appends.
    pub(super) linux: String,
    pub(super) architecture: &'static str,
    pub(super) cpus: usize,
    /// The processor's name, if known.
    pub(super) processor: Option<String>,
}

/// The results of one part of the benchmarks.
#[derive(Serialize)]
pub(super) struct Section {
    /// A short name, of which those of files are made.
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    /// How it was measured and what it means: paragraphs in Markdown.
    pub(super) text: String,
    pub(super) tables: Vec<Table>,
    #[serde(skip)]
    pub(super) charts: Vec<Chart>,
}

/// Rows of the same kind.
#[derive(Serialize)]
pub(super) struct Table {
    /// The title of the first column, which has the subjects of the rows.
    pub(super) subject: &'static str,
    /// Heads of the others.
    pub(super) columns: Vec<&'static str>,
    pub(super) rows: Vec<Row>,
}

/// A subject and what was measured of it.
#[derive(Serialize)]
pub(super) struct Row {
    pub(super) subject: String,
    /// One a column.
    pub(super) cells: Vec<Cell>,
    pub(super) goal: Option<Goal>,
}

/// A cell of a table.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Cell {
    Text(String),
    Number {
        #[serde(flatten)]
        value: Measured,
        unit: Unit,
    },
}

/// The unit of a number.
#[derive(Clone, Copy, Serialize)]
pub(super) enum Unit {
    #[serde(rename = "ns")]
    Nanoseconds,
    #[serde(rename = "ms")]
    Milliseconds,
    /// Millions of packets a second.
    #[serde(rename = "Mpps")]
    MegaPackets,
    #[serde(rename = "Gbit/s")]
    Gigabits,
    #[serde(rename = "MB")]
    Megabytes,
    /// How often a second.
    #[serde(rename = "1/s")]
    PerSecond,
    /// A quotient.
    #[serde(rename = "")]
    Ratio,
}

/// The requested result.
#[derive(Serialize)]
pub(super) struct Goal {
    /// In words, such as `at most 0.33`.
    pub(super) asks: String,
    pub(super) met: bool,
}

/// A picture of numbers.
pub(super) struct Chart {
    /// Of which, with that of the section, its file's name is made.
    pub(super) name: &'static str,
    pub(super) title: String,
    /// The subject of a bar, or of a group of bars.
    pub(super) categories: Vec<String>,
    /// Name and values, one a category; nothing where there is none.
    pub(super) series: Vec<(&'static str, Vec<Option<f64>>)>,
    pub(super) unit: Unit,
    pub(super) kind: ChartKind,
}

/// How it is drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ChartKind {
    /// Bars that lie, a group a category.
    Bars,
    /// The same, one series behind the other.
    Stacks,
}

impl Report {
    pub(super) fn new(sections: Vec<Section>) -> Result<Self> {
        Ok(Self { machine: Machine::this()?, sections })
    }

    /// Whether all goals are.
    pub(super) fn goals_met(&self) -> bool {
        let mut rows = self.sections.iter().flat_map(|section| &section.tables).flat_map(|table| &table.rows);
        rows.all(|row| row.goal.as_ref().is_none_or(|goal| goal.met))
    }
}

impl Machine {
    fn this() -> Result<Self> {
        let release =
            fs::read_to_string("/proc/sys/kernel/osrelease").context("cannot ask for the kernel's version")?;
        let processors = fs::read_to_string("/proc/cpuinfo").context("cannot ask for the processor")?;
        Ok(Self {
            linux: version(&release),
            architecture: std::env::consts::ARCH,
            cpus: super::measure::cpus()?.len(),
            processor: processor(&processors),
        })
    }
}

/// Major and minor number of a kernel's release.
fn version(release: &str) -> String {
    let numbers = release.trim().split(['.', '-']);
    numbers.take(2).collect::<Vec<_>>().join(".")
}

fn processor(cpuinfo: &str) -> Option<String> {
    let mut fields = cpuinfo.lines().filter_map(|line| line.split_once(':'));
    // x86 says "model name" of each, a Raspberry Pi "Model" at the end.
    fields.find(|(name, _)| matches!(name.trim(), "model name" | "Model")).map(|(_, value)| value.trim().to_owned())
}

impl Goal {
    /// A number that must not be larger.
    pub(super) fn at_most(limit: f64, unit: Unit, value: f64) -> Self {
        Self { asks: format!("at most {}", unit.show(limit)), met: value <= limit }
    }

    /// A number that must not be smaller.
    pub(super) fn at_least(limit: f64, unit: Unit, value: f64) -> Self {
        Self { asks: format!("at least {}", unit.show(limit)), met: value >= limit }
    }
}

impl Unit {
    /// A number with its unit.
    pub(super) fn show(self, number: f64) -> String {
        match self {
            Self::Nanoseconds => format!("{number:.1} ns"),
            Self::Milliseconds if number < 10.0 => format!("{number:.1} ms"),
            Self::Milliseconds => format!("{number:.0} ms"),
            Self::MegaPackets => format!("{number:.2} Mpps"),
            Self::Gigabits => format!("{number:.2} Gbit/s"),
            Self::Megabytes => format!("{number:.1} MB"),
            Self::PerSecond => format!("{number:.0}/s"),
            Self::Ratio => format!("{number:.2}"),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nanoseconds => "ns",
            Self::Milliseconds => "ms",
            Self::MegaPackets => "Mpps",
            Self::Gigabits => "Gbit/s",
            Self::Megabytes => "MB",
            Self::PerSecond => "1/s",
            Self::Ratio => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(met: &[bool]) -> Section {
        let rows = met.iter().map(|&met| Row {
            subject: String::new(),
            cells: Vec::new(),
            goal: Some(Goal { asks: String::new(), met }),
        });
        let without = Row { subject: String::new(), cells: Vec::new(), goal: None };
        let rows = rows.chain([without]).collect();
        let table = Table { subject: "", columns: Vec::new(), rows };
        Section { name: "", title: "", text: String::new(), tables: vec![table], charts: Vec::new() }
    }

    #[test]
    fn one_missed_goal_anywhere_is_a_missed_goal() -> Result<()> {
        assert!(Report::new(vec![section(&[true]), section(&[])])?.goals_met());
        assert!(!Report::new(vec![section(&[true, false]), section(&[true])])?.goals_met());
        Ok(())
    }

    #[test]
    fn a_goal_is_met_up_to_its_limit() {
        assert!(Goal::at_most(0.5, Unit::Ratio, 0.5).met);
        assert!(!Goal::at_most(0.5, Unit::Ratio, 0.501).met);
        assert!(Goal::at_least(0.5, Unit::Ratio, 0.5).met);
        assert!(!Goal::at_least(0.5, Unit::Ratio, 0.499).met);
        assert_eq!(Goal::at_most(0.5, Unit::Ratio, 0.5).asks, "at most 0.50");
    }

    #[test]
    fn nothing_of_a_machine_but_its_kind_is_told() {
        assert_eq!(version("6.12.34+rpt-rpi-2712\n"), "6.12");
        assert_eq!(version("6.18-rc1-name-of-somebody"), "6.18");
        let cpuinfo =
            "processor\t: 0\nBogoMIPS\t: 108.00\nSerial\t\t: 0123\nModel\t\t: Raspberry Pi 5 Model B Rev 1.0\n";
        assert_eq!(processor(cpuinfo).as_deref(), Some("Raspberry Pi 5 Model B Rev 1.0"));
        assert_eq!(processor("processor : 0\n"), None);
    }
}
