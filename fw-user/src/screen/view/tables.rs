//! Ports and reasons.

use fw_common::Verdict;
use ratatui::{
    Frame,
    layout::{Constraint, Rect},
    text::Line,
    widgets::{Cell, Row, Table},
};

use super::{block, number::short};
use crate::screen::{
    look::Look,
    model::{FilterModel, Model},
};

/// From so many columns on it is said which of the ports are open meanwhile.
const WIDE: u16 = 50;

/// The ports that drop something.
pub(super) fn ports(frame: &mut Frame<'_>, area: Rect, model: &Model, filter: &FilterModel, look: Look) {
    let title = format!(" knocked at: {} ports, by {} ", filter.ports_in_all, model.sort.name());
    let is_wide = area.width >= WIDE;
    let drops = if filter.monitors { "would drop" } else { "dropped" };
    let shown = usize::from(area.height.saturating_sub(3));
    let rows = filter.ports.iter().take(shown).map(|row| {
        let (protocol, port) = row.port;
        let name = model.services.get(&row.port).map_or_else(String::new, |name| look.text(name));
        let state = if filter.is_open(row.port) { "open" } else { "closed" };
        let mut cells = vec![Cell::new(format!("{port}/{protocol}")), Cell::new(name).style(look.name())];
        cells.extend(is_wide.then(|| Cell::new(state)));
        cells.push(number(row.per_second));
        cells.push(number(row.dropped).style(look.dropped()));
        Row::new(cells)
    });
    let mut head = vec![Cell::new("port"), Cell::new("service")];
    let mut widths = vec![Constraint::Length(13), Constraint::Fill(1)];
    if is_wide {
        head.push(Cell::new("state"));
        widths.push(Constraint::Length(6));
    }
    head.extend([right("per s"), right(drops)]);
    widths.extend([Constraint::Length(6), Constraint::Length(drops.len() as u16)]);
    let table = Table::new(rows, widths).header(Row::new(head).style(Look::STRONG)).block(block(title, look));
    frame.render_widget(table, area);
}

/// The reasons that occurred.
pub(super) fn reasons(frame: &mut Frame<'_>, area: Rect, filter: &FilterModel, look: Look) {
    let rows = filter.reasons.iter().map(|row| {
        let style = if row.reason.verdict() == Verdict::Pass { look.passed() } else { look.dropped() };
        Row::new([Cell::new(row.reason.name()).style(style), number(row.per_second), number(row.packets)])
    });
    let widths = [Constraint::Fill(1), Constraint::Length(6), Constraint::Length(6)];
    let head = Row::new([Cell::new("reason"), right("per s"), right("in all")]).style(Look::STRONG);
    frame.render_widget(Table::new(rows, widths).header(head).block(block(" reasons ".to_owned(), look)), area);
}

fn number(number: u64) -> Cell<'static> {
    right(&short(number))
}

fn right(text: &str) -> Cell<'static> {
    Cell::new(Line::raw(text.to_owned()).right_aligned())
}
