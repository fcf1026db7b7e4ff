//! `ottla top` on a pseudo-terminal: what a person would see.

use std::{net::TcpListener, process::Command};

use crate::{
    groups::commit,
    support::{Broker, Lines, numbers, run, until},
    terminal::Terminal,
};

const KEYS: &str = "Enter open  / filter  s sort  f trouble  ? help  q quit";

fn start(servers: &str, columns: u16, lines: u16, args: &[&str]) -> Terminal {
    with(servers, columns, lines, args, |command| command)
}

fn with(
    servers: &str,
    columns: u16,
    lines: u16,
    args: &[&str],
    more: impl FnOnce(&mut Command) -> &mut Command,
) -> Terminal {
    Terminal::start(columns, lines, env!("CARGO_BIN_EXE_ottla"), |command| {
        more(command.arg("top").args(args).env("OTTLA_BOOTSTRAP_SERVERS", servers))
    })
}

/// Two groups: one that has read all, and one of which one look tells no status.
fn broker() -> Broker {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], &numbers(0..10)).ok();
    commit(&broker, "behind", "4");
    commit(&broker, "done", "10");
    broker
}

/// A screen but for its first line: a summary, the table with its titles, why the chosen group is as it is, and keys.
fn screen(columns: usize, lines: usize, rows: [String; 3]) -> Vec<String> {
    let ends = |left: &str, right: &str| format!("{left:<width$}{right}", width = columns - right.len());
    let mut screen = vec![ends("2 groups  1 OK  1 not known", "by status")];
    screen.extend(rows.map(|row| row.trim_end().to_owned()));
    screen.resize(lines - 4, String::new());
    screen.extend(["it keeps up".to_owned(), String::new(), ends(KEYS, "1-2 of 2")]);
    screen
}

#[test]
fn groups_are_shown_in_80x24() {
    let broker = broker();
    let mut terminal = start(&broker.servers, 80, 24, &["--interval", "1h"]);
    terminal.shows(&["looked", "1-2 of 2"]);
    let lines = terminal.lines();
    assert!(lines[0].starts_with(&format!("ottla top  {} ", broker.servers)), "{lines:?}");
    let row = |cells: [&str; 7]| {
        let [name, status, lag, age, members, partitions, trend] = cells;
        format!("{name:<24} {status:<6} {lag:>9} {age:>8} {members:>7} {partitions:>5} {trend}")
    };
    let rows = [
        row(["GROUP", "STATUS", "LAG", "TIME-LAG", "MEMBERS", "PARTS", "LAG OVER TIME"]),
        row(["done", "OK", "0", "0s", "0", "1", "▁"]),
        row(["behind", "-", "6", "-", "0", "1", "█"]),
    ];
    assert_eq!(lines[1..], screen(80, 24, rows));
    assert!(terminal.has_colors());
    terminal.press("j\r");
    let opened = terminal.shows(&["behind", "t-0", "1 partition  0 members", "coordinator"]);
    assert!(opened.contains("classic Empty"), "{opened}");
    terminal.press("\x1b");
    terminal.shows(&["2 groups"]);
    terminal.press("q");
    terminal.wait().ok();
}

#[test]
fn in_200x50_there_is_more_and_a_screen_that_is_resized_is_drawn_anew() {
    let broker = broker();
    let mut terminal = start(&broker.servers, 200, 50, &["--interval", "1h"]);
    terminal.shows(&["looked", "1-2 of 2"]);
    let row = |cells: [&str; 9]| {
        let [name, status, state, lag, age, members, partitions, trend, reason] = cells;
        let begin =
            format!("{name:<46} {status:<6} {state:<19} {lag:>9} {age:>8} {members:>7} {partitions:>5}");
        format!("{begin} {trend:<27} {reason}")
    };
    let titles =
        ["GROUP", "STATUS", "STATE", "LAG", "TIME-LAG", "MEMBERS", "PARTS", "LAG OVER TIME", "REASON"];
    let rows = [
        row(titles),
        row(["done", "OK", "Empty", "0", "0s", "0", "1", "▁", "it keeps up"]),
        row(["behind", "-", "Empty", "6", "-", "0", "1", "█", ""]),
    ];
    let large = screen(200, 50, rows);
    assert_eq!(terminal.lines()[1..], large);
    terminal.resize(80, 24);
    let small = until("the small screen", || {
        Some(terminal.lines()).filter(|lines| lines[23] == format!("{KEYS:<72}1-2 of 2"))
    });
    assert!(small.len() == 24 && !small.concat().contains("REASON"), "{small:?}");
    terminal.resize(30, 24);
    terminal.shows(&["too small: 40x12"]);
    terminal.resize(200, 50);
    until("the large screen again", || (terminal.lines()[1..] == large).then_some(()));
    terminal.press("q");
    terminal.wait().ok();
}

#[test]
fn a_group_is_followed_as_it_reads_and_as_it_stalls() {
    let broker = broker();
    let mut terminal = start(&broker.servers, 80, 24, &["behind", "--interval", "100ms"]);
    terminal.shows(&["1 STOP", "behind", "t-0: no commit moves, and nobody has the partition"]);
    let args = ["consume", "t", "-G", "behind", "-X", "enable.auto.commit=false"];
    let mut reader = broker.start_command(&args);
    Lines::of(&mut reader).take(6);
    terminal.shows(&["1 STALL", "ago  behind: "]);
    terminal.press("\r\t");
    terminal.shows(&["1 partition  1 member ", "CLIENT", "MEMBER"]);
    reader.terminate();
    reader.wait();
    terminal.shows(&["0 members"]);
    commit(&broker, "behind", "10");
    terminal.press("\x1b");
    terminal.shows(&["1 OK"]);
    terminal.press("q");
    terminal.wait().ok();
}

#[test]
fn ctrl_c_and_sigterm_end_it_and_the_terminal_is_as_it_was() {
    let broker = broker();
    let mut terminal = start(&broker.servers, 80, 24, &[]);
    terminal.shows(&["1-2 of 2"]);
    terminal.press("/behind\x03");
    terminal.wait().ok();
    let mut terminal = start(&broker.servers, 80, 24, &[]);
    terminal.shows(&["1-2 of 2"]);
    // What a key sends, but for its end.
    terminal.press("?\x1b[");
    terminal.shows(&["Ctrl-L"]);
    terminal.process.terminate();
    terminal.wait().ok();
}

#[test]
fn without_a_broker_it_says_so_keeps_what_it_saw_and_goes_on() {
    let broker = broker();
    let args = ["--interval", "100ms", "-X", "default.api.timeout.ms=300"];
    let mut terminal = start(&broker.servers, 80, 24, &args);
    terminal.shows(&["2 groups", "behind"]);
    broker.kill();
    terminal.shows(&["no look: ", "2 groups", "behind"]);
    terminal.press("?");
    terminal.shows(&["Ctrl-L"]);
    terminal.press("q");
    terminal.wait().ok();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut terminal = start(&format!("127.0.0.1:{port}"), 80, 24, &args);
    terminal.shows(&["no look: ", "refused", "the first look is not over"]);
    terminal.press("q");
    terminal.wait().ok();
}

#[test]
fn names_do_nothing_to_the_terminal() {
    let broker = broker();
    commit(&broker, "a\u{1b}[2J\u{1b}]0;title\u{7}b", "1");
    commit(&broker, "gnp\u{202e}.exe", "2");
    let mut terminal = start(&broker.servers, 200, 50, &[]);
    terminal.shows(&["a\\u{1b}[2J\\u{1b}]0;title\\u{7}b", "gnp\\u{202e}.exe", "4 groups", KEYS]);
    terminal.press("/gnp\r\r");
    terminal.shows(&["gnp\\u{202e}.exe", "1 partition"]);
    terminal.press("q");
    terminal.wait().ok();
}

#[test]
fn no_color_has_none() {
    let broker = broker();
    let mut terminal = with(&broker.servers, 80, 24, &[], |command| command.env("NO_COLOR", "1"));
    terminal.shows(&["1 OK", "1-2 of 2"]);
    assert!(!terminal.has_colors());
    terminal.press("q");
    terminal.wait().ok();
}

#[test]
fn what_is_no_terminal_is_refused_and_says_what_to_do() {
    let refused = run(&["top"]).failed(2);
    assert!(refused.contains("terminal") && refused.contains("`ottla lag --watch`"), "{refused}");
    let refused = run(&["top", "--output", "json"]).failed(2);
    assert!(refused.contains("--output json"), "{refused}");
    run(&["top", "--interval", "0s"]).failed(2);
    let broker = Broker::start(&[]);
    let terminal = start(&broker.servers, 80, 24, &["-v"]);
    terminal.shows(&["2>ottla.log"]);
    assert_eq!(terminal.wait().status, Some(2));
    let terminal = with(&broker.servers, 80, 24, &[], |command| command.env("TERM", "dumb"));
    terminal.shows(&["TERM=dumb"]);
    assert_eq!(terminal.wait().status, Some(2));
}
