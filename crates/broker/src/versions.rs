//! Which versions of which APIs a broker advertises.

use ottla_protocol::{ApiKey, codec::Versions};

/// A Kafka release whose API versions are advertised, as far as they are implemented here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VersionSet {
    /// Kafka 4.3.1.
    #[default]
    Kafka4_3,
    /// Kafka 3.9.2.
    Kafka3_9,
}

impl VersionSet {
    /// What is advertised, in the order of the keys. Produce is advertised from 0, as librdkafka needs, though 0 to 2
    /// are not spoken; Kafka does the same.
    pub fn advertised(self) -> impl Iterator<Item = (ApiKey, Versions)> {
        ApiKey::ALL.iter().map(move |&key| match key {
            ApiKey::Produce => (key, Versions { min: 0, ..self.spoken(key) }),
            key => (key, self.spoken(key)),
        })
    }

    /// What is answered.
    pub fn spoken(self, key: ApiKey) -> Versions {
        let max = match (self, key) {
            (_, ApiKey::OffsetCommit | ApiKey::OffsetFetch) => 9,
            (Self::Kafka3_9, ApiKey::Produce) => 11,
            (Self::Kafka3_9, ApiKey::Fetch) => 17,
            (Self::Kafka3_9, ApiKey::ListOffsets) => 9,
            (Self::Kafka3_9, ApiKey::Metadata) => 12,
            (Self::Kafka3_9, ApiKey::DescribeGroups) => 5,
            _ => i16::MAX,
        };
        let defined = key.versions();
        Versions { max: defined.max.min(max), ..defined }
    }
}
