//! Progress on stderr: a bar where that is a terminal which nothing is logged to, else a line now and then, or nothing.

use std::{
    io::{IsTerminal, stderr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use crate::log;

/// The time between two lines where there is no bar.
const LINE_EVERY: Duration = Duration::from_millis(200);

/// Long work, as people see it.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    total: Option<u64>,
    last_line: Mutex<Option<Instant>>,
    plain: bool,
}

impl Progress {
    /// A bar up to `total`, or lines.
    pub(crate) fn of(total: u64) -> Self {
        let template = "{bar:40} {human_pos}/{human_len} {msg}";
        Self::new(ProgressBar::new(total), template, Some(total), true)
    }

    /// A count without an end; nothing where there is no terminal.
    pub(crate) fn endless() -> Self {
        Self::new(ProgressBar::no_length(), "{human_pos} {msg}", None, false)
    }

    fn new(bar: ProgressBar, template: &str, total: Option<u64>, plain: bool) -> Self {
        let bare = stderr().is_terminal() && !log::is_on();
        let style = ProgressStyle::with_template(template).ok().filter(|_| bare);
        Self { bar: style.map(|style| bar.with_style(style)), total, last_line: Mutex::new(None), plain }
    }

    /// A line that stays.
    pub(crate) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    /// How far it is.
    pub(crate) fn set(&self, position: u64, message: &str) {
        if let Some(bar) = &self.bar {
            bar.set_position(position);
            bar.set_message(message.to_owned());
            return;
        }
        let mut last = self.last_line.lock().unwrap_or_else(PoisonError::into_inner);
        if self.plain && last.is_none_or(|last| last.elapsed() >= LINE_EVERY) {
            *last = Some(Instant::now());
            let total = HumanCount(self.total.unwrap_or(position));
            eprintln!("{}/{total} {message}", HumanCount(position));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
