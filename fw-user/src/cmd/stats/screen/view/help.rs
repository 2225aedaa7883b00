//! The list of keys.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::{Clear, Paragraph},
};

use crate::cmd::stats::screen::{look::Look, model::Model, view::block::block};

/// A key, what it does in a word, and in a sentence.
const KEYS: [(&str, &str, &str); 5] = [
    ("q", "quit", "ends the view; the filter stays"),
    ("s", "sort", "sorts the ports: by rate, by total, by number"),
    ("p", "pause", "freezes the numbers; again goes on"),
    ("tab", "interface", "next interface; arrows as well"),
    ("?", "keys", "shows these keys; again hides them"),
];

/// The keys in a line; that for interfaces only where there are several.
pub(crate) fn foot(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let is_needed = |key: &&(&str, &str, &str)| key.0 != "tab" || model.interfaces.len() > 1;
    let words = KEYS
        .iter()
        .filter(is_needed)
        .flat_map(|(key, word, _)| [Span::styled(*key, Look::STRONG), Span::raw(format!(" {word}   "))]);
    frame.render_widget(words.into_iter().collect::<Line<'_>>(), area);
}

/// The list of keys, in the middle of the screen.
pub(crate) fn draw(frame: &mut Frame<'_>, area: Rect, look: Look) {
    let lines: Vec<Line<'_>> = KEYS
        .iter()
        .map(|(key, _, sentence)| {
            Line::from_iter([Span::styled(format!(" {key:<4}"), Look::STRONG), Span::raw(*sentence)])
        })
        .collect();
    let width = lines.iter().map(Line::width).max().unwrap_or_default() as u16 + 3;
    let place = area
        .centered(ratatui::layout::Constraint::Max(width), ratatui::layout::Constraint::Max(lines.len() as u16 + 2));
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(lines).block(block(" keys ".to_owned(), look)), place);
}
