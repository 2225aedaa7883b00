//! Passed and dropped packets, in numbers and as sparklines.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::Style,
    text::{Line, Span},
    widgets::{RenderDirection, Sparkline},
};

use crate::{
    cmd::stats::screen::{
        look::Look,
        model::{FilterModel, InterfaceModel, Model, Traffic},
        view::{block::block, number::short},
    },
    report::table,
};

/// The word for drops.
fn drops(filter: &FilterModel) -> &'static str {
    if filter.monitors { "would drop" } else { "dropped" }
}

/// The number of lines for the list of interfaces: none for a single one, and at most a quarter of the screen.
pub(crate) fn list_height(model: &Model, height: u16) -> u16 {
    match model.interfaces.len() {
        0 | 1 => 0,
        count => (count as u16).min(height / 4),
    }
}

/// Columns for the mark before a name and for the space behind it.
const AROUND_NAME: usize = 3;
/// Columns for a word, a rate and the space behind it.
const WORDS: u16 = 20;
/// The most columns for a name.
const NAME: usize = 18;

/// A line for each interface; if not all fit, those around the selected one, and how many more there are.
pub(crate) fn list(frame: &mut Frame<'_>, area: Rect, model: &Model, look: Look) {
    let count = model.interfaces.len();
    let lines = usize::from(area.height);
    let visible = if count > lines { lines.saturating_sub(1) } else { lines };
    if let Some(last) = area.rows().next_back().filter(|_| count > visible) {
        // The title names the selected one.
        frame.render_widget(Line::raw(format!("  and {} more", count - visible.max(1))), last);
    }
    let first = (model.chosen + 1).saturating_sub(visible);
    let names = model.interfaces.iter().map(|interface| look.text(&interface.name));
    let width = names.map(|name| name.chars().count() + AROUND_NAME).max().unwrap_or_default().min(NAME);
    let interfaces = model.interfaces.iter().enumerate().skip(first).take(visible);
    for (place, (index, interface)) in area.rows().zip(interfaces) {
        let is_chosen = index == model.chosen;
        let style = if is_chosen { Look::STRONG } else { Style::new() };
        let mark = if is_chosen { "> " } else { "  " };
        let [name, passed, dropped] =
            Layout::horizontal([Constraint::Length(width as u16), Constraint::Fill(1), Constraint::Fill(1)])
                .areas(place);
        frame.render_widget(Line::styled(format!("{mark}{}", look.text(&interface.name)), style), name);
        traffic_in_line(frame, passed, interface, look.passed(), look, |filter| ("passed", &filter.passed));
        traffic_in_line(frame, dropped, interface, look.dropped(), look, |filter| (drops(filter), &filter.dropped));
    }
}

fn traffic_in_line(
    frame: &mut Frame<'_>,
    area: Rect,
    interface: &InterfaceModel,
    style: Style,
    look: Look,
    of: impl Fn(&FilterModel) -> (&'static str, &Traffic),
) {
    let Some(filter) = interface.filter.as_ref().filter(|_| interface.without.is_none()) else {
        frame.render_widget(Line::raw("no filter"), area);
        return;
    };
    let (name, traffic) = of(filter);
    let rate = short(traffic.packets_per_second);
    if area.width < WORDS {
        // The number is worth more than the word.
        let whole = format!("{name} {rate}/s");
        let fits = whole.chars().count() < usize::from(area.width);
        frame.render_widget(Line::styled(if fits { whole } else { format!("{rate}/s") }, style), area);
        return;
    }
    let [words, line] = Layout::horizontal([Constraint::Length(WORDS), Constraint::Fill(1)]).areas(area);
    frame.render_widget(Line::raw(format!("{name} {rate:>6}/s ")), words);
    let line = Rect { width: line.width.saturating_sub(2), ..line };
    frame.render_widget(sparkline(traffic, style, look), line);
}

/// Both as pictures.
pub(crate) fn large(frame: &mut Frame<'_>, area: Rect, filter: &FilterModel, look: Look) {
    let halves = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas::<2>(area);
    let both = [("passed", &filter.passed, look.passed()), (drops(filter), &filter.dropped, look.dropped())];
    for (place, (name, traffic, style)) in halves.into_iter().zip(both) {
        // The frame's corners need room as well.
        let title = title(name, traffic, usize::from(place.width.saturating_sub(2)));
        frame.render_widget(sparkline(traffic, style, look).block(block(title, look)), place);
    }
}

/// The title, and as many of the numbers as fit.
fn title(name: &str, traffic: &Traffic, columns: usize) -> String {
    let rate = format!(" {name} {}/s ", short(traffic.packets_per_second));
    let sum = format!(" {} total ", short(traffic.total.packets));
    let bytes = format!(" {}/s ", table::bytes(traffic.bytes_per_second));
    let titles = [[&rate, &bytes, &sum].map(String::as_str).concat(), rate.clone() + &sum];
    titles.into_iter().find(|title| title.trim_end().chars().count() <= columns).unwrap_or(rate)
}

/// Both in a line, where there is no room for pictures.
pub(crate) fn line(frame: &mut Frame<'_>, area: Rect, filter: &FilterModel, look: Look) {
    let rate = |traffic: &Traffic| format!("{}/s", short(traffic.packets_per_second));
    let words = [
        Span::raw("passed "),
        Span::styled(rate(&filter.passed), look.passed()),
        Span::raw(format!("  {} ", drops(filter))),
        Span::styled(rate(&filter.dropped), look.dropped()),
    ];
    frame.render_widget(words.into_iter().collect::<Line<'_>>(), area);
}

/// The latest to the right.
fn sparkline<'a>(traffic: &Traffic, style: Style, look: Look) -> Sparkline<'a> {
    Sparkline::default()
        .data(traffic.history.rates().collect::<Vec<_>>())
        .direction(RenderDirection::RightToLeft)
        .bar_set(look.bars())
        .style(style)
}
