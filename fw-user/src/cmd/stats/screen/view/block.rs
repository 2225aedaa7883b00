//! The frame around a part of the screen.

use ratatui::widgets::Block;

use crate::cmd::stats::screen::look::Look;

/// A frame around something.
pub(crate) fn block<'a>(title: String, look: Look) -> Block<'a> {
    Block::bordered().border_set(look.border()).title(title).title_style(Look::STRONG)
}
