//! A table as its user has it: in which order, which lines, and which of them is chosen.

use std::cmp::Ordering;

use super::model::{Line, Sort};
use crate::history::Status;

/// How long a filter may be.
const FILTER: usize = 100;

#[derive(Debug, Clone, Default)]
pub(super) struct Pane {
    /// Which of the orders that its lines have.
    sort: usize,
    pub(super) is_reversed: bool,
    /// What a line is to have in its name, or in a word beside it, in any case.
    pub(super) filter: String,
    /// Lines that are OK, or of which nothing is known, are left out.
    pub(super) only_trouble: bool,
    /// The name of the line that is chosen, and where it was: others take its place when it goes.
    chosen: Option<(String, usize)>,
}

impl Pane {
    pub(super) fn sort<L: Line>(&self) -> Sort {
        L::SORTS.get(self.sort % L::SORTS.len().max(1)).copied().unwrap_or(Sort::Name)
    }

    pub(super) fn next_sort(&mut self) {
        self.sort = self.sort.wrapping_add(1);
    }

    /// The lines that are shown, in their order.
    pub(super) fn lines<'a, L: Line>(&self, all: &'a [L]) -> Vec<&'a L> {
        let needle = self.filter.to_lowercase();
        let has = |text: &str| text.to_lowercase().contains(&needle);
        let is_shown = |line: &&L| {
            (!self.only_trouble || line.pace().status > Some(Status::Ok))
                && (needle.is_empty() || has(line.name()) || line.words().into_iter().any(has))
        };
        let mut lines: Vec<&L> = all.iter().filter(is_shown).collect();
        let sort = self.sort::<L>();
        lines.sort_by(|a, b| compare(sort, *a, *b));
        if self.is_reversed {
            lines.reverse();
        }
        lines
    }

    /// Which of them is chosen.
    pub(super) fn position<L: Line>(&self, lines: &[&L]) -> usize {
        let Some((name, at)) = &self.chosen else { return 0 };
        let found = lines.iter().position(|line| line.name() == name);
        found.unwrap_or((*at).min(lines.len().saturating_sub(1)))
    }

    /// Chooses the line that is so many further on, or the nearest that there is.
    pub(super) fn go<L: Line>(&mut self, all: &[L], by: isize) {
        let lines = self.lines(all);
        let at = self.position(&lines).saturating_add_signed(by).min(lines.len().saturating_sub(1));
        if let Some(line) = lines.get(at) {
            self.chosen = Some((line.name().to_owned(), at));
        }
    }

    pub(super) fn typed(&mut self, c: char) {
        if self.filter.chars().count() < FILTER && !c.is_control() {
            self.filter.push(c);
        }
    }

    /// What is said of it above the table.
    pub(super) fn told<L: Line>(&self) -> String {
        let sort = match self.sort::<L>() {
            Sort::Status => "status",
            Sort::Lag => "lag",
            Sort::Age => "time lag",
            Sort::Name => "name",
            Sort::Size => "size",
        };
        let turned = if self.is_reversed { ", reversed" } else { "" };
        let trouble = if self.only_trouble { "  only trouble" } else { "" };
        format!("by {sort}{turned}{trouble}")
    }
}

fn compare<L: Line>(sort: Sort, a: &L, b: &L) -> Ordering {
    let by_lag = || b.pace().lag.cmp(&a.pace().lag);
    let age = |line: &L| line.pace().age.unwrap_or(-1.0);
    match sort {
        Sort::Status => b.pace().status.cmp(&a.pace().status).then_with(by_lag),
        Sort::Lag => by_lag(),
        Sort::Age => age(b).total_cmp(&age(a)),
        Sort::Size => b.size().cmp(&a.size()),
        // It is stable, and they came so.
        Sort::Name => Ordering::Equal,
    }
}
