//! Cells of a screen: text that stays within its room, and the few colors that there are.

use ratatui_core::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
};

use super::{columns::Column, text};
use crate::{history::Status, output::harmless};

/// Colors, where the user has not said that there are to be none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Palette {
    pub(super) has_colors: bool,
}

impl Palette {
    pub(super) fn color(self, color: Color) -> Style {
        if self.has_colors { Style::new().fg(color) } else { Style::new() }
    }

    /// Its word is always there, too: not all see colors.
    pub(super) fn of_status(self, status: Option<Status>) -> Style {
        match status {
            None => Style::new(),
            Some(Status::Ok) => self.color(Color::Green),
            Some(Status::Warn | Status::Rewind) => self.color(Color::Yellow),
            Some(Status::Stall | Status::Stop | Status::Err) => {
                self.color(Color::Red).add_modifier(Modifier::BOLD)
            }
        }
    }
}

/// What is drawn on. What is beyond it is not drawn.
#[derive(Debug)]
pub(super) struct Canvas<'a> {
    pub(super) buffer: &'a mut Buffer,
    pub(super) area: Rect,
    pub(super) palette: Palette,
}

impl Canvas<'_> {
    pub(super) fn cells(&mut self, y: u16, columns: &[Column], cell: impl Fn(&Column) -> (String, Style)) {
        let mut x = 0;
        for column in columns {
            let (text, style) = cell(column);
            match column.is_right {
                true => self.put_right(x, y, column.width, &text, style),
                false => _ = self.put(x, y, column.width, &text, style),
            }
            x += column.width + 1;
        }
    }

    /// As much of the text as has room, with a sign where some has none. It returns where that ends.
    pub(super) fn put(&mut self, x: u16, y: u16, width: u16, text: &str, style: Style) -> u16 {
        if y >= self.area.bottom() || x >= self.area.right() || width == 0 {
            return x;
        }
        let text = harmless(text);
        if text::width(&text) <= usize::from(width) {
            return self.buffer.set_stringn(x, y, &text, usize::from(width), style).0;
        }
        let (end, _) = self.buffer.set_stringn(x, y, &text, usize::from(width - 1), style);
        self.buffer.set_stringn(end, y, "…", 1, style).0
    }

    pub(super) fn put_right(&mut self, x: u16, y: u16, width: u16, text: &str, style: Style) {
        let own = u16::try_from(text::width(&harmless(text))).unwrap_or(u16::MAX);
        let left = width.saturating_sub(own);
        self.put(x + left, y, width - left, text, style);
    }

    /// At the line's end. It returns how much room is left of it.
    pub(super) fn right(&mut self, y: u16, text: &str, style: Style) -> u16 {
        let own = u16::try_from(text::width(text)).unwrap_or(u16::MAX).min(self.area.width);
        self.put(self.area.width - own, y, own, text, style);
        (self.area.width - own).saturating_sub(2)
    }

    /// A whole line in this style.
    pub(super) fn style(&mut self, y: u16, style: Style) {
        self.buffer.set_style(Rect { x: 0, y, width: self.area.width, height: 1 }, style);
    }
}
