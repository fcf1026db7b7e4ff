//! `ottla top`: groups, their members and partitions on a terminal's screen. It changes nothing.
//!
//! - `model`: what a look shows, as lines of tables.
//! - `app`: what is shown of it, and what keys do; `pane` is one table.
//! - `draw`: from `app` to the cells of a `canvas`, with `text` in them; `columns` says which a table has.
//! - `screen`: the terminal, and how it is given back.

mod app;
mod canvas;
mod columns;
mod draw;
mod model;
mod pane;
mod screen;
#[cfg(test)]
mod tests;
mod text;

use std::{
    io::{IsTerminal, stderr},
    sync::Arc,
    time::Duration,
};

use ottla::Admin;
use serde_json::Value;
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

use self::{
    app::{Action, App, Looked},
    model::{CHART, Details, GONE, GroupLine, HIDDEN, LOOKS, Lags},
    screen::{Keys, Screen},
};
use super::{
    lag,
    looks::{self, Asked, Board, Group, Look, Went, between},
};
use crate::{
    args::{Common, TopArgs},
    common::Clients,
    epoch,
    failure::Failure,
    log,
    signals::Stop,
};

/// How many looks may wait to be drawn. Of one that finds no room the changes are told nowhere.
const WENT: usize = 8;

pub(super) async fn run(args: &TopArgs, common: &Common, stop: Stop) -> Result<(), Failure> {
    refuse(common)?;
    let clients = Clients::new(common)?;
    let servers = clients.property("bootstrap.servers").unwrap_or_default().to_owned();
    let admin = clients.admin()?.wait_for_broker(false).build().await?;
    let board = Board::new(args.interval.unwrap_or(lag::INTERVAL));
    let (groups, interval) = (args.groups.named(), board.interval());
    let asked = Asked { groups, filters: &args.groups.filters, interval };
    let app = App { servers, has_colors: has_colors(), ..App::default() };
    let screen = Screen::open()?;
    stop.last_words(|| {
        screen::leave_in_time();
        String::new()
    });
    let (send, went) = mpsc::channel(WENT);
    let top = Top {
        app,
        screen,
        admin: &admin,
        board: &board,
        lags: Lags::default(),
        look: None,
        is_waiting: false,
    };
    let done = tokio::select! {
        () = looks::run(&admin, &asked, &board, stop.clone(), |it| _ = send.try_send(it), async |watch, _| watch) => Ok(()),
        done = top.run(went, stop) => done,
    };
    admin.close().await;
    done
}

fn refuse(common: &Common) -> Result<(), Failure> {
    if common.is_json() {
        return Err(Failure::usage(
            "top: --output json: a screen has no JSON; `ottla lag --watch --output json`",
        ));
    }
    if let Some(why) = screen::refusal() {
        return Err(Failure::usage(format!("top: {why}")));
    }
    if log::is_on() && stderr().is_terminal() {
        return Err(Failure::usage("top: -v would write over the screen; send it elsewhere: 2>ottla.log"));
    }
    Ok(())
}

/// By the convention of no-color.org.
fn has_colors() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

struct Top<'a> {
    app: App,
    screen: Screen,
    admin: &'a Admin,
    board: &'a Board,
    lags: Lags,
    look: Option<Arc<Look>>,
    is_waiting: bool,
}

impl Top<'_> {
    /// Draws what comes, until it is to stop.
    async fn run(mut self, mut went: mpsc::Receiver<Went>, mut stop: Stop) -> Result<(), Failure> {
        let mut keys = Keys::read();
        // Ages grow also where nothing happens.
        let mut seconds = interval(Duration::from_secs(1));
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.screen.draw(&self.app, epoch::now())?;
            let action = tokio::select! {
                () = stop.requested() => return Ok(()),
                event = keys.next() => {
                    let rows = draw::rows(&self.app, self.screen.size());
                    self.app.handle(&event?, rows)
                }
                Some(went) = went.recv() => {
                    self.went(went);
                    Action::Draw
                }
                _ = seconds.tick() => {
                    self.second();
                    Action::Draw
                }
            };
            match action {
                Action::Draw => {}
                Action::Quit => return Ok(()),
                Action::Redraw => self.screen.forget()?,
                Action::Open(name) => {
                    if let Some(details) = self.details(&name) {
                        self.app.show(details);
                    }
                }
            }
        }
    }

    /// What a look waits for is shown when it does so for longer than a moment; else it would be known when the look has failed.
    fn second(&mut self) {
        let cause = self.admin.explain().first().map(ToString::to_string);
        let was_waiting = std::mem::replace(&mut self.is_waiting, cause.is_some());
        self.app.wait = cause.filter(|_| was_waiting);
    }

    fn went(&mut self, went: Went) {
        (self.app.wait, self.is_waiting) = (None, false);
        let (before, look) = match went {
            Went::Failed(why) => {
                self.app.failure = Some(why);
                return;
            }
            Went::Saw { before, now } => (before, now),
        };
        self.app.failure = None;
        self.app.looked = Some(Looked { at: look.at, took: look.took });
        self.app.notes.clone_from(&look.notes);
        if let Some(before) = before {
            let news = between(&before, &look);
            news.iter()
                .filter_map(|(kind, what)| told(kind, what))
                .for_each(|text| self.app.tell(look.at, text));
        }
        self.lags.saw(&look);
        let mut trends = self.board.trends(LOOKS);
        let line = |(name, group): (&'_ String, &'_ Arc<Group>)| {
            GroupLine::of(name, group, trends.remove(name).unwrap_or_default())
        };
        self.app.groups = look.groups.iter().map(line).collect();
        self.look = Some(look);
        if let Some(name) = self.app.opened.as_ref().map(|details| details.group.name.clone()) {
            match (self.details(&name), &mut self.app.opened) {
                (None, Some(details)) => {
                    let is_hidden = self.look.as_deref().is_some_and(|look| look.hidden.contains(&name));
                    details.absent = Some(if is_hidden { HIDDEN } else { GONE });
                }
                (details, opened) => *opened = details,
            }
        }
    }

    fn details(&self, name: &str) -> Option<Details> {
        Details::of(self.look.as_deref()?, name, self.board.last(name, CHART), &self.lags)
    }
}

/// A change in one line.
fn told(kind: &str, what: &Value) -> Option<String> {
    let word = |key: &str| what.get(key).and_then(Value::as_str);
    let number = |key: &str| what.get(key).and_then(Value::as_u64).unwrap_or(0);
    let names = |key: &str| what.get(key).and_then(Value::as_array).map_or(0, Vec::len);
    let group = word("group").unwrap_or_default();
    Some(match kind {
        "status" => {
            let (from, to) = (word("from").unwrap_or("-"), word("to").unwrap_or("-"));
            format!("{group}: {from} -> {to}: {}", word("reason").unwrap_or_default())
        }
        "rebalance" if word("phase") == Some("began") => format!("{group}: a rebalance began"),
        "rebalance" => format!(
            "{group}: rebalanced: {} members, {} joined, {} left, {} partitions moved",
            number("members"),
            names("joined"),
            names("left"),
            number("moved"),
        ),
        "group" => format!("{group}: {}", word("change").unwrap_or_default()),
        "more" => format!("{} more changes", number("count")),
        _ => return None,
    })
}
