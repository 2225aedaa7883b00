//! Ports and reasons.

use fw_common::Verdict;
use ratatui::{
    Frame,
    layout::{Constraint, Rect},
    text::Line,
    widgets::{Cell, Row, Table},
};

use crate::cmd::stats::screen::{
    look::Look,
    model::{FilterModel, Model},
    reading::Port,
    view::{block::block, number::short},
};

/// The least number of columns for the state of the ports.
const WIDE: u16 = 48;

/// The least number of columns for a source's last destination.
const WIDE_SOURCES: u16 = 48;

/// The ports that drop something.
pub(crate) fn ports(frame: &mut Frame<'_>, area: Rect, model: &Model, filter: &FilterModel, look: Look) {
    let title = format!(" drops at {} ports, by {} ", filter.ports_in_all, model.sort.name());
    let is_wide = area.width >= WIDE;
    let drops = if filter.monitors { "would drop" } else { "dropped" };
    let shown = usize::from(area.height.saturating_sub(3));
    let rows = filter.ports.iter().take(shown).map(|row| {
        let name = look.text(&model.name(row.port));
        let state = if filter.is_open(row.port) { "open" } else { "closed" };
        let mut cells = vec![Cell::new(name_of(row.port)), Cell::new(name).style(look.name())];
        cells.extend(is_wide.then(|| Cell::new(state)));
        cells.push(number(row.per_second));
        cells.push(number(row.dropped).style(look.dropped()));
        Row::new(cells)
    });
    let mut head = vec![Cell::new("port"), Cell::new("service")];
    let longest = filter.ports.iter().take(shown).map(|row| name_of(row.port).len()).max().unwrap_or_default();
    let mut widths = vec![Constraint::Length(longest as u16), Constraint::Fill(1)];
    if is_wide {
        head.push(Cell::new("state"));
        widths.push(Constraint::Length(6));
    }
    head.extend([right("per s"), right(drops)]);
    widths.extend([Constraint::Length(6), Constraint::Length(drops.len() as u16)]);
    let table = Table::new(rows, widths).header(Row::new(head).style(Look::STRONG)).block(block(title, look));
    frame.render_widget(table, area);
}

/// The senders of dropped packets.
pub(crate) fn sources(frame: &mut Frame<'_>, area: Rect, filter: &FilterModel, look: Look) {
    let has_ports = area.width >= WIDE_SOURCES;
    let width = usize::from(area.width).saturating_sub(if has_ports { 30 } else { 16 });
    let shown = usize::from(area.height.saturating_sub(3));
    let rows = filter.sources.iter().take(shown).map(|row| {
        let mut cells = vec![Cell::new(look.shortened(&row.source.to_string(), width))];
        let port = row.port.map_or_else(String::new, name_of);
        cells.extend(has_ports.then(|| Cell::new(port)));
        cells.extend([number(row.per_second), number(row.packets).style(look.dropped())]);
        Row::new(cells)
    });
    let mut head = vec![Cell::new("source")];
    let mut widths = vec![Constraint::Fill(1)];
    if has_ports {
        head.push(Cell::new("last at"));
        widths.push(Constraint::Length(13));
    }
    head.extend([right("per s"), right("total")]);
    widths.extend([Constraint::Length(6); 2]);
    let table = Table::new(rows, widths).header(Row::new(head).style(Look::STRONG));
    frame.render_widget(table.block(block(format!(" sources: {} ", filter.sources.len()), look)), area);
}

/// The reasons that occurred.
pub(crate) fn reasons(frame: &mut Frame<'_>, area: Rect, filter: &FilterModel, look: Look) {
    let rows = filter.reasons.iter().map(|row| {
        let style = if row.reason.verdict() == Verdict::Pass { look.passed() } else { look.dropped() };
        Row::new([Cell::new(row.reason.name()).style(style), number(row.per_second), number(row.packets)])
    });
    let widths = [Constraint::Fill(1), Constraint::Length(6), Constraint::Length(6)];
    let head = Row::new([Cell::new("reason"), right("per s"), right("total")]).style(Look::STRONG);
    frame.render_widget(Table::new(rows, widths).header(head).block(block(" reasons ".to_owned(), look)), area);
}

/// As it is typed after `--allow`.
fn name_of((protocol, port): Port) -> String {
    format!("{port}/{protocol}")
}

fn number(number: u64) -> Cell<'static> {
    right(&short(number))
}

fn right(text: &str) -> Cell<'static> {
    Cell::new(Line::raw(text.to_owned()).right_aligned())
}
