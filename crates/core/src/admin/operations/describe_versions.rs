use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use ottla_protocol::{ApiKey, ErrorCode, Request, Response, messages::ApiVersionsRequest};

use crate::{
    admin::{Answer, Failure, Operation, Route, Verdict},
    ids::NodeId,
};

/// Asks brokers what they speak, and which features the cluster has. Each has its answer, or its failure.
#[derive(Debug)]
pub struct DescribeVersions(pub BTreeSet<NodeId>);

/// What a broker says that it speaks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct BrokerVersions {
    /// The versions of each API, of those that are known here.
    pub apis: BTreeMap<ApiKey, RangeInclusive<i16>>,
    /// The levels of each feature that it could have (KIP-584); empty before Kafka 2.7.
    pub supported_features: BTreeMap<String, RangeInclusive<i16>>,
    /// The level of each feature that the cluster has, as `metadata.version`; those at level 0 are left out.
    pub finalized_features: BTreeMap<String, i16>,
    /// How often these have changed, as far as the broker has heard; `None` where it does not know.
    pub finalized_epoch: Option<i64>,
}

impl Operation for DescribeVersions {
    type Outcome = BTreeMap<NodeId, Result<BrokerVersions, Failure>>;
    type Part = NodeId;

    fn begin(&self) -> (Self::Outcome, Vec<NodeId>) {
        // What stands of a broker that is not there: it is not asked.
        let gone = self.0.iter().map(|node| (*node, Err(Failure::of(ErrorCode::BrokerNotAvailable))));
        (gone.collect(), self.0.iter().copied().collect())
    }

    fn route<'a>(&'a self, node: &'a NodeId) -> Route<'a, NodeId> {
        Route::Broker(*node)
    }

    fn api(&self, _: &NodeId) -> (ApiKey, i16) {
        (ApiKey::ApiVersions, i16::MAX)
    }

    fn request(&self, _: &[NodeId], _: i16, _: i32) -> Option<Request> {
        let request = ApiVersionsRequest {
            client_software_name: "ottla".to_owned(),
            client_software_version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Default::default()
        };
        Some(request.into())
    }

    fn gather(&self, answer: Answer<'_, NodeId>, outcome: &mut Self::Outcome) -> Verdict<NodeId> {
        let (Response::ApiVersions(response), Some(node)) = (answer.response, answer.from) else {
            return Verdict::stray();
        };
        if let Err(error) = response.error_code.ok() {
            return Verdict::of(error, None);
        }
        let apis = response.api_keys.into_iter();
        let features = response.supported_features.into_iter();
        let finalized = response.finalized_features.into_iter();
        let versions = BrokerVersions {
            apis: apis
                .filter_map(|api| Some((ApiKey::from_key(api.api_key)?, api.min_version..=api.max_version)))
                .collect(),
            supported_features: features
                .map(|feature| (feature.name, feature.min_version..=feature.max_version))
                .collect(),
            finalized_features: finalized
                .map(|feature| (feature.name, feature.max_version_level))
                .filter(|(_, level)| *level > 0)
                .collect(),
            finalized_epoch: Some(response.finalized_features_epoch).filter(|epoch| *epoch >= 0),
        };
        outcome.insert(node, Ok(versions));
        Verdict::Done
    }

    fn fail_part(&self, node: &NodeId, failure: &Failure, outcome: &mut Self::Outcome) -> bool {
        outcome.insert(*node, Err(failure.clone()));
        true
    }
}
