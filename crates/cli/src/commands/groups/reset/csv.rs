//! The file that `--export` writes and `--from-file` reads, which is that of Kafka's own tool: `topic,partition,offset`, or with the
//! group before it.

use std::collections::BTreeMap;

use ottla::TopicPartition;

/// Of each group, the offset of each partition.
pub(super) type Plans = BTreeMap<String, BTreeMap<TopicPartition, i64>>;

/// One line for each.
pub(super) fn write(plans: &Plans, with_group: bool) -> String {
    let mut text = String::new();
    for (group, offsets) in plans {
        for (at, offset) in offsets {
            if with_group {
                text.push_str(&quoted(group));
                text.push(',');
            }
            text.push_str(&format!("{},{},{offset}\n", at.topic, at.partition));
        }
    }
    text
}

/// A name of topics has none of these, but groups may be called anything.
fn quoted(name: &str) -> String {
    match name.contains([',', '"', '\n', '\r']) || name.trim() != name {
        true => format!("\"{}\"", name.replace('"', "\"\"")),
        false => name.to_owned(),
    }
}

/// The offsets that a text has for these groups. Rows of three columns are for the only one; others count where they name one
/// of them.
pub(super) fn read(text: &str, groups: &[String]) -> Result<Plans, String> {
    let mut plans: Plans = groups.iter().map(|group| (group.clone(), BTreeMap::new())).collect();
    let only = groups.first().filter(|_| plans.len() == 1);
    for Row { line, columns } in rows(text)? {
        let wrong = |why: &str| format!("line {line}: {why}: {}", columns.join(","));
        let (group, topic, partition, offset) = match (columns.as_slice(), only) {
            ([topic, partition, offset], Some(only)) => (only, topic, partition, offset),
            ([_, _, _], None) => return Err(wrong("of several groups each line begins with one")),
            ([group, topic, partition, offset], _) => (group, topic, partition, offset),
            _ => return Err(wrong("expected TOPIC,PARTITION,OFFSET or GROUP,TOPIC,PARTITION,OFFSET")),
        };
        let partition = partition.parse().ok().filter(|partition: &i32| *partition >= 0);
        let partition = partition.ok_or_else(|| wrong("its partition is no number"))?;
        let offset = offset.parse().map_err(|_| wrong("its offset is no number"))?;
        let Some(plan) = plans.get_mut(group) else { continue };
        if plan.insert(TopicPartition::new(topic.as_str(), partition), offset).is_some() {
            return Err(wrong("the partition stands there twice"));
        }
    }
    Ok(plans)
}

#[derive(Debug)]
struct Row {
    /// On which line of the text it begins.
    line: usize,
    columns: Vec<String>,
}

/// Rows that are not empty. What is quoted may have commas and line breaks in it (RFC 4180): Kafka's tool writes those breaks, too,
/// and cannot read them. Blanks belong to what they stand in.
fn rows(text: &str) -> Result<Vec<Row>, String> {
    let (mut rows, mut columns, mut column) = (Vec::new(), Vec::new(), String::new());
    let (mut line, mut begin, mut is_quoted) = (1, 1, false);
    let mut letters = text.chars().chain(['\n']).peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if is_quoted && letters.peek() == Some(&'"') => column.extend(letters.next()),
            '"' if is_quoted || column.is_empty() => is_quoted = !is_quoted,
            '\r' if !is_quoted && letters.peek() == Some(&'\n') => {}
            ',' if !is_quoted => columns.push(std::mem::take(&mut column)),
            '\n' if !is_quoted => {
                if !(columns.is_empty() && column.is_empty()) {
                    columns.push(std::mem::take(&mut column));
                    rows.push(Row { line: begin, columns: std::mem::take(&mut columns) });
                }
                begin = line + 1;
            }
            letter => column.push(letter),
        }
        line += usize::from(letter == '\n');
    }
    match is_quoted {
        true => Err(format!("line {begin}: a quote has no end")),
        false => Ok(rows),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_is_written_reads_the_same() {
        for names in [&["g"][..], &["a", "with, \"quotes\""], &["a", "two\nlines", "\r", "\r\n", "\"", " "]] {
            let offsets = BTreeMap::from([(("t", 0).into(), 5), (("t", 10).into(), -1)]);
            let plans: Plans = groups(names).into_iter().map(|name| (name, offsets.clone())).collect();
            let with_group = names.len() > 1;
            assert_eq!(read(&write(&plans, with_group), &groups(names)), Ok(plans));
        }
        let one = Plans::from([("g".to_owned(), BTreeMap::from([(("t", 0).into(), 5)]))]);
        assert_eq!(write(&one, false), "t,0,5\n");
        assert_eq!(read("t,0,5", &groups(&["g", "g"])), Ok(one));
    }

    #[test]
    fn a_line_may_end_as_on_any_system_and_is_counted_also_within_quotes() {
        let read = |text: &str| read(text, &groups(&["a\nb", "c"]));
        let expected = BTreeMap::from([(("t", 0).into(), 1)]);
        let plans = read("\"a\nb\",t,0,1\r\nc,t,0,1").unwrap();
        assert_eq!((&plans["a\nb"], &plans["c"]), (&expected, &expected));
        assert!(read("\"a\nb\",t,0,1\nc,t,x,1\n").unwrap_err().starts_with("line 3: its partition"));
        assert!(read("c,t,0,1\n\"a\nb,t,0,1\n").unwrap_err().starts_with("line 2: a quote has no end"));
    }

    #[test]
    fn lines_of_other_groups_and_empty_ones_do_not_count() {
        let read = read("\n\"g\",\"t\",0,7\nother,t,0,8\n\n", &groups(&["g"])).unwrap();
        assert_eq!(read["g"], BTreeMap::from([(("t", 0).into(), 7)]));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_line() {
        for (text, names) in [
            ("topic,partition,offset", &["g"][..]),
            ("t,0", &["g"]),
            ("t,0,", &["g"]),
            ("t,-1,5", &["g"]),
            ("t,0,5\nt,0,6", &["g"]),
            ("t,0,5", &["g", "h"]),
            ("\"t,0,5", &["g"]),
            ("a,b,0,1,2", &["g"]),
        ] {
            let error = read(text, &groups(names)).unwrap_err();
            assert!(error.starts_with("line "), "{text}: {error}");
        }
    }
}
