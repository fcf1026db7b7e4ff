//! Which partitions: `TOPIC`, or `TOPIC:0,2`.

use std::collections::BTreeSet;

use ottla::{Admin, TopicPartition};

use crate::{
    commands::topics::each,
    failure::{Failure, Failures},
};

/// A topic, or some partitions of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scope {
    topic: String,
    /// All where there are none.
    partitions: BTreeSet<i32>,
}

impl Scope {
    pub(super) fn parse_all(texts: &[String]) -> Result<Vec<Self>, Failure> {
        texts.iter().map(|text| Self::parse(text)).collect()
    }

    /// All of a topic.
    pub(super) fn of_topic(name: &str) -> Self {
        Self { topic: name.to_owned(), partitions: BTreeSet::new() }
    }

    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let Some((topic, list)) = text.split_once(':') else {
            return Ok(Self::of_topic(text));
        };
        let number = |number: &str| number.trim().parse().ok().filter(|number: &i32| *number >= 0);
        let partitions: Option<BTreeSet<i32>> = list.split(',').map(number).collect();
        match partitions {
            Some(partitions) => Ok(Self { topic: topic.to_owned(), partitions }),
            None => {
                Err(Failure::usage(format!("-t {text}: expected TOPIC or TOPIC:P,P..., as in orders:0,2")))
            }
        }
    }

    /// All of them, which must be there.
    pub(super) async fn partitions(
        scopes: &[Self],
        admin: &Admin,
    ) -> Result<BTreeSet<TopicPartition>, Failure> {
        let names: BTreeSet<&str> = scopes.iter().map(|scope| scope.topic.as_str()).collect();
        let topics = each(admin.describe_topics(names).await?)?;
        let (mut all, mut failures) = (BTreeSet::new(), Failures::default());
        for scope in scopes {
            let Some(topic) = topics.get(&scope.topic) else { continue };
            let at = |number: &i32| TopicPartition::new(scope.topic.as_str(), *number);
            match scope.partitions.is_empty() {
                true => all.extend(topic.partitions.keys().map(at)),
                false => all.extend(scope.partitions.iter().map(at)),
            }
            for number in scope.partitions.iter().filter(|number| !topic.partitions.contains_key(number)) {
                let count = topic.partitions.len();
                let what =
                    format!("partition {}: there is none, of {count}; `ottla topics describe`", at(number));
                failures.add(Failure::failed(what));
            }
        }
        failures.end().map(|()| all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_stands_for_all_of_its_partitions_unless_some_are_named() {
        let parse = |text: &str| Scope::parse(text).map(|scope| (scope.topic, scope.partitions)).ok();
        assert_eq!(parse("t"), Some(("t".to_owned(), BTreeSet::new())));
        assert_eq!(parse("t:2,0"), Some(("t".to_owned(), BTreeSet::from([0, 2]))));
        for wrong in ["t:", "t:a", "t:-1", "t:0,", "t:0:1"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
