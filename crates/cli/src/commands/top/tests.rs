//! Screens as they are drawn, and what keys do to them. Whole screens are compared with the files in `screens`.

use std::{path::Path, time::Duration};

use ratatui_core::{backend::TestBackend, layout::Size, style::Color, terminal::Terminal};
use ratatui_crossterm::crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use serde_json::json;

use super::{
    app::{Action, App, Looked, Tab},
    draw,
    model::{Details, GONE, GroupLine, MemberLine, Pace, PartitionLine},
    told,
};
use crate::history::Status;

const NOW: i64 = 1_000_000;
const SMALL: Size = Size { width: 80, height: 24 };
const LARGE: Size = Size { width: 200, height: 50 };

fn group(name: &str, status: Option<Status>, lag: i64) -> GroupLine {
    let reason = match status {
        Some(Status::Ok) => Some(Status::Ok.reason().to_owned()),
        other => other.map(|status| format!("orders-3 and 2 more: {}", status.reason())),
    };
    GroupLine {
        name: name.to_owned(),
        kind: "consumer",
        state: "Stable".to_owned(),
        pace: Pace { status, lag: Some(lag), age: Some(lag as f64 / 100.0) },
        reason,
        members: 3,
        partitions: 12,
        rebalances: 2,
        trend: (0..40).map(|look| Some((lag * look / 40) as f32)).collect(),
    }
}

fn app() -> App {
    App {
        servers: "kafka:9092".to_owned(),
        has_colors: true,
        looked: Some(Looked { at: NOW - 2_000, took: Duration::from_millis(1_500) }),
        groups: vec![
            group("billing", Some(Status::Ok), 0),
            group("mailing", Some(Status::Stall), 12_345_678),
            group("payments-with-a-long-name-of-a-team-and-a-service", None, 17),
            group("shipping", Some(Status::Warn), 4_211),
            GroupLine { pace: Pace::default(), trend: vec![None; 9], ..group("unknown", None, 0) },
        ],
        ..App::default()
    }
}

fn details() -> Details {
    let partition = |index: i64| PartitionLine {
        name: format!("orders-{index}"),
        pace: Pace {
            status: Some(if index == 3 { Status::Stall } else { Status::Ok }),
            lag: Some(index),
            age: Some(index as f64),
        },
        committed: Some(1_000 * index),
        end: Some(1_000 * index + index),
        reason: (index == 3).then(|| Status::Stall.reason()),
        owner: format!("worker-{}", index % 2),
        host: "/10.0.0.7".to_owned(),
        trend: (0..20).map(|look| Some((look * index) as f32)).collect(),
    };
    let member = |index: usize| MemberLine {
        id: format!("worker-{index}-3f2a8c1e-5b77-4d1c-9a55-1c0e2b7d9f00"),
        client: format!("worker-{index}"),
        host: "/10.0.0.7".to_owned(),
        pace: Pace { status: Some(Status::Ok), lag: Some(7), age: Some(2.5) },
        partitions: 3,
    };
    Details {
        group: group("mailing", Some(Status::Stall), 12_345_678),
        assignor: "uniform".to_owned(),
        epoch: Some(7),
        coordinator: 2,
        partitions: (0..6).map(partition).collect(),
        members: (0..2).map(member).collect(),
        absent: None,
    }
}

fn terminal(app: &App, size: Size) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(size.width, size.height)).unwrap();
    terminal.draw(|frame| draw::draw(frame, app, NOW)).unwrap();
    terminal
}

/// The lines of a screen, without what is empty at their ends. Of a wide letter only its first cell counts.
fn screen(app: &App, size: Size) -> String {
    let terminal = terminal(app, size);
    let buffer = terminal.backend().buffer();
    let mut text = String::new();
    for y in 0..size.height {
        let cells: String = (0..size.width).map(|x| buffer.cell((x, y)).unwrap().symbol()).collect();
        text.push_str(cells.trim_end());
        text.push('\n');
    }
    text
}

/// Compares a screen with its file, or writes that where `OTTLA_BLESS` says so.
fn same(name: &str, app: &App, size: Size) {
    let file = format!("{name}-{}x{}.txt", size.width, size.height);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/commands/top/screens").join(file);
    let drawn = screen(app, size);
    if std::env::var_os("OTTLA_BLESS").is_some() {
        std::fs::write(&path, &drawn).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(drawn == expected, "{}:\n{drawn}\nexpected:\n{expected}", path.display());
}

fn press(app: &mut App, keys: impl IntoIterator<Item = KeyCode>) -> Action {
    let mut action = Action::Draw;
    for code in keys {
        action = app.handle(&Event::Key(KeyEvent::new(code, KeyModifiers::NONE)), draw::rows(app, SMALL));
    }
    action
}

fn typed(app: &mut App, text: &str) -> Action {
    press(app, text.chars().map(KeyCode::Char))
}

/// The names of the lines that a screen has, in their order.
fn names(app: &App) -> Vec<String> {
    let screen = screen(app, LARGE);
    let lines = screen.lines().skip_while(|line| !line.starts_with("GROUP")).skip(1);
    let names = lines.map_while(|line| line.split_whitespace().next());
    names.map(str::to_owned).collect()
}

#[test]
fn screens_are_as_they_were_looked_at() {
    let mut app = app();
    app.tell(NOW - 5_000, "mailing: OK -> STALL: orders-3: commits do not move".to_owned());
    for size in [SMALL, LARGE] {
        same("groups", &app, size);
    }
    app.show(details());
    for size in [SMALL, LARGE] {
        same("partitions", &app, size);
    }
    press(&mut app, [KeyCode::Tab]);
    same("members", &app, SMALL);
    app.opened = None;
    typed(&mut app, "?");
    same("help", &app, SMALL);
}

#[test]
fn the_worst_group_is_first_and_s_and_r_have_another_order() {
    let mut app = app();
    let by_status =
        ["mailing", "shipping", "billing", "payments-with-a-long-name-of-a-team-and-a-service", "unknown"];
    let begins =
        |app: &App| -> Vec<String> { names(app).iter().map(|name| name.chars().take(7).collect()).collect() };
    let of = |names: [&str; 5]| -> Vec<String> {
        names.iter().map(|name| name.chars().take(7).collect()).collect()
    };
    assert_eq!(begins(&app), of(by_status));
    typed(&mut app, "s");
    assert_eq!(begins(&app), of(["mailing", "shipping", "payments", "billing", "unknown"]), "by lag");
    typed(&mut app, "r");
    assert_eq!(begins(&app), of(["unknown", "billing", "payments", "shipping", "mailing"]));
    assert!(screen(&app, SMALL).contains("by lag, reversed"));
    typed(&mut app, "rss");
    assert_eq!(begins(&app), of(["billing", "mailing", "payments", "shipping", "unknown"]), "by name");
}

#[test]
fn a_filter_leaves_lines_out_while_it_is_typed_and_esc_brings_them_back() {
    let mut app = app();
    typed(&mut app, "/ING");
    assert_eq!(names(&app), ["mailing", "shipping", "billing"]);
    assert!(screen(&app, SMALL).contains("filter: ING"));
    press(&mut app, [KeyCode::Backspace, KeyCode::Backspace, KeyCode::Backspace]);
    typed(&mut app, "no such");
    assert!(screen(&app, SMALL).contains("none of these; Esc shows all"));
    press(&mut app, [KeyCode::Esc]);
    assert_eq!(names(&app).len(), 5);
    typed(&mut app, "f");
    assert_eq!(names(&app), ["mailing", "shipping"], "those in trouble");
    press(&mut app, [KeyCode::Esc]);
    assert_eq!(names(&app).len(), 5);
    typed(&mut app, "/q");
    assert!(app.is_typing, "while a filter is typed a letter is a letter");
}

#[test]
fn the_chosen_group_stays_chosen_when_the_order_changes_and_enter_opens_it() {
    let mut app = app();
    press(&mut app, [KeyCode::Down]);
    assert_eq!(press(&mut app, [KeyCode::Enter]), Action::Open("shipping".to_owned()));
    app.groups[3].pace.status = Some(Status::Err);
    assert_eq!(names(&app)[0], "shipping");
    assert_eq!(press(&mut app, [KeyCode::Enter]), Action::Open("shipping".to_owned()));
    app.groups.remove(3);
    assert_eq!(press(&mut app, [KeyCode::Enter]), Action::Open("mailing".to_owned()), "the one at its place");
    assert_eq!(press(&mut app, [KeyCode::End, KeyCode::Enter]), Action::Open("unknown".to_owned()));
    assert_eq!(
        press(&mut app, [KeyCode::Home, KeyCode::Up, KeyCode::Enter]),
        Action::Open("mailing".to_owned())
    );
    app.groups.clear();
    assert_eq!(press(&mut app, [KeyCode::Down, KeyCode::Enter]), Action::Draw);
}

#[test]
fn an_opened_group_has_partitions_and_members_and_esc_leads_back() {
    let mut app = app();
    app.show(details());
    assert!(screen(&app, SMALL).contains("orders-3"));
    press(&mut app, [KeyCode::Tab]);
    assert_eq!(app.tab, Tab::Members);
    assert!(screen(&app, SMALL).contains("worker-1-3f2a"));
    typed(&mut app, "/worker-1");
    press(&mut app, [KeyCode::Enter]);
    assert!(!screen(&app, SMALL).contains("worker-0"));
    press(&mut app, [KeyCode::Esc]);
    assert!(app.opened.is_some() && screen(&app, SMALL).contains("worker-0"));
    press(&mut app, [KeyCode::Esc]);
    assert!(app.opened.is_none());
    app.show(Details { absent: Some(GONE), ..details() });
    assert!(screen(&app, SMALL).contains("gone: as it was last seen"));
}

#[test]
fn a_change_is_told_in_one_line_with_its_age() {
    for (kind, what, line) in [
        (
            "status",
            json!({"group": "g", "from": "OK", "to": "STALL", "reason": "t-0: why"}),
            Some("g: OK -> STALL: t-0: why"),
        ),
        ("status", json!({"group": "g", "from": null, "to": "OK", "reason": "why"}), Some("g: - -> OK: why")),
        ("rebalance", json!({"group": "g", "phase": "began"}), Some("g: a rebalance began")),
        (
            "rebalance",
            json!({"group": "g", "phase": "done", "members": 3, "joined": ["a"], "left": [], "moved": 4}),
            Some("g: rebalanced: 3 members, 1 joined, 0 left, 4 partitions moved"),
        ),
        ("group", json!({"group": "g", "change": "appeared"}), Some("g: appeared")),
        ("more", json!({"count": 7}), Some("7 more changes")),
        ("another", json!({}), None),
    ] {
        assert_eq!(told(kind, &what).as_deref(), line, "{kind}");
    }
    let mut app = app();
    app.tell(NOW - 61_000, "g: appeared".to_owned());
    assert!(!screen(&app, SMALL).contains("g: appeared"), "it is old");
    app.tell(NOW - 59_000, "h: gone".to_owned());
    assert!(screen(&app, SMALL).contains("59s ago  h: gone"));
}

#[test]
fn q_and_ctrl_c_end_it() {
    let ctrl = |c| Event::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL));
    let mut app = app();
    assert_eq!(typed(&mut app, "q"), Action::Quit);
    assert_eq!(app.handle(&ctrl('l'), 9), Action::Redraw);
    typed(&mut app, "/q");
    assert_eq!(app.handle(&ctrl('c'), 9), Action::Quit);
    assert_eq!(app.handle(&Event::Resize(9, 9), 9), Action::Draw);
}

#[test]
fn what_is_wrong_is_shown_and_what_was_seen_stays() {
    let mut app = app();
    app.failure = Some("no broker answers:\u{1b}[2J kafka:9092".to_owned());
    let drawn = screen(&app, SMALL);
    assert!(drawn.contains("no look: no broker answers:\\u{1b}[2J kafka:9092"), "{drawn}");
    assert!(drawn.contains("looked 2.0s ago") && drawn.contains("mailing"), "{drawn}");
    app.failure = None;
    app.wait = Some("a broker that answers".to_owned());
    assert!(screen(&app, SMALL).contains("waiting: a broker that answers"));
    app.wait = None;
    app.notes = vec!["one".to_owned(), "two".to_owned(), "three".to_owned()];
    assert!(screen(&app, SMALL).contains("(1 of 3) one"));
    let nothing = screen(&App { failure: Some("refused".to_owned()), ..App::default() }, SMALL);
    assert!(nothing.contains("the first look is not over") && nothing.contains("refused"), "{nothing}");
}

#[test]
fn names_of_others_stay_in_their_column() {
    let mut app = app();
    let names =
        ["a\u{1b}[2Jb", "user\u{202e}gpj", "日本語の長い長い長い長い長いグループの名前です", "e\u{301}tage"];
    app.groups = names.map(|name| group(name, Some(Status::Ok), 1)).into();
    for size in [Size { width: 40, height: 12 }, SMALL, LARGE] {
        let terminal = terminal(&app, size);
        let buffer = terminal.backend().buffer();
        let symbols = || buffer.content().iter().map(|cell| cell.symbol());
        assert!(symbols().all(|symbol| !symbol.contains(|c: char| c.is_control() || c == '\u{202e}')));
        let at = |y: u16, word: &str| {
            let row: Vec<&str> = (0..size.width).map(|x| buffer.cell((x, y)).unwrap().symbol()).collect();
            (0..row.len()).find(|x| row[*x..].concat().starts_with(word))
        };
        let title = at(2, "STATUS").unwrap();
        for y in 3..7 {
            assert_eq!(at(y, "OK"), Some(title), "{size:?}, line {y}");
        }
    }
    assert!(screen(&app, SMALL).contains("a\\u{1b}[2Jb") && screen(&app, SMALL).contains("user\\u{202e}gpj"));
}

#[test]
fn without_colors_no_cell_has_one_and_with_them_the_status_has() {
    let colored = |app: &App| {
        let terminal = terminal(app, SMALL);
        terminal.backend().buffer().content().iter().filter(|cell| cell.fg != Color::Reset).count()
    };
    let mut app = app();
    assert!(colored(&app) > 0);
    app.has_colors = false;
    assert_eq!(colored(&app), 0);
    app.show(details());
    assert_eq!(colored(&app), 0);
}

#[test]
fn the_page_in_docs_has_each_key_of_the_help() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/top.md")).unwrap();
    let page = page.replace('`', "");
    for (keys, _) in draw::HELP {
        assert!(page.contains(&format!("| {keys} |")), "{keys} is not in docs/top.md");
    }
}

#[test]
fn a_screen_of_any_size_is_drawn() {
    let mut apps = [app(), app(), App::default()];
    apps[1].show(details());
    for app in &mut apps {
        for has_help in [false, true] {
            app.has_help = has_help;
            for (width, height) in
                (1..=220).step_by(13).flat_map(|width| (1..60).step_by(7).map(move |height| (width, height)))
            {
                screen(app, Size { width, height });
            }
        }
    }
    assert!(screen(&app(), Size { width: 39, height: 24 }).contains("too small: 40x12"));
}

#[test]
fn of_many_groups_the_page_of_the_chosen_one_is_shown() {
    let mut app = App { looked: app().looked, ..App::default() };
    app.groups = (0..1_000).map(|n| group(&format!("g-{n:04}"), Some(Status::Ok), 0)).collect();
    let rows = draw::rows(&app, SMALL);
    assert_eq!(rows, 18);
    assert!(screen(&app, SMALL).contains("1-18 of 1000"));
    press(&mut app, [KeyCode::PageDown]);
    assert!(screen(&app, SMALL).contains("19-36 of 1000") && screen(&app, SMALL).contains("g-0018"));
    press(&mut app, [KeyCode::End]);
    assert!(screen(&app, SMALL).contains("991-1000 of 1000"));
    app.groups.truncate(5);
    assert!(screen(&app, SMALL).contains("1-5 of 5"));
}
