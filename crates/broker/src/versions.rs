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
    /// Whether the consumer protocol (KIP-848) is on unless configured otherwise.
    pub const fn has_consumer_protocol(self) -> bool {
        matches!(self, Self::Kafka4_3)
    }

    /// The finalized level of `transaction.version`: 2 has epochs raised by each end (KIP-890). None where there is none.
    pub const fn transaction_version(self) -> Option<i16> {
        match self {
            Self::Kafka4_3 => Some(2),
            Self::Kafka3_9 => None,
        }
    }

    /// What is answered.
    pub fn spoken(self, key: ApiKey) -> Versions {
        let max = match (self, key) {
            (_, ApiKey::ApiVersions) => 4,
            (Self::Kafka3_9, ApiKey::Produce) => 11,
            (Self::Kafka3_9, ApiKey::Fetch) => 17,
            (Self::Kafka3_9, ApiKey::ListOffsets | ApiKey::OffsetCommit | ApiKey::OffsetFetch) => 9,
            (Self::Kafka3_9, ApiKey::Metadata) => 12,
            (Self::Kafka3_9, ApiKey::DescribeGroups) => 5,
            (Self::Kafka3_9, ApiKey::EndTxn | ApiKey::TxnOffsetCommit) => 4,
            (Self::Kafka4_3, ApiKey::TxnOffsetCommit) => 5,
            (Self::Kafka3_9, ApiKey::ListTransactions | ApiKey::WriteTxnMarkers) => 1,
            (_, ApiKey::DeleteGroups) => 2,
            (Self::Kafka3_9, ApiKey::ConsumerGroupHeartbeat | ApiKey::ConsumerGroupDescribe) => 0,
            _ => i16::MAX,
        };
        let defined = key.versions();
        Versions { max: defined.max.min(max), ..defined }
    }
}
