//! What to say about a property that no setter took: the client's own, Kafka's, another client's, or nobody's.

use super::{admin, common, consumer, not_yet, producer, property::Property, sasl, security, ssl};
use crate::error::{BuildError, BuildErrorKind, Details as _};

/// The properties of one kind of client.
pub(super) struct Known {
    supported: &'static [&'static [Property]],
    not_yet: &'static [&'static [&'static str]],
}

/// A consumer's.
pub(super) const CONSUMER: Known = Known {
    supported: &[
        common::PROPERTIES,
        security::PROPERTIES,
        ssl::PROPERTIES,
        sasl::PROPERTIES,
        consumer::PROPERTIES,
    ],
    not_yet: &[not_yet::SHARED, not_yet::CONSUMER],
};

/// A producer's.
pub(super) const PRODUCER: Known = Known {
    supported: &[
        common::PROPERTIES,
        security::PROPERTIES,
        ssl::PROPERTIES,
        sasl::PROPERTIES,
        producer::PROPERTIES,
    ],
    not_yet: &[not_yet::SHARED, not_yet::PRODUCER],
};

/// An admin client's.
pub(super) const ADMIN: Known = Known {
    supported: &[
        common::PROPERTIES,
        security::PROPERTIES,
        ssl::PROPERTIES,
        sasl::PROPERTIES,
        admin::PROPERTIES,
    ],
    not_yet: &[not_yet::SHARED, not_yet::ADMIN],
};

/// Properties that are not supported yet, but for the value that names what is done anyway.
pub(super) const FIXED: &[(&str, &str)] = &[
    ("client.dns.lookup", "use_all_dns_ips"),
    ("enable.metrics.push", "false"),
    ("metadata.recovery.strategy", "rebootstrap"),
];

/// Properties that name classes of Java's, and what takes their place.
const INSTEAD: &[(&str, &str)] =
    &[("interceptor.classes", "`interceptor(..)` of the builder takes one that is written in Rust")];

/// Names that librdkafka has for what Kafka calls otherwise (its `CONFIGURATION.md`, 2.10).
const LIBRDKAFKAS: &[(&str, &str)] = &[
    ("auto.commit.enable", "enable.auto.commit"),
    ("batch.num.messages", "batch.size"),
    ("compression.codec", "compression.type"),
    ("fetch.message.max.bytes", "max.partition.fetch.bytes"),
    ("fetch.wait.max.ms", "fetch.max.wait.ms"),
    ("max.in.flight", "max.in.flight.requests.per.connection"),
    ("message.max.bytes", "max.request.size"),
    ("message.send.max.retries", "retries"),
    ("message.timeout.ms", "delivery.timeout.ms"),
    ("metadata.broker.list", "bootstrap.servers"),
    ("queue.buffering.max.kbytes", "buffer.memory"),
    ("queue.buffering.max.ms", "linger.ms"),
    ("queued.max.messages.kbytes", "ottla.buffer.memory"),
    ("request.required.acks", "acks"),
    ("socket.timeout.ms", "request.timeout.ms"),
    ("topic.metadata.refresh.interval.ms", "metadata.max.age.ms"),
];

impl Known {
    /// A property that no setter took, unless its value is what is done anyway.
    pub(super) fn refuse(&self, key: &str, value: &str) -> Result<(), BuildError> {
        if contain(self.not_yet, key) {
            return refuse_known(key, value.trim());
        }
        let error = BuildError::new(BuildErrorKind::UnknownProperty).property(key);
        let others = [("a consumer's", CONSUMER), ("a producer's", PRODUCER), ("an admin client's", ADMIN)];
        if let Some((whose, _)) = others.iter().find(|(_, other)| other.knows(key)) {
            let error = BuildError::new(BuildErrorKind::ForeignProperty).property(key);
            return Err(error.detail(format!("it is {whose}")));
        }
        if let Some((_, kafkas)) = LIBRDKAFKAS.iter().find(|(theirs, _)| *theirs == key) {
            return Err(error.detail(format!("librdkafka calls it so; Kafka's name is `{kafkas}`")));
        }
        Err(match self.nearest(key) {
            Some(nearest) => error.detail(format!("did you mean `{nearest}`?")),
            None => error,
        })
    }

    /// Whether it is one of this kind of client, supported or not.
    pub(super) fn knows(&self, key: &str) -> bool {
        self.supported().any(|known| known.name == key) || contain(self.not_yet, key)
    }

    /// Whether Kafka's client of this kind takes it, and this one does not.
    #[cfg(test)]
    pub(super) fn lacks(&self, key: &str) -> bool {
        contain(self.not_yet, key)
    }

    /// What is taken.
    pub(super) fn supported(&self) -> impl Iterator<Item = &'static Property> {
        self.supported.iter().copied().flatten()
    }

    /// The property whose name is the most like `key`, if one is.
    fn nearest(&self, key: &str) -> Option<&'static str> {
        let not_yet = self.not_yet.iter().copied().flatten().copied();
        let all = self.supported().map(|known| known.name).chain(not_yet);
        let lower = key.to_lowercase();
        let (length, most) = (lower.chars().count(), (key.len() / 3).max(2));
        // Longer than any, of which a comparison would take as long: a key may be all of a file.
        let alike = all.filter(|known| known.len().abs_diff(length) <= most);
        let (distance, nearest) = alike.map(|known| (distance(&lower, known), known)).min()?;
        (distance <= most).then_some(nearest)
    }
}

/// Whether a client takes the property, whichever.
pub(super) fn is_taken(key: &str) -> bool {
    [CONSUMER, PRODUCER, ADMIN].iter().any(|known| known.supported().any(|known| known.name == key))
}

/// Whether the value is not for anybody to see, by Kafka's name or librdkafka's.
pub fn is_secret(key: &str) -> bool {
    ["password", "passphrase", "secret", "private.key.pem"].iter().any(|part| key.contains(part))
        || matches!(key, "sasl.jaas.config" | "ssl.key.pem" | "ssl.keystore.key")
}

fn refuse_known(key: &str, value: &str) -> Result<(), BuildError> {
    let error = BuildError::new(BuildErrorKind::UnsupportedProperty).property(key);
    let done: Vec<&str> = FIXED.iter().filter(|(fixed, _)| *fixed == key).map(|(_, value)| *value).collect();
    match done.last() {
        Some(_) if done.iter().any(|done| done.eq_ignore_ascii_case(value)) => Ok(()),
        Some(done) => Err(error.detail(format!("`{value}`; only `{done}` is"))),
        None => Err(match INSTEAD.iter().find(|(known, _)| *known == key) {
            Some((_, instead)) => error.detail(*instead),
            None => error,
        }),
    }
}

fn contain(lists: &[&[&str]], key: &str) -> bool {
    lists.iter().any(|list| list.contains(&key))
}

/// How many characters are to be inserted, deleted or replaced to make one text of the other (Levenshtein's).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(b.chars()) {
            let replaced = diagonal + usize::from(from != to);
            diagonal = *cell;
            left = replaced.min(left + 1).min(*cell + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_kafkas() {
        let ours = |key: &&str| key.starts_with("ottla.");
        let size = |known: &Known| {
            let not_yet = known.not_yet.iter().copied().flatten().copied();
            let all: Vec<_> = known.supported().map(|known| known.name).chain(not_yet).collect();
            all.iter().filter(|key| !ours(key)).count()
        };
        // Java's producer has no default.api.timeout.ms, nor librdkafka's partitioner.
        assert_eq!((size(&CONSUMER), size(&PRODUCER) - 2, size(&ADMIN)), (120, 120, 95));
    }

    #[test]
    fn distances_are_levenshteins() {
        for (a, b, expected) in
            [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("ab", "ba", 2), ("x", "x", 0)]
        {
            assert_eq!((distance(a, b), distance(b, a)), (expected, expected), "{a} {b}");
        }
    }
}
