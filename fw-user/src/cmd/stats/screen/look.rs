//! The abilities of the terminal.

use ratatui::{
    style::{Color, Modifier, Style},
    symbols::{bar, border},
};

/// The look of things on this terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Whether the locale has more than ASCII.
    pub unicode: bool,
    /// Whether colours are wanted.
    pub colour: bool,
}

const ASCII_BORDER: border::Set<'_> = border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

const ASCII_BARS: bar::Set<'_> = bar::Set {
    full: "#",
    seven_eighths: "#",
    three_quarters: "*",
    five_eighths: "+",
    half: "=",
    three_eighths: "-",
    one_quarter: ":",
    one_eighth: ".",
    empty: " ",
};

impl Look {
    /// Headings of tables, and the selection.
    pub(crate) const STRONG: Style = Style::new().add_modifier(Modifier::BOLD);

    /// The look that the environment asks for: `NO_COLOR` (no-color.org), the locale (locale(7)) and the kind of terminal.
    #[must_use]
    pub fn new(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &&str| variable(name).filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(set).unwrap_or_default().to_uppercase();
        let is_utf8 = locale.contains("UTF-8") || locale.contains("UTF8");
        // The fonts of the kernel's own console lack most of the blocks that sparklines are made of.
        let is_console = set(&"TERM").is_some_and(|term| term == "linux");
        Self { unicode: is_utf8 && !is_console, colour: set(&"NO_COLOR").is_none() }
    }

    pub(crate) const fn border(self) -> border::Set<'static> {
        if self.unicode { border::PLAIN } else { ASCII_BORDER }
    }

    pub(crate) const fn bars(self) -> bar::Set<'static> {
        if self.unicode { bar::NINE_LEVELS } else { ASCII_BARS }
    }

    /// The style of passed packets.
    pub(crate) const fn passed(self) -> Style {
        self.coloured(Color::Green)
    }

    /// The style of dropped packets.
    pub(crate) const fn dropped(self) -> Style {
        self.coloured(Color::Red)
    }

    /// Names of services, containers and processes.
    pub(crate) const fn name(self) -> Style {
        self.coloured(Color::Cyan)
    }

    /// Warnings.
    pub(crate) const fn loud(self) -> Style {
        self.coloured(Color::Yellow).add_modifier(Modifier::BOLD).add_modifier(Modifier::REVERSED)
    }

    const fn coloured(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    /// A text in a number of columns. A longer text keeps both ends, because addresses differ at either end.
    pub(crate) fn shortened(self, text: &str, columns: usize) -> String {
        let length = text.chars().count();
        if length <= columns {
            return text.to_owned();
        }
        let gap = if self.unicode { "\u{2026}" } else { "~" };
        let end = columns.saturating_sub(1) / 2;
        let start = columns.saturating_sub(1 + end);
        let part = |from, count| text.chars().skip(from).take(count).collect::<String>();
        part(0, start) + gap + &part(length - end, end)
    }

    /// Names that others have chosen, in a form that this terminal can show.
    pub(crate) fn text(self, text: &str) -> String {
        let shown = |c: char| if c.is_control() || !(self.unicode || c.is_ascii()) { '?' } else { c };
        text.chars().map(shown).collect()
    }
}
