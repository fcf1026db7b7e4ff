//! `ottla process`: what a handler is given, and what follows from what it does.

use std::{collections::BTreeMap, fmt::Write as _, process::Command};

use crate::{
    group::committed,
    support::{Broker, Done, File, Lines, Process, numbers, rows, until},
};

/// `ottla process t -G g`.
fn process(args: &[&str]) -> Vec<String> {
    ["process", "t", "-G", "g"].iter().chain(args).map(ToString::to_string).collect()
}

/// Runs until all that was there is done, then stops it.
fn run(broker: &Broker, args: &[&str]) -> Done {
    let args = process(args);
    let running = broker.start_command(&args.iter().map(String::as_str).collect::<Vec<_>>());
    until_done(broker);
    running.terminate();
    running.wait()
}

fn until_done(broker: &Broker) {
    until("all is committed", || {
        let groups = broker.run(&["groups", "list"]).ok();
        let is_there = groups.lines().any(|line| line.starts_with("g "));
        let partitions = if is_there { committed(broker, "g") } else { Vec::new() };
        let is_done = partitions.iter().all(|(current, end)| *current.max(&0) == *end);
        (!partitions.is_empty() && is_done).then_some(())
    });
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

/// The dead letters' topic, a JSON object a record.
fn letters(broker: &Broker, topic: &str) -> Vec<serde_json::Value> {
    rows(&broker.run(&["consume", topic, "-e", "-J"]).ok())
}

/// The value of a header of a record in JSON.
fn header<'r>(record: &'r serde_json::Value, name: &str) -> Option<&'r str> {
    let headers = record["headers"].as_array()?;
    headers.chunks(2).find(|pair| pair[0] == name).and_then(|pair| pair[1].as_str())
}

#[test]
fn a_handler_has_the_value_on_its_stdin_and_the_rest_in_its_environment() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t", "-K", ":", "-H", "a=1", "-H", "b=x y"], "k:one\n").ok();
    broker.produce(&["t"], "two\n").ok();
    let exec = r#"printf '%s|' "$OTTLA_TOPIC" "$OTTLA_PARTITION" "$OTTLA_OFFSET" "${OTTLA_KEY-none}" \
        "$OTTLA_ATTEMPT" "$OTTLA_HEADERS" "$OTTLA_GROUP" "${OTTLA_NULL-}"; test "$OTTLA_TIMESTAMP" -gt 0; cat; echo"#;
    let done = run(&broker, &["--exec", exec]);
    let expected = "t|0|0|k|1|[\"a\",\"1\",\"b\",\"x y\"]|g||one\nt|0|1|none|1|[]|g||two\n";
    assert_eq!(done.ok(), expected);
}

#[test]
fn a_key_that_no_environment_can_hold_is_in_base64() {
    let broker = Broker::start(&["t:1"]);
    let mut producing =
        Process::start(broker.command(&["produce", "t", "-K", ":"]).stdin(std::process::Stdio::piped()));
    producing.feed(b"\xff\xfe:1\na\0b:2\n\xc3\xa9:3\n");
    producing.wait().ok();
    let exec = r#"echo "$(cat) ${OTTLA_KEY-none} ${OTTLA_KEY_BASE64-none}""#;
    let done = run(&broker, &["--exec", exec]);
    assert_eq!(done.ok(), "1 none //4=\n2 none YQBi\n3 é none\n");
}

#[test]
fn a_tombstone_is_told_from_an_empty_value() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t", "-Z"], "\n").ok();
    broker.produce(&["t"], "\n").ok();
    let done = run(&broker, &["--exec", r#"cat; echo "${OTTLA_NULL-empty}""#]);
    assert_eq!(done.ok(), "1\nempty\n");
}

#[test]
fn what_fails_is_tried_again_and_then_goes_to_the_dead_letters_with_what_it_said() {
    let broker = Broker::start(&["t:2"]);
    broker.produce(&["t"], &numbers(0..10)).ok();
    let exec = r#"read -r n; echo "$n"; if [ "$n" = 3 ]; then echo first >&2; echo "no $n" >&2; exit 7; fi"#;
    let done =
        run(&broker, &["--exec", exec, "--retries", "2", "--dead-letter", "dead", "--order", "unordered"]);
    assert!(done.stderr.contains("no 3\n"), "it is passed on: {done:?}");
    let out = done.ok();
    let count = |n: &str| out.lines().filter(|line| *line == n).count();
    assert_eq!((count("3"), count("4"), out.lines().count()), (3, 1, 12));
    let letters = letters(&broker, "dead");
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!(letters[0]["payload"], "3");
    assert_eq!(header(&letters[0], "__dlq.errors.topic"), Some("t"));
    assert_eq!(header(&letters[0], "__dlq.errors.delivery.count"), Some("3"));
    assert_eq!(header(&letters[0], "__dlq.errors.message"), Some("exit status 7: first\nno 3"));
}

#[test]
fn status_65_says_that_no_attempt_can_succeed() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], "bad\n").ok();
    run(&broker, &["--exec", "exit 65", "--retries", "1000", "--dead-letter", "dead"]).ok();
    let letters = letters(&broker, "dead");
    assert_eq!(header(&letters[0], "__dlq.errors.delivery.count"), Some("1"));
    assert_eq!(header(&letters[0], "__dlq.errors.message"), Some("exit status 65"));
}

#[test]
fn without_dead_letters_a_record_that_cannot_be_handled_ends_it_uncommitted() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], &numbers(0..3)).ok();
    let exec = r#"read -r n; [ "$n" = 1 ] && { echo broken >&2; exit 1; }; echo "$n""#;
    let done = broker.run(&["process", "t", "-G", "g", "--exec", exec, "--retries", "1"]);
    assert_eq!((done.status, done.stdout.as_str()), (Some(1), "0\n"), "{done:?}");
    let last = done.stderr.lines().last().unwrap();
    for part in ["t-0", "offset 1", "attempt 2", "exit status 1: broken"] {
        assert!(last.contains(part), "{part}: {last}");
    }
    assert_eq!(committed(&broker, "g"), [(1, 3)]);
}

#[test]
fn a_record_waits_in_a_retry_topic_and_comes_again() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], "x\n").ok();
    let exec = r#"echo "$OTTLA_TOPIC"; [ "$OTTLA_TOPIC" != t ]"#;
    let done = run(&broker, &["--exec", exec, "--retries", "0", "--retry-topic", "200ms"]);
    assert_eq!(done.ok(), "t\nt-retry-200\n");
}

#[test]
fn later_records_of_a_key_follow_one_to_its_retry_topic_where_that_is_asked_for() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t", "-K", ":"], "a:1\na:2\nb:3\n").ok();
    let exec = r#"v=$(cat); [ "$OTTLA_TOPIC" != t ] || [ "$v" != 1 ] || exit 1; echo "$OTTLA_TOPIC $v""#;
    let args = ["--exec", exec, "--order", "key", "--retries", "0", "--retry-topic", "200ms"];
    let out = run(&broker, &[&args[..], &["--retry-order", "held"]].concat()).ok();
    let of_a: Vec<&str> = out.lines().filter(|line| !line.ends_with('3')).collect();
    assert_eq!(of_a, ["t-retry-200 1", "t-retry-200 2"]);
    assert!(out.contains("t 3\n"), "{out}");
}

#[test]
fn records_of_a_key_are_handled_in_order_and_others_beside_them() {
    let broker = Broker::start(&["t:2"]);
    let lines = (0..120).fold(String::new(), |mut lines, n| {
        writeln!(lines, "k{}:{n}", n % 6).unwrap();
        lines
    });
    broker.produce(&["t", "-K", ":"], &lines).ok();
    let exec = r#"n=$(cat); echo "$OTTLA_KEY begin $n"; sleep 0.0$((n % 3)); echo "$OTTLA_KEY end $n""#;
    let out = run(&broker, &["--exec", exec, "--order", "key", "--concurrency", "6"]).ok();
    let mut of_keys: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut at_once = (0, 0);
    for (key, what) in out.lines().map(|line| line.split_once(' ').unwrap()) {
        of_keys.entry(key).or_default().push(what);
        at_once.0 += if what.starts_with("begin") { 1 } else { -1 };
        at_once.1 = at_once.1.max(at_once.0);
    }
    for (place, key) in ["k0", "k1", "k2", "k3", "k4", "k5"].into_iter().enumerate() {
        let expected = (0..20).flat_map(|n| {
            let n = n * 6 + place;
            [format!("begin {n}"), format!("end {n}")]
        });
        assert_eq!(of_keys[key], expected.collect::<Vec<_>>(), "{key}");
    }
    assert!((2..=6).contains(&at_once.1), "{} at once", at_once.1);
}

#[test]
fn a_handler_that_does_not_read_its_input_has_not_failed() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], &format!("{}\n", "x".repeat(500_000))).ok();
    let done = run(&broker, &["--exec", "echo fine", "--retries", "0"]);
    assert_eq!(done.ok(), "fine\n");
}

#[test]
fn floods_of_output_stay_whole_lines() {
    let broker = Broker::start(&["t:4"]);
    for partition in ["0", "1", "2", "3"] {
        broker.produce(&["t", "-p", partition], "x\n").ok();
    }
    // 4 x 3,000 lines of about 1 KB, of which the last lacks its end.
    let exec = r#"awk -v p="$OTTLA_PARTITION" 'BEGIN { s = sprintf("%1000s", ""); gsub(/ /, p, s);
        for (i = 0; i < 2999; i++) print s; printf "%s", s }'"#;
    let args = process(&["--exec", exec]);
    let mut running = broker.start_command(&args.iter().map(String::as_str).collect::<Vec<_>>());
    // Read as it comes: a pipe that nobody reads holds handlers up, and nothing is committed.
    let lines = Lines::of(&mut running).take(12_000);
    until_done(&broker);
    running.terminate();
    running.wait().ok();
    for partition in ["0", "1", "2", "3"] {
        let line = partition.repeat(1000);
        assert_eq!(lines.iter().filter(|it| **it == line).count(), 3_000, "{partition}");
    }
}

#[test]
fn what_it_writes_becomes_a_record_of_the_same_key() {
    let broker = Broker::start(&["t:1", "out:1"]);
    broker.produce(&["t", "-K", ":"], "a:one\nb:none\nc:three\n").ok();
    let exec = r#"read -r v; [ "$v" = none ] || printf '%s!' "$v""#;
    let done = run(&broker, &["--exec", exec, "--to", "out"]);
    assert_eq!(done.ok(), "", "nothing of it is printed");
    let out = broker.run(&["consume", "out", "-e", "-f", "%k=%s\n"]).ok();
    assert_eq!(out, "a=one!\nc=three!\n");
}

#[test]
fn what_a_failed_attempt_wrote_becomes_no_record_nor_does_more_than_one_may_have() {
    let broker = Broker::start(&["t:1", "out:1"]);
    broker.produce(&["t"], "again\nlarge\n").ok();
    let exec = r#"read -r v; if [ "$v" = large ]; then head -c 2000000 /dev/zero; else
        printf '%s' "$OTTLA_ATTEMPT"; [ "$OTTLA_ATTEMPT" = 2 ]; fi"#;
    run(&broker, &["--exec", exec, "--to", "out", "--retries", "1", "--dead-letter", "dead"]).ok();
    assert_eq!(broker.run(&["consume", "out", "-e"]).ok(), "2\n");
    let letters = letters(&broker, "dead");
    assert!(header(&letters[0], "__dlq.errors.message").unwrap().contains("max.request.size"), "{letters:?}");
}

#[test]
fn the_output_of_a_topic_that_is_not_there_is_refused_at_once() {
    let broker = Broker::start(&["t:1"]);
    let done = broker.run(&["process", "t", "-G", "g", "--exec", "cat", "--to", "nope"]);
    assert!(done.failed(1).contains("topic `nope`"));
}

#[test]
fn a_new_group_begins_at_the_beginning_unless_it_is_told_otherwise() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], "old\n").ok();
    let args = process(&["--exec", "cat", "-o", "end"]);
    let mut running = broker.start_command(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let lines = Lines::of(&mut running);
    let seen = until("a record behind the end", || {
        broker.produce(&["t"], "new\n").ok();
        lines.soon()
    });
    assert_eq!(seen, "new");
}

#[test]
fn handlers_are_in_any_language() {
    let python = File::new(
        "handler.py",
        "import json, os, sys\n\
         value = json.load(sys.stdin)\n\
         headers = json.loads(os.environ['OTTLA_HEADERS'])\n\
         if value['n'] == 1: sys.exit('python refuses')\n\
         print('python', os.environ['OTTLA_KEY'], value['n'], headers)\n",
    );
    let node = File::new(
        "handler.js",
        "const value = JSON.parse(require('fs').readFileSync(0));\n\
         const headers = JSON.parse(process.env.OTTLA_HEADERS);\n\
         if (value.n === 1) throw new Error('node refuses');\n\
         console.log('node', process.env.OTTLA_KEY, value.n, headers.join());\n",
    );
    for (language, file, says) in [("python3", &python, "python refuses"), ("node", &node, "node refuses")] {
        if Command::new(language).arg("--version").output().is_err() {
            eprintln!("ignored: {language} is not on the PATH");
            continue;
        }
        let broker = Broker::start(&["t:1"]);
        broker.produce(&["t", "-K", ":", "-H", "h=v"], "k:{\"n\":0}\nk:{\"n\":1}\nk:{\"n\":2}\n").ok();
        let exec = format!("exec {language} {}", file.path());
        let out = run(&broker, &["--exec", &exec, "--retries", "0", "--dead-letter", "dead"]).ok();
        let expected = match language {
            "node" => ["node k 0 h,v", "node k 2 h,v"],
            _ => ["python k 0 ['h', 'v']", "python k 2 ['h', 'v']"],
        };
        assert_eq!(sorted(&out), expected);
        let letters = letters(&broker, "dead");
        let message = header(&letters[0], "__dlq.errors.message").unwrap();
        assert!(message.starts_with("exit status 1: ") && message.contains(says), "{message}");
    }
}
