//! The file that `--export` writes and `--from-file` reads, which is that of Kafka's own tool: `topic,partition,offset`, or with the
//! group before it.

use std::collections::BTreeMap;

use ottla::TopicPartition;

/// Of each group, the offset of each partition.
pub(super) type Plans = BTreeMap<String, BTreeMap<TopicPartition, i64>>;

/// One line for each. Of one group the name is left out.
pub(super) fn write(plans: &Plans) -> String {
    let with_group = plans.len() > 1;
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

/// The offsets that a text has for these groups. Lines of three columns are for the only one; others count where they name one
/// of them.
pub(super) fn read(text: &str, groups: &[String]) -> Result<Plans, String> {
    let mut plans: Plans = groups.iter().map(|group| (group.clone(), BTreeMap::new())).collect();
    for (number, line) in text.lines().enumerate() {
        if line.is_empty() {
            continue;
        }
        let wrong = |why: &str| format!("line {}: {why}: {line}", number + 1);
        let columns = columns(line).ok_or_else(|| wrong("a quote has no end"))?;
        let (group, topic, partition, offset) = match (columns.as_slice(), groups) {
            ([topic, partition, offset], [only]) => (only, topic, partition, offset),
            ([_, _, _], _) => return Err(wrong("of several groups each line begins with one")),
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

/// Quotes are taken; blanks belong to what they stand in.
fn columns(line: &str) -> Option<Vec<String>> {
    let (mut columns, mut column) = (Vec::new(), String::new());
    let mut letters = line.chars().peekable();
    let mut is_quoted = false;
    while let Some(letter) = letters.next() {
        match letter {
            '"' if is_quoted && letters.peek() == Some(&'"') => column.extend(letters.next()),
            '"' if is_quoted || column.is_empty() => is_quoted = !is_quoted,
            ',' if !is_quoted => columns.push(std::mem::take(&mut column)),
            letter => column.push(letter),
        }
    }
    columns.push(column);
    (!is_quoted).then_some(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_is_written_reads_the_same() {
        for names in [&["g"][..], &["a", "with, \"quotes\""]] {
            let offsets = BTreeMap::from([(("t", 0).into(), 5), (("t", 10).into(), -1)]);
            let plans: Plans = groups(names).into_iter().map(|name| (name, offsets.clone())).collect();
            assert_eq!(read(&write(&plans), &groups(names)), Ok(plans));
        }
        let one = Plans::from([("g".to_owned(), BTreeMap::from([(("t", 0).into(), 5)]))]);
        assert_eq!(write(&one), "t,0,5\n");
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
