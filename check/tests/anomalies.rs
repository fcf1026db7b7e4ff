//! Each anomaly in a history by hand, and beside it one that is nearly the same, and legal.

#![expect(clippy::panic, reason = "a test's helpers")]

use ottla_check::{History, Kind, Report, judge};

fn judged(lines: &str) -> Report {
    let mut history = History::default();
    history.read("h", lines.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
    judge(&history).unwrap_or_else(|error| panic!("{error}"))
}

/// Exactly these kinds are found, and each with lines that prove it.
#[track_caller]
fn finds(kinds: &[Kind], lines: &str) -> Report {
    let report = judged(lines);
    let found: Vec<Kind> = report.anomalies.iter().map(|anomaly| anomaly.kind).collect();
    assert_eq!(found, kinds, "{report}");
    assert!(report.anomalies.iter().all(|anomaly| !anomaly.evidence.is_empty()), "{report}");
    report
}

#[track_caller]
fn clean(lines: &str) {
    let report = judged(lines);
    assert!(report.is_clean(), "{report}");
}

/// Writer `w` has a, b, c and d acknowledged at the offsets 0 to 3 of partition 0.
const WRITTEN: &str = r#"
{"process":"w","at":1,"op":"send","partition":0,"value":"a","outcome":"ok","offset":0}
{"process":"w","at":2,"op":"send","partition":0,"value":"b","outcome":"ok","offset":1}
{"process":"w","at":3,"op":"send","partition":0,"value":"c","outcome":"ok","offset":2}
{"process":"w","at":4,"op":"send","partition":0,"value":"d","outcome":"ok","offset":3}
"#;

fn after_written(lines: &str) -> String {
    format!("{WRITTEN}{lines}")
}

/// What `r`, in no group, is handed of partition 0, a poll a record, and reads to the end at `to`.
fn read_to(isolation: &str, to: i64, records: &[(i64, &str)]) -> String {
    let mut lines = format!(
        r#"
{{"process":"r","at":1000,"op":"start","isolation":"{isolation}"}}
{{"process":"r","at":1001,"op":"assign","partitions":[{{"partition":0}}]}}
"#
    );
    for (offset, value) in records {
        lines += &format!(
            "{{\"process\":\"r\",\"at\":1002,\"op\":\"poll\",\"records\":[{{\"partition\":0,\"offset\":{offset},\"value\":\"{value}\"}}]}}\n"
        );
    }
    lines
        + &format!(
            "{{\"process\":\"r\",\"at\":1003,\"op\":\"final\",\"partition\":0,\"from\":0,\"to\":{to}}}\n"
        )
}

const ALL: &[(i64, &str)] = &[(0, "a"), (1, "b"), (2, "c"), (3, "d")];

#[test]
fn an_acknowledged_record_that_all_went_past_is_lost() {
    let report = finds(
        &[Kind::Lost],
        &after_written(&read_to("read_uncommitted", 4, &[(0, "a"), (1, "b"), (3, "d")])),
    );
    assert_eq!(
        (report.anomalies[0].offsets.as_slice(), report.anomalies[0].values[0].as_str()),
        (&[2][..], "c")
    );
    clean(&after_written(&read_to("read_uncommitted", 4, ALL)));
}

#[test]
fn a_record_that_was_sent_in_vain_perhaps_is_not_lost() {
    let unknown = WRITTEN.replace(r#""c","outcome":"ok","offset":2"#, r#""c","outcome":"unknown""#);
    clean(&(unknown.clone() + &read_to("read_uncommitted", 4, &[(0, "a"), (1, "b"), (3, "d")])));
    clean(&(unknown + &read_to("read_uncommitted", 4, ALL)));
}

#[test]
fn an_acknowledged_record_behind_the_end_of_the_log_is_lost_unless_it_came_during_the_read() {
    let short = read_to("read_uncommitted", 3, &[(0, "a"), (1, "b"), (2, "c")]);
    finds(&[Kind::Lost], &after_written(&short));
    let late = r#""at":4,"done":1002,"op":"send","partition":0,"value":"d""#;
    clean(&(WRITTEN.replace(r#""at":4,"op":"send","partition":0,"value":"d""#, late) + &short));
    // Records of others may wait for a transaction to end.
    clean(&after_written(&short.replace("read_uncommitted", "read_committed")));
}

#[test]
fn a_record_that_was_read_and_is_gone_is_lost() {
    let read = r#"
{"process":"g","at":10,"op":"poll","records":[{"partition":0,"offset":2,"value":"c"},{"partition":0,"offset":3,"value":"d"}]}
"#;
    let unknown = WRITTEN.replace(r#""c","outcome":"ok","offset":2"#, r#""c","outcome":"unknown""#);
    let gone = read_to("read_uncommitted", 4, &[(0, "a"), (1, "b"), (3, "d")]);
    finds(&[Kind::Lost], &(unknown.clone() + read + &gone));
    clean(&(unknown + read + &read_to("read_uncommitted", 4, ALL)));
}

#[test]
fn a_record_acknowledged_without_an_offset_is_to_be_somewhere() {
    let sent = r#"{"process":"w","at":9,"op":"send","partition":0,"value":"e","outcome":"ok"}"#;
    finds(&[Kind::Lost], &(after_written(sent) + &read_to("read_uncommitted", 4, ALL)));
    let with_it: Vec<_> = ALL.iter().copied().chain([(4, "e")]).collect();
    clean(&(after_written(sent) + &read_to("read_uncommitted", 5, &with_it)));
}

#[test]
fn what_was_trimmed_or_compacted_away_is_not_lost() {
    let late = read_to("read_uncommitted", 4, &[(2, "c"), (3, "d")]).replace(r#""from":0"#, r#""from":2"#);
    finds(&[Kind::Lost, Kind::Lost], &after_written(&late));
    let trimmed = r#"{"process":"admin","at":9,"op":"trimmed","partition":0,"offset":2}"#;
    clean(&(after_written(trimmed) + &late));

    let gap = read_to("read_uncommitted", 4, &[(1, "b"), (2, "c"), (3, "d")]);
    let compacted = "{\"process\":\"admin\",\"at\":0,\"op\":\"topic\",\"compacted\":true}\n";
    let keyed = |of_b: &str| {
        let written = WRITTEN.replace(r#""value":"a""#, r#""value":"a","key":"k""#);
        compacted.to_owned()
            + &written.replace(r#""value":"b""#, &format!(r#""value":"b","key":"{of_b}""#))
            + &gap
    };
    clean(&keyed("k"));
    finds(&[Kind::Lost], &keyed("another"));
}

#[test]
fn one_value_at_two_offsets_is_a_duplicate_of_an_idempotent_producer_alone() {
    let twice: Vec<_> = ALL.iter().copied().chain([(4, "b")]).collect();
    let lines = after_written(&read_to("read_uncommitted", 5, &twice));
    finds(&[Kind::Duplicate], &lines);
    clean(&(r#"{"process":"w","at":0,"op":"start","idempotent":false}"#.to_owned() + &lines));
    // A send that timed out is in the log once, or not at all.
    let unknown = r#"{"process":"w","at":9,"op":"send","partition":0,"value":"e","outcome":"unknown"}"#;
    let with = |more: &[(i64, &str)]| {
        let all: Vec<_> = ALL.iter().chain(more).copied().collect();
        after_written(unknown) + &read_to("read_uncommitted", 8, &all)
    };
    clean(&with(&[(5, "e")]));
    finds(&[Kind::Duplicate], &with(&[(5, "e"), (7, "e")]));
}

#[test]
fn two_values_at_one_offset_are_inconsistent() {
    let sent = r#"{"process":"v","at":9,"op":"send","partition":0,"value":"e","outcome":"ok","offset":3}"#;
    finds(&[Kind::InconsistentOffset], &after_written(sent));
    // What was overwritten is lost, too.
    let read = read_to("read_uncommitted", 4, &[(0, "a"), (1, "b"), (2, "c"), (3, "e")]);
    finds(&[Kind::Lost, Kind::InconsistentOffset], &(after_written(sent) + &read));
    clean(&after_written(&sent.replace(r#""partition":0"#, r#""partition":1"#)));
}

#[test]
fn a_value_that_nobody_sent_is_told() {
    let with = |value| {
        let all: Vec<_> = ALL.iter().copied().chain([(4, value)]).collect();
        let unknown = r#"{"process":"v","at":9,"op":"send","value":"e","outcome":"unknown"}"#;
        after_written(unknown) + &read_to("read_uncommitted", 5, &all)
    };
    finds(&[Kind::NeverSent], &with("x"));
    clean(&with("e"));
}

#[test]
fn a_process_that_goes_past_what_others_read_skips() {
    let other = read_to("read_uncommitted", 4, ALL);
    let jump = |between: &str| {
        let polls = [(0, "a"), (3, "d")].map(|(offset, value)| {
            format!(
                "{{\"process\":\"g\",\"at\":{},\"op\":\"poll\",\"records\":[{{\"partition\":0,\"offset\":{offset},\"value\":\"{value}\"}}]}}\n",
                10 + offset
            )
        });
        after_written(&format!("{}{between}\n{}{other}", polls[0], polls[1]))
    };
    let report = finds(&[Kind::PollSkip], &jump(""));
    assert_eq!(report.anomalies[0].offsets, [1, 2]);
    clean(&jump(r#"{"process":"g","at":11,"op":"seek","partition":0,"offset":3}"#));
    clean(&jump(r#"{"process":"g","at":11,"op":"seek","partition":0}"#));
    finds(&[Kind::PollSkip], &jump(r#"{"process":"g","at":11,"op":"seek","partition":0,"offset":2}"#));
    clean(&jump(r#"{"process":"g","at":11,"op":"assign","partitions":[{"partition":0}]}"#));
    clean(&jump(r#"{"process":"g","at":11,"op":"start"}"#));
}

#[test]
fn control_batches_are_gaps_that_nobody_skips() {
    let gaps = WRITTEN.replace(r#""offset":3"#, r#""offset":5"#).replace(r#""offset":2"#, r#""offset":3"#);
    clean(&(gaps + &read_to("read_committed", 7, &[(0, "a"), (1, "b"), (3, "c"), (5, "d")])));
}

#[test]
fn a_position_that_goes_back_by_itself_is_told() {
    let back = |between: &str| {
        after_written(&format!(
            r#"
{{"process":"g","at":10,"op":"poll","records":[{{"partition":0,"offset":0,"value":"a"}},{{"partition":0,"offset":1,"value":"b"}}]}}
{between}
{{"process":"g","at":12,"op":"poll","records":[{{"partition":0,"offset":1,"value":"b"}},{{"partition":0,"offset":2,"value":"c"}}]}}
"#
        ))
    };
    finds(&[Kind::NonMonotonicPoll], &back(""));
    clean(&back(r#"{"process":"g","at":11,"op":"seek","partition":0,"offset":1}"#));
    clean(&back(r#"{"process":"g","at":11,"op":"start"}"#));
    finds(
        &[Kind::NonMonotonicPoll],
        &back(r#"{"process":"g","at":11,"op":"seek","partition":0,"offset":2}"#),
    );
}

/// `g1` reads a and b in generation 1 and commits 2; then `g2` is assigned the partition in generation 2, and is handed this.
fn handover(commit: &str, first: (i64, &str)) -> String {
    let (offset, value) = first;
    after_written(&format!(
        r#"
{{"process":"g1","at":10,"op":"start","group":"g","reset":"earliest"}}
{{"process":"g2","at":10,"op":"start","group":"g","reset":"earliest"}}
{{"process":"g1","at":11,"op":"assign","partitions":[{{"partition":0}}],"generation":1}}
{{"process":"g1","at":12,"op":"poll","records":[{{"partition":0,"offset":0,"value":"a"}},{{"partition":0,"offset":1,"value":"b"}}]}}
{commit}
{{"process":"g2","at":20,"op":"assign","partitions":[{{"partition":0}}],"generation":2}}
{{"process":"g2","at":30,"op":"poll","records":[{{"partition":0,"offset":{offset},"value":"{value}"}}]}}
"#
    ))
}

const COMMIT: &str = r#"
{"process":"g1","at":13,"op":"commit","id":1,"offsets":[{"partition":0,"offset":2}],"generation":1,"outcome":"unknown"}
{"process":"g1","at":13,"done":15,"op":"commit","id":1,"offsets":[{"partition":0,"offset":2}],"generation":1,"outcome":"ok"}
"#;

#[test]
fn what_was_committed_before_an_assignment_is_not_handed_out_after_it() {
    finds(&[Kind::RepeatAfterCommit], &handover(COMMIT, (1, "b")));
    clean(&handover(COMMIT, (2, "c")));
    // Not known to be done when the assignment came.
    clean(&handover(&COMMIT.replace(r#""done":15"#, r#""done":25"#), (1, "b")));
    clean(&handover(&COMMIT.replace(r#""outcome":"ok""#, r#""outcome":"unknown""#), (1, "b")));
    clean(&handover(&COMMIT.replace(r#""outcome":"ok""#, r#""outcome":"failed""#), (0, "a")));
}

#[test]
fn a_member_begins_where_the_group_has_committed_and_skips_nothing() {
    let read = read_to("read_uncommitted", 4, ALL);
    finds(&[Kind::SkipAfterRebalance], &(handover(COMMIT, (3, "d")) + &read));
    clean(&(handover(COMMIT, (2, "c")) + &read));
    // With nothing committed it begins where the policy says.
    finds(&[Kind::SkipAfterRebalance], &(handover("", (2, "c")) + &read));
    clean(&(handover("", (2, "c")).replace("earliest", "latest") + &read));
    // A commit that may be done may be where it began.
    let more = r#"{"process":"g1","at":16,"op":"commit","offsets":[{"partition":0,"offset":3}],"generation":1,"outcome":"unknown"}"#;
    clean(&(handover(&format!("{COMMIT}{more}"), (3, "d")) + &read));
}

#[test]
fn a_partition_that_comes_back_may_go_on_where_it_was() {
    let back = r#"
{"process":"g","at":10,"op":"start","group":"g","reset":"earliest"}
{"process":"g","at":11,"op":"assign","partitions":[{"partition":0}]}
{"process":"g","at":12,"op":"poll","records":[{"partition":0,"offset":0,"value":"a"},{"partition":0,"offset":1,"value":"b"}]}
{"process":"g","at":13,"op":"revoke","partitions":[{"partition":0}]}
{"process":"g","at":14,"op":"assign","partitions":[{"partition":0}]}
{"process":"g","at":15,"op":"poll","records":[{"partition":0,"offset":2,"value":"c"}]}
"#;
    clean(&after_written(back));
    clean(&after_written(&back.replace(r#""offset":2,"value":"c""#, r#""offset":0,"value":"a""#)));
}

#[test]
fn an_offset_that_falls_without_a_seek_is_told() {
    let with = |between: &str| {
        handover(COMMIT, (2, "c"))
            + between
            + r#"
{"process":"g2","at":41,"op":"commit","offsets":[{"partition":0,"offset":4}],"generation":2,"outcome":"ok"}
{"process":"g2","at":43,"op":"commit","offsets":[{"partition":0,"offset":3}],"generation":2,"outcome":"ok"}
"#
    };
    finds(&[Kind::CommitRegression], &with(""));
    let lines = with("");
    clean(&lines.replace(r#""offset":3}],"generation":2"#, r#""offset":4}],"generation":2"#));
    let seek = r#"{"process":"g2","at":42,"op":"seek","partition":0,"offset":2}"#;
    clean(
        &lines
            .replace("\n{\"process\":\"g2\",\"at\":43", &format!("\n{seek}\n{{\"process\":\"g2\",\"at\":43")),
    );
}

#[test]
fn a_commit_of_an_older_generation_or_of_a_second_owner_is_told() {
    let commits = |process: &str, generation: i32| {
        handover(COMMIT, (2, "c"))
            + &format!(
                r#"
{{"process":"g2","at":41,"op":"commit","offsets":[{{"partition":0,"offset":4}}],"generation":2,"outcome":"ok"}}
{{"process":"{process}","at":43,"op":"commit","offsets":[{{"partition":0,"offset":2}}],"generation":{generation},"outcome":"ok"}}
"#
            )
    };
    finds(&[Kind::CommitRegression], &commits("g1", 1));
    finds(&[Kind::CommitRegression], &commits("g1", 2));
    let refused =
        r#""at":43,"op":"commit","offsets":[{"partition":0,"offset":2}],"generation":1,"outcome":"failed""#;
    clean(&commits("g1", 1).replace(&refused.replace("failed", "ok"), refused));
}

#[test]
fn a_committed_offset_that_was_fetched_is_what_was_committed() {
    let fetched = |offset: i64| {
        handover(COMMIT, (2, "c")).replace(
            "{\"process\":\"g2\",\"at\":30",
            &format!(
                "{{\"process\":\"g2\",\"at\":21,\"op\":\"fetched\",\"offsets\":[{{\"partition\":0,\"offset\":{offset}}}]}}\n{{\"process\":\"g2\",\"at\":30"
            ),
        )
    };
    clean(&fetched(2));
    let from_the_start = fetched(0).replace(
        r#""at":30,"op":"poll","records":[{"partition":0,"offset":2,"value":"c""#,
        r#""at":30,"op":"poll","records":[{"partition":0,"offset":0,"value":"a""#,
    );
    finds(&[Kind::CommitRegression], &from_the_start);
}

/// `w` sends x to partition 0 and y to partition 1 in transaction `t`, which ends so; then `r` is handed these.
fn transaction(end: &str, poll_at: u64, records: &[(i32, &str)]) -> String {
    let mut lines = format!(
        r#"
{{"process":"r","at":1,"op":"start","isolation":"read_committed"}}
{{"process":"r","at":2,"op":"assign","partitions":[{{"partition":0}},{{"partition":1}}]}}
{{"process":"w","at":1,"op":"begin","txn":"t"}}
{{"process":"w","at":2,"op":"send","partition":0,"value":"x","txn":"t","outcome":"ok","offset":0}}
{{"process":"w","at":3,"op":"send","partition":1,"value":"y","txn":"t","outcome":"ok","offset":0}}
{end}
"#
    );
    for (partition, value) in records {
        lines += &format!(
            "{{\"process\":\"r\",\"at\":{poll_at},\"op\":\"poll\",\"records\":[{{\"partition\":{partition},\"offset\":0,\"value\":\"{value}\"}}]}}\n"
        );
    }
    lines
}

const FINAL: &str = r#"
{"process":"r","at":50,"op":"final","partition":0,"from":0,"to":2}
{"process":"r","at":50,"op":"final","partition":1,"from":0,"to":2}
"#;

fn end(decision: &str, outcome: &str) -> String {
    format!(
        r#"{{"process":"w","at":10,"done":20,"op":"end","txn":"t","decision":"{decision}","outcome":"{outcome}"}}"#
    )
}

#[test]
fn what_was_aborted_is_not_read() {
    let aborted = transaction(&end("abort", "ok"), 30, &[(0, "x")]);
    finds(&[Kind::AbortedRead], &aborted);
    clean(&aborted.replace("read_committed", "read_uncommitted"));
    finds(&[Kind::AbortedRead], &transaction(&end("commit", "failed"), 30, &[(0, "x")]));
    clean(&transaction(&end("commit", "ok"), 30, &[(0, "x")]));
    clean(&(transaction(&end("abort", "ok"), 30, &[]) + FINAL));
}

#[test]
fn a_value_whose_send_failed_is_not_read() {
    let failed = WRITTEN.replace(r#""c","outcome":"ok","offset":2"#, r#""c","outcome":"failed""#);
    finds(&[Kind::AbortedRead], &(failed.clone() + &read_to("read_uncommitted", 4, ALL)));
    clean(&(failed + &read_to("read_uncommitted", 4, &[(0, "a"), (1, "b"), (3, "d")])));
}

#[test]
fn nothing_of_a_transaction_is_read_before_its_commit_is_asked_for() {
    finds(&[Kind::DirtyRead], &transaction(&end("commit", "ok"), 9, &[(0, "x")]));
    clean(&transaction(&end("commit", "ok"), 11, &[(0, "x")]));
    finds(&[Kind::DirtyRead], &transaction("", 30, &[(0, "x")]));
    clean(&transaction("", 30, &[(0, "x")]).replace("read_committed", "read_uncommitted"));
}

#[test]
fn a_transaction_is_read_as_a_whole() {
    for outcome in ["ok", "unknown"] {
        let report =
            finds(&[Kind::TornTransaction], &(transaction(&end("commit", outcome), 30, &[(0, "x")]) + FINAL));
        assert_eq!(report.anomalies[0].values, ["y"]);
        clean(&(transaction(&end("commit", outcome), 30, &[(0, "x"), (1, "y")]) + FINAL));
    }
    // A commit that timed out may have come to nothing.
    clean(&(transaction(&end("commit", "unknown"), 30, &[]) + FINAL));
    finds(&[Kind::Lost, Kind::Lost], &(transaction(&end("commit", "ok"), 30, &[]) + FINAL));
    // Its marker may not have come to the other partition yet.
    let short = FINAL.replace(r#""partition":1,"from":0,"to":2"#, r#""partition":1,"from":0,"to":0"#);
    clean(&(transaction(&end("commit", "ok"), 30, &[(0, "x")]) + &short));
}

/// Two inputs, a and b, of group `g`; each is transformed in a transaction that ends so.
fn transformed(first: &str, second: &str, of_second: i64, to: i64) -> String {
    format!(
        r#"
{{"process":"w","at":1,"op":"send","topic":"in","partition":0,"value":"a","outcome":"ok","offset":0}}
{{"process":"w","at":2,"op":"send","topic":"in","partition":0,"value":"b","outcome":"ok","offset":1}}
{{"process":"p","at":3,"op":"begin","txn":"1"}}
{{"process":"p","at":4,"op":"send","topic":"out","partition":0,"value":"A1","txn":"1","outcome":"ok","offset":0,"from":{{"topic":"in","partition":0,"offset":0}}}}
{{"process":"p","at":5,"op":"end","txn":"1","decision":"{first}","outcome":"ok","group":"g","offsets":[{{"topic":"in","partition":0,"offset":1}}]}}
{{"process":"q","at":6,"op":"begin","txn":"2"}}
{{"process":"q","at":7,"op":"send","topic":"out","partition":0,"value":"A2","txn":"2","outcome":"ok","offset":2,"from":{{"topic":"in","partition":0,"offset":{of_second}}}}}
{{"process":"q","at":8,"op":"end","txn":"2","decision":"{second}","outcome":"ok","group":"g","offsets":[{{"topic":"in","partition":0,"offset":{to}}}]}}
"#
    )
}

#[test]
fn each_input_has_its_output_in_one_committed_transaction() {
    finds(&[Kind::ExactlyOnce], &transformed("commit", "commit", 0, 1));
    clean(&transformed("abort", "commit", 0, 1));
    clean(&transformed("commit", "commit", 1, 2));
    // Committed up to 2, and the output of offset 1 is missing.
    finds(&[Kind::ExactlyOnce], &transformed("abort", "commit", 0, 2));
}

#[test]
fn a_bad_line_is_told_with_its_number_and_what_is_wrong() {
    for (line, says) in [
        ("nonsense", "not JSON"),
        ("[1]", "not a JSON object"),
        (r#"{"at":1,"op":"stop"}"#, "`process` is missing"),
        (r#"{"process":"p","op":"stop"}"#, "`at` is missing"),
        (r#"{"process":"p","at":-1,"op":"stop"}"#, "`at` is not a number"),
        (r#"{"process":"p","at":2,"done":1,"op":"stop"}"#, "`done` is before `at`"),
        (r#"{"process":"p","at":1,"op":"halt"}"#, "unknown variant `halt`"),
        (r#"{"process":"p","at":1,"op":"stop","why":1}"#, "unknown field `why`"),
        (
            r#"{"process":"p","at":1,"op":"send","value":"a","outcome":"ok","offset":1}"#,
            "`offset` without `partition`",
        ),
    ] {
        let mut history = History::default();
        let lines = format!("# a comment\n\n{line}\n");
        let error = history.read("h.jsonl", lines.as_bytes()).unwrap_err();
        let told = error.to_string();
        assert!(told.starts_with("h.jsonl:3: ") && told.contains(says), "{told}");
        assert_eq!(error.line(), 3);
    }
}

#[test]
fn a_last_line_that_was_cut_off_is_passed_over() {
    let mut history = History::default();
    let cut = format!("{}{}", WRITTEN.trim_start(), r#"{"process":"w","at":5,"op":"se"#);
    history.read("h", cut.as_bytes()).unwrap();
    assert_eq!(history.len(), 4);
}

#[test]
fn a_history_that_contradicts_itself_is_refused() {
    for (lines, says) in [
        (
            r#"{"process":"v","at":5,"op":"send","partition":0,"value":"a","outcome":"ok","offset":7}"#,
            "`a` was sent before, in line 2",
        ),
        (
            "{\"process\":\"v\",\"at\":5,\"op\":\"begin\",\"txn\":\"t\"}\n{\"process\":\"v\",\"at\":5,\"op\":\"begin\",\"txn\":\"t\"}",
            "begins again",
        ),
    ] {
        let mut history = History::default();
        history.read("h", after_written(lines).as_bytes()).unwrap();
        let told = judge(&history).unwrap_err().to_string();
        assert!(told.contains(says), "{told}");
    }
}

#[test]
fn the_page_has_each_anomaly_and_examples_that_are_read() {
    let page = include_str!("../../docs/checker.md");
    for kind in Kind::ALL {
        assert!(page.contains(&format!("| `{kind}` |")), "{kind}");
    }
    let example =
        page.split_once("```json\n").and_then(|(_, rest)| rest.split_once("```")).map(|(lines, _)| lines);
    let report = judged(example.unwrap_or_default());
    assert!(report.is_clean() && report.counts.operations == 9, "{report}");
}
