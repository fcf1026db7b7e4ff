//! What is shown, and what a key does to it. It knows neither a terminal nor a clock.

use std::time::Duration;

use ratatui_crossterm::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{
    model::{Details, GroupLine},
    pane::Pane,
};

/// What is to be done for a key that this cannot do by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Nothing but to draw.
    Draw,
    /// The details of this group are to be shown.
    Open(String),
    /// All is to be drawn anew: others wrote to the terminal.
    Redraw,
    Quit,
}

/// Which lines of the opened group are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Tab {
    #[default]
    Partitions,
    Members,
}

/// The last look that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Looked {
    /// In milliseconds since 1970.
    pub(super) at: i64,
    pub(super) took: Duration,
}

/// All that is drawn.
#[derive(Debug, Clone, Default)]
pub(super) struct App {
    pub(super) servers: String,
    pub(super) has_colors: bool,
    pub(super) looked: Option<Looked>,
    /// Why the last look failed.
    pub(super) failure: Option<String>,
    /// What the look that is under way waits for.
    pub(super) wait: Option<String>,
    /// What the last look left out.
    pub(super) notes: Vec<String>,
    /// What has changed last, with its time in milliseconds since 1970.
    pub(super) news: Option<(i64, String)>,
    pub(super) groups: Vec<GroupLine>,
    pub(super) opened: Option<Details>,
    pub(super) tab: Tab,
    pub(super) of_groups: Pane,
    pub(super) of_partitions: Pane,
    pub(super) of_members: Pane,
    /// A filter is being typed.
    pub(super) is_typing: bool,
    pub(super) has_help: bool,
}

impl App {
    pub(super) fn tell(&mut self, at: i64, text: String) {
        self.news = Some((at, text));
    }

    /// `rows` are as many as a page has.
    pub(super) fn handle(&mut self, event: &Event, rows: usize) -> Action {
        match event {
            // Some terminals tell of a key that is let go, too.
            Event::Key(key) if key.kind != KeyEventKind::Release => self.key(*key, rows),
            _ => Action::Draw,
        }
    }

    fn key(&mut self, key: KeyEvent, rows: usize) -> Action {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Action::Quit,
                KeyCode::Char('l') => Action::Redraw,
                KeyCode::Char('u') if self.is_typing => {
                    self.pane().filter.clear();
                    Action::Draw
                }
                _ => Action::Draw,
            };
        }
        if self.is_typing {
            self.type_filter(key.code);
            return Action::Draw;
        }
        if self.has_help && key.code != KeyCode::Char('q') {
            self.has_help = false;
            return Action::Draw;
        }
        let page = isize::try_from(rows.max(1)).unwrap_or(isize::MAX);
        match key.code {
            KeyCode::Char('q') => return Action::Quit,
            KeyCode::Char('?') | KeyCode::F(1) => self.has_help = true,
            KeyCode::Up | KeyCode::Char('k') => self.go(-1),
            KeyCode::Down | KeyCode::Char('j') => self.go(1),
            KeyCode::PageUp => self.go(-page),
            KeyCode::PageDown | KeyCode::Char(' ') => self.go(page),
            KeyCode::Home | KeyCode::Char('g') => self.go(isize::MIN),
            KeyCode::End | KeyCode::Char('G') => self.go(isize::MAX),
            KeyCode::Char('s') => self.pane().next_sort(),
            KeyCode::Char('r') => self.pane().is_reversed ^= true,
            KeyCode::Char('f') => self.pane().only_trouble ^= true,
            KeyCode::Char('/') => self.is_typing = true,
            KeyCode::Tab | KeyCode::BackTab => self.turn(),
            KeyCode::Enter | KeyCode::Right | KeyCode::Char('l') => return self.open(),
            KeyCode::Esc | KeyCode::Left | KeyCode::Backspace | KeyCode::Char('h') => self.back(),
            _ => {}
        }
        Action::Draw
    }

    /// The table that is shown.
    pub(super) fn pane(&mut self) -> &mut Pane {
        match (&self.opened, self.tab) {
            (None, _) => &mut self.of_groups,
            (Some(_), Tab::Partitions) => &mut self.of_partitions,
            (Some(_), Tab::Members) => &mut self.of_members,
        }
    }

    fn go(&mut self, by: isize) {
        match (&self.opened, self.tab) {
            (None, _) => self.of_groups.go(&self.groups, by),
            (Some(details), Tab::Partitions) => self.of_partitions.go(&details.partitions, by),
            (Some(details), Tab::Members) => self.of_members.go(&details.members, by),
        }
    }

    fn turn(&mut self) {
        self.tab = match self.tab {
            Tab::Partitions => Tab::Members,
            Tab::Members => Tab::Partitions,
        };
    }

    fn open(&mut self) -> Action {
        if self.opened.is_some() {
            return Action::Draw;
        }
        let lines = self.of_groups.lines(&self.groups);
        let Some(name) = lines.get(self.of_groups.position(&lines)).map(|line| line.name.clone()) else {
            return Action::Draw;
        };
        // It stays chosen when others come before it.
        self.of_groups.go(&self.groups, 0);
        Action::Open(name)
    }

    /// Shows a group, from its beginning.
    pub(super) fn show(&mut self, details: Details) {
        self.opened = Some(details);
        self.tab = Tab::default();
        (self.of_partitions, self.of_members) = Default::default();
    }

    /// One step: first what leaves lines out, then the group.
    fn back(&mut self) {
        let pane = self.pane();
        match pane.filter.is_empty() && !pane.only_trouble {
            true => self.opened = None,
            false => (pane.filter, pane.only_trouble) = Default::default(),
        }
    }

    fn type_filter(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.is_typing = false;
                self.pane().filter.clear();
            }
            KeyCode::Backspace => _ = self.pane().filter.pop(),
            KeyCode::Up => self.go(-1),
            KeyCode::Down => self.go(1),
            KeyCode::Char(c) => self.pane().typed(c),
            _ => {}
        }
    }
}
