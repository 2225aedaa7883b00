//! The first lines: the interface, and warnings.

use ratatui::{
    Frame,
    layout::Rect,
    style::Style,
    text::{Line, Span},
};

use crate::cmd::stats::screen::{look::Look, model::Model, view::number::short};

/// Interface, mode and flows on the left, the state of the screen on the right.
pub(crate) fn title(frame: &mut Frame<'_>, area: Rect, model: &Model, look: Look) {
    let mut words = Vec::new();
    if let Some(interface) = model.chosen() {
        words.push(Span::styled(look.text(&interface.name), Look::STRONG));
        if let Some(filter) = &interface.filter {
            words.push(Span::raw(format!("  {} mode", filter.mode.name())));
        }
        if let Some(flows) = model.flows {
            words.push(Span::raw(format!("  {} flows", short(flows as u64))));
        }
    }
    let left = Line::from(words);
    let right = if model.is_paused { Line::styled(" PAUSED ", look.loud()) } else { Line::raw("fw-user stats") };
    let fits = left.width() + 2 + right.width() <= usize::from(area.width);
    frame.render_widget(left, area);
    if fits || model.is_paused {
        frame.render_widget(right.right_aligned(), area);
    }
}

/// One line for each warning.
pub(crate) fn banners(model: &Model, look: Look) -> Vec<Line<'static>> {
    let Some(interface) = model.chosen() else {
        return vec![Line::styled(
            " no interface has a filter; one appears here as soon as it is attached ",
            look.loud(),
        )];
    };
    if let Some(why) = &interface.without {
        let frozen = if interface.filter.is_some() { "; these are its last numbers" } else { "" };
        return vec![Line::styled(format!(" {}{frozen} ", look.text(why)), look.loud())];
    }
    let Some(filter) = &interface.filter else { return Vec::new() };
    let mut lines = Vec::new();
    let banner = |head: &'static str, text: String| {
        Line::from(vec![Span::styled(format!(" {head} "), look.loud()), Span::styled(text, Style::new())])
    };
    if filter.monitors {
        lines.push(banner("MONITOR ONLY", " nothing is dropped; `fw-user enforce` closes what is not open".to_owned()));
    }
    if let Some(seconds) = filter.trial_ends_in {
        lines.push(banner("ON TRIAL", format!(" reverts in {seconds} s unless you run `fw-user confirm`")));
    }
    lines
}
