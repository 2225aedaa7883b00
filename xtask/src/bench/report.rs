//! The answer, for people and for programs.

use anyhow::{Result, bail};
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::{commands::Timing, measure::Decision};

/// Everything that was measured.
#[derive(Serialize)]
pub(super) struct Report {
    decisions: Vec<Decision>,
    commands: Vec<Timing>,
    goals_met: bool,
}

impl Report {
    pub(super) fn new(decisions: Vec<Decision>, commands: Vec<Timing>) -> Self {
        let goals_met =
            decisions.iter().filter_map(Decision::met).chain(commands.iter().map(Timing::met)).all(|met| met);
        Self { decisions, commands, goals_met }
    }

    /// Print it; a goal that is missed is an error.
    pub(super) fn print(&self, json: bool) -> Result<()> {
        if json {
            println!("{}", serde_json::to_string_pretty(self)?);
        } else {
            println!("{}\n\n{}\n", self.decisions(), self.commands());
        }
        if !self.goals_met {
            bail!("a goal is missed");
        }
        Ok(())
    }

    fn decisions(&self) -> Table {
        let mut table = table(&["decision", "verdict", "empty", "fw", "xdp-filter", "fw : xdp-filter", "goal", ""]);
        for decision in &self.decisions {
            table.add_row([
                decision.packet.to_owned(),
                decision.verdict.to_owned(),
                format!("{:.1} ns", decision.empty_ns),
                format!("+{:.1} ns", decision.fw_ns),
                format!("+{:.1} ns", decision.xdp_filter_ns),
                format!("{:.2}", decision.ratio),
                decision.goal.map_or_else(String::new, |goal| format!("<= {goal:.2}")),
                decision.met().map_or("", word).to_owned(),
            ]);
        }
        align_right(&mut table, 2..7);
        table
    }

    fn commands(&self) -> Table {
        let mut table = table(&["command", "time", "goal", ""]);
        for timing in &self.commands {
            table.add_row([
                timing.command.clone(),
                format!("{:.0} ms", timing.ms),
                format!("< {:.0} ms", timing.goal_ms),
                word(timing.met()).to_owned(),
            ]);
        }
        align_right(&mut table, 1..3);
        table
    }
}

fn word(met: bool) -> &'static str {
    if met { "met" } else { "missed" }
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table
}

fn align_right(table: &mut Table, columns: std::ops::Range<usize>) {
    for index in columns {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}
