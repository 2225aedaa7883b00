//! Draws the model on the terminal. What does not fit is left out, the least important first.

pub(crate) mod block;
pub mod graphs;
pub mod head;
pub mod help;
pub mod number;
pub mod tables;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
};

use crate::cmd::stats::screen::{
    look::Look,
    model::{FilterModel, Model},
};

/// The least number of columns for the reasons beside the ports.
const WIDE: u16 = 70;
/// The least number of lines for sparklines.
const HIGH: u16 = 16;

/// Draw everything.
pub fn draw(frame: &mut Frame<'_>, model: &Model, look: Look) {
    let area = frame.area();
    let banners = head::banners(model, look, area.width);
    let graphs = if area.height >= HIGH { 5 } else { 1 };
    let rows = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(banners.len() as u16),
        Constraint::Length(graphs::list_height(model, area.height)),
        Constraint::Length(graphs),
        Constraint::Fill(1),
        Constraint::Length(u16::from(area.height > 2)),
    ]);
    let [title, loud, list, graph, body, foot] = rows.areas(area);
    head::title(frame, title, model, look);
    for (line, place) in banners.into_iter().zip(loud.rows()) {
        frame.render_widget(line, place);
    }
    graphs::list(frame, list, model, look);
    if let Some(filter) = model.chosen().and_then(|interface| interface.filter.as_ref()) {
        if graph.height > 1 {
            graphs::large(frame, graph, filter, look);
        } else {
            graphs::line(frame, graph, filter, look);
        }
        draw_tables(frame, body, model, filter, look);
    }
    help::foot(frame, foot, model);
    if model.shows_help {
        help::draw(frame, area, look);
    }
}

fn draw_tables(frame: &mut Frame<'_>, area: Rect, model: &Model, filter: &FilterModel, look: Look) {
    if area.width < WIDE {
        tables::ports(frame, area, model, filter, look);
        return;
    }
    let beside = (area.width * 2 / 5).clamp(32, 56);
    let [ports, beside] = Layout::horizontal([Constraint::Fill(1), Constraint::Length(beside)]).areas(area);
    tables::ports(frame, ports, model, filter, look);
    // A frame and a head are three lines.
    let reasons = (filter.reasons.len() as u16 + 3).min(area.height / 2);
    let [reasons, sources] = Layout::vertical([Constraint::Length(reasons), Constraint::Fill(1)]).areas(beside);
    tables::reasons(frame, reasons, filter, look);
    tables::sources(frame, sources, filter, look);
}
