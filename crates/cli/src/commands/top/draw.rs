//! From what is shown to cells. Only the lines that have room are made.

use ratatui_core::{
    layout::{Rect, Size},
    style::{Color, Modifier, Style},
    terminal::Frame,
};

use super::{
    app::{App, Tab},
    canvas::{Canvas, Palette},
    columns::{self, Column},
    model::{Details, Field, GroupLine, Line, MemberLine, PartitionLine, Trend},
    pane::Pane,
    text,
};
use crate::{history::Status, output::harmless};

/// What a screen must have.
const SMALLEST: Size = Size { width: 40, height: 12 };
/// The lines below a table: of the chosen line, of the last change, and of keys.
const FOOT: u16 = 3;
/// How many lines may say what is wrong.
const NOTICE: usize = 3;
/// How long a change is shown, in milliseconds.
const FRESH: i64 = 60_000;

const KEYS: &str = "Enter open  / filter  s sort  f trouble  ? help  q quit";
const KEYS_PARTITIONS: &str = "Esc back  Tab members  / filter  s sort  f trouble  ? help  q quit";
const KEYS_MEMBERS: &str = "Esc back  Tab partitions  / filter  s sort  f trouble  ? help  q quit";
const KEYS_TYPING: &str = "Enter done  Esc none  Ctrl-U empty";

pub(super) const HELP: [(&str, &str); 13] = [
    ("?", "this; any key closes it"),
    ("q, Ctrl-C", "quit"),
    ("up, down, k, j", "the line before, or after"),
    ("PgUp, PgDn, Space", "a page"),
    ("Home, End, g, G", "the first line, or the last"),
    ("Enter, right, l", "open a group: its partitions and members"),
    ("Esc, left, h", "all lines again; then back to the groups"),
    ("Tab", "partitions, or members, of an opened group"),
    ("s", "another order: status, lag, time lag, name, size"),
    ("r", "the order the other way round"),
    ("/", "only lines with this in name, state, type, client, host"),
    ("f", "only lines whose status is not OK"),
    ("Ctrl-L", "draw all anew"),
];

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, app: &App, now: i64) {
    let area = frame.area();
    let palette = Palette { has_colors: app.has_colors };
    let canvas = Canvas { buffer: frame.buffer_mut(), area, palette };
    let mut drawing = Drawing { canvas, app, now };
    if area.width < SMALLEST.width || area.height < SMALLEST.height {
        let Size { width, height } = SMALLEST;
        drawing.canvas.put(0, 0, area.width, &format!("too small: {width}x{height}"), Style::new());
        return;
    }
    drawing.all();
}

/// How many lines of a table a screen of this size has.
pub(super) fn rows(app: &App, size: Size) -> usize {
    // One of the lines has the titles.
    usize::from(size.height.saturating_sub(head(app, size) + 1 + FOOT))
}

/// How many lines are above the table.
fn head(app: &App, size: Size) -> u16 {
    let opened = match app.opened {
        Some(_) => 2 + chart(size.height),
        None => 0,
    };
    2 + notice(app, size.width).len() as u16 + opened
}

/// How many lines the chart has.
fn chart(height: u16) -> u16 {
    match height {
        0..20 => 0,
        20..30 => 3,
        30..40 => 5,
        _ => 8,
    }
}

/// What is wrong with the looks.
fn notice(app: &App, width: u16) -> Vec<String> {
    let lines = |text: &str| text::wrapped(text, usize::from(width), NOTICE);
    match (&app.failure, &app.wait, app.notes.as_slice()) {
        (Some(why), ..) => lines(&format!("no look: {why}")),
        (None, Some(what), _) => lines(&format!("waiting: {what}")),
        (None, None, []) => Vec::new(),
        (None, None, [note]) => lines(note),
        (None, None, [note, more @ ..]) => lines(&format!("(1 of {}) {note}", more.len() + 1)),
    }
}

struct Drawing<'a> {
    canvas: Canvas<'a>,
    app: &'a App,
    now: i64,
}

impl Drawing<'_> {
    fn all(&mut self) {
        let app = self.app;
        self.title();
        let mut y = 2;
        let style = if app.failure.is_some() { self.canvas.palette.color(Color::Red) } else { Style::new() };
        for line in notice(app, self.canvas.area.width) {
            self.canvas.put(0, y, self.canvas.area.width, &line, style);
            y += 1;
        }
        match &app.opened {
            None => {
                self.summary();
                let columns = columns::of_groups(self.canvas.area.width);
                self.table(y, &columns, &app.of_groups, &app.groups);
            }
            Some(details) => {
                self.group(details);
                y = self.details(y, details);
                match app.tab {
                    Tab::Partitions => {
                        let columns = columns::of_partitions(self.canvas.area.width);
                        self.table(y, &columns, &app.of_partitions, &details.partitions);
                    }
                    Tab::Members => {
                        let columns = columns::of_members(self.canvas.area.width);
                        self.table(y, &columns, &app.of_members, &details.members);
                    }
                }
            }
        }
        if app.has_help {
            self.help();
        }
    }

    fn title(&mut self) {
        let looked = match self.app.looked {
            Some(looked) => format!(
                "looked {} ago, in {}",
                text::time(Some(self.seconds_since(looked.at))),
                text::time(Some(looked.took.as_secs_f64())),
            ),
            None => "looking".to_owned(),
        };
        let room = self.canvas.right(0, &looked, Style::new());
        let x = self.canvas.put(0, 0, room, "ottla top", Style::new().add_modifier(Modifier::BOLD));
        self.canvas.put(x + 2, 0, room.saturating_sub(x + 2), &self.app.servers, Style::new());
    }

    fn summary(&mut self) {
        let app = self.app;
        let room = self.canvas.right(1, &app.of_groups.told::<GroupLine>(), Style::new());
        let mut x = self.canvas.put(0, 1, room, &plural(app.groups.len(), "group"), Style::new());
        let statuses = Status::ALL.iter().rev().map(|status| Some(*status)).chain([None]);
        for status in statuses {
            let count = app.groups.iter().filter(|group| group.pace.status == status).count();
            if count > 0 {
                let told = format!("{count} {}", status.map_or("not known", Status::name));
                x = self.canvas.put(
                    x + 2,
                    1,
                    room.saturating_sub(x + 2),
                    &told,
                    self.canvas.palette.of_status(status),
                );
            }
        }
    }

    /// The line of the opened group.
    fn group(&mut self, details: &Details) {
        let group = &details.group;
        let state = details.absent.unwrap_or(&group.state);
        let room = self.canvas.right(1, &format!("{} {}", group.kind, harmless(state)), Style::new());
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let x = self.canvas.put(0, 1, room, &group.name, bold);
        let status = group.pace.status.map_or("-", Status::name);
        let x = self.canvas.put(
            x + 2,
            1,
            room.saturating_sub(x + 2),
            status,
            self.canvas.palette.of_status(group.pace.status),
        );
        let reason = group.reason.as_deref().unwrap_or_default();
        self.canvas.put(x + 1, 1, room.saturating_sub(x + 1), reason, Style::new());
    }

    /// Its numbers, its chart, and which of its tables follows.
    fn details(&mut self, mut y: u16, details: &Details) -> u16 {
        let (group, width) = (&details.group, self.canvas.area.width);
        let mut told =
            format!("lag {}  time lag {}", text::count(group.pace.lag), text::time(group.pace.age));
        told.push_str(&format!("  {}", plural(usize::try_from(group.rebalances).unwrap_or(0), "rebalance")));
        if let Some(epoch) = details.epoch {
            told.push_str(&format!("  epoch {epoch}"));
        }
        if !details.assignor.is_empty() {
            told.push_str(&format!("  {}", details.assignor));
        }
        told.push_str(&format!("  coordinator {}", details.coordinator));
        self.canvas.put(0, y, width, &told, Style::new());
        y += 1;
        let height = chart(self.canvas.area.height);
        self.chart(Rect { x: 0, y, width, height }, &group.trend);
        y += height;
        let (is_first, pane) = match self.app.tab {
            Tab::Partitions => (true, self.app.of_partitions.told::<PartitionLine>()),
            Tab::Members => (false, self.app.of_members.told::<MemberLine>()),
        };
        let room = self.canvas.right(y, &pane, Style::new());
        let style = |is_shown| match is_shown {
            true => Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED),
            false => Style::new(),
        };
        let x = self.canvas.put(0, y, room, &plural(details.partitions.len(), "partition"), style(is_first));
        let members = plural(details.members.len(), "member");
        self.canvas.put(x + 2, y, room.saturating_sub(x + 2), &members, style(!is_first));
        y + 1
    }

    /// Lag over time, beside the largest that is seen.
    fn chart(&mut self, area: Rect, trend: &Trend) {
        const LABEL: u16 = 9;
        let room = area.width.saturating_sub(LABEL);
        let bars = text::bars(trend, usize::from(room), usize::from(area.height));
        let shown = trend.get(trend.len().saturating_sub(usize::from(room))..).unwrap_or_default();
        let max = text::count(Some(text::largest(shown) as i64));
        let style = self.canvas.palette.color(Color::Cyan);
        for (y, bar) in (area.y..).zip(bars) {
            if y == area.y {
                self.canvas.put_right(0, y, LABEL - 1, &max, Style::new());
            } else if y + 1 == area.bottom() {
                self.canvas.put_right(0, y, LABEL - 1, "0", Style::new());
            }
            self.canvas.put(LABEL, y, room, &bar, style);
        }
    }

    fn table<L: Line>(&mut self, y: u16, columns: &[Column], pane: &Pane, all: &[L]) {
        let (app, palette) = (self.app, self.canvas.palette);
        let lines = pane.lines(all);
        let chosen = pane.position(&lines);
        let rows = rows(app, self.canvas.area.as_size()).max(1);
        let first = chosen / rows * rows;
        let bold = Style::new().add_modifier(Modifier::BOLD);
        self.canvas.cells(y, columns, |column| (column.title.to_owned(), bold));
        let shown = lines.iter().enumerate().skip(first).take(rows);
        let mut last = first;
        for ((index, line), y) in shown.zip(y + 1..) {
            self.canvas.cells(y, columns, |column| {
                let text = line.field(column.field, usize::from(column.width));
                let style = match column.field {
                    Field::Status => palette.of_status(line.pace().status),
                    Field::Trend => palette.color(Color::Cyan),
                    _ => Style::new(),
                };
                (text, style)
            });
            if index == chosen {
                let turned = Style::new().add_modifier(Modifier::REVERSED);
                self.canvas.style(y, turned);
            }
            last = index + 1;
        }
        if lines.is_empty() {
            let why = match (app.looked, all.is_empty()) {
                (None, _) => "the first look is not over",
                (Some(_), true) => "none",
                (Some(_), false) => "none of these; Esc shows all",
            };
            self.canvas.put(0, y + 1, self.canvas.area.width, why, Style::new());
        }
        let place = match lines.len() {
            0 => String::new(),
            count => format!("{}-{last} of {count}", first + 1),
        };
        let reason = lines.get(chosen).map(|line| line.field(Field::Reason, 0)).unwrap_or_default();
        self.foot(pane, &reason, &place);
    }

    /// Why the chosen line is as it is; what has changed, or what is typed; which keys there are.
    fn foot(&mut self, pane: &Pane, reason: &str, place: &str) {
        let (app, width, y) =
            (self.app, self.canvas.area.width, self.canvas.area.bottom().saturating_sub(FOOT));
        self.canvas.put(0, y, width, reason, Style::new());
        let news = app.news.as_ref().filter(|(at, _)| self.now - at < FRESH);
        if app.is_typing || !pane.filter.is_empty() {
            let x = self.canvas.put(0, y + 1, width, "filter: ", Style::new());
            let x = self.canvas.put(x, y + 1, width.saturating_sub(x + 1), &pane.filter, Style::new());
            if app.is_typing {
                self.canvas.put(x, y + 1, 1, " ", Style::new().add_modifier(Modifier::REVERSED));
            }
        } else if let Some((at, what)) = news {
            let told = format!("{} ago  {what}", text::time(Some(self.seconds_since(*at))));
            self.canvas.put(0, y + 1, width, &told, Style::new());
        }
        let keys = match (app.is_typing, &app.opened, app.tab) {
            (true, ..) => KEYS_TYPING,
            (false, None, _) => KEYS,
            (false, Some(_), Tab::Partitions) => KEYS_PARTITIONS,
            (false, Some(_), Tab::Members) => KEYS_MEMBERS,
        };
        let room = self.canvas.right(y + 2, place, Style::new());
        self.canvas.put(0, y + 2, room, keys, Style::new().add_modifier(Modifier::DIM));
    }

    fn help(&mut self) {
        let empty = " ".repeat(usize::from(self.canvas.area.width));
        for y in 1..self.canvas.area.height {
            self.canvas.put(0, y, self.canvas.area.width, &empty, Style::reset());
        }
        for ((keys, what), y) in HELP.iter().zip(2..self.canvas.area.height) {
            self.canvas.put(2, y, 18, keys, Style::new().add_modifier(Modifier::BOLD));
            self.canvas.put(21, y, self.canvas.area.width.saturating_sub(21), what, Style::new());
        }
    }

    fn seconds_since(&self, at: i64) -> f64 {
        (self.now - at).max(0) as f64 / 1_000.0
    }
}

fn plural(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}
