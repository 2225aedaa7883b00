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

/// The warnings, in lines of so many columns. A command in them must not be cut to another one.
pub(crate) fn banners(model: &Model, look: Look, columns: u16) -> Vec<Line<'static>> {
    let loud = |text: &str| {
        let lines = wrapped(text, usize::from(columns).saturating_sub(2));
        lines.into_iter().map(|line| Line::styled(format!(" {line} "), look.loud())).collect()
    };
    let Some(interface) = model.chosen() else {
        return loud("no interface has a filter; one appears here as soon as it is attached");
    };
    if let Some(why) = &interface.without {
        let frozen = if interface.filter.is_some() { "; these are its last numbers" } else { "" };
        return loud(&format!("{}{frozen}", look.text(why)));
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

/// A text in lines of at most so many columns, broken between words.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is a line");
        if line.is_empty() {
            line.push_str(word);
        } else if Line::raw(line.as_str()).width() + 1 + Line::raw(word).width() <= columns {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_broken_between_words_and_no_word_is_lost() {
        let text = "fw is not attached to any interface; start with: fw-user attach --all --allow 22";
        for columns in [1, 20, 38, 78, 200] {
            let lines = wrapped(text, columns);
            assert_eq!(lines.join(" "), text);
            assert!(lines.iter().all(|line| line.len() <= columns || !line.contains(' ')), "{lines:?}");
        }
        assert_eq!(wrapped(text, 78).len(), 2);
    }
}
