//! What brokers speak, and which features the cluster has.

use std::collections::BTreeMap;

use ottla::{
    Admin, ApiKey, Disconnected,
    admin::{BrokerVersions, NodeId},
};

use super::{
    finding::{Finding, Kind},
    refused,
};

/// What no consumer does without.
const NEEDED: [ApiKey; 5] =
    [ApiKey::Metadata, ApiKey::Fetch, ApiKey::ListOffsets, ApiKey::FindCoordinator, ApiKey::OffsetFetch];
/// What is told of a broker.
const SHOWN: [ApiKey; 4] = [ApiKey::Fetch, ApiKey::Produce, ApiKey::Metadata, ApiKey::ConsumerGroupHeartbeat];

/// Asks those that can be reached.
pub(super) async fn examine(admin: &Admin, brokers: &[NodeId]) -> Vec<Finding> {
    let told = match admin.describe_versions(brokers.iter().copied()).await {
        Ok(told) => told,
        Err(error) => return vec![refused(&error)],
    };
    let (mut good, mut findings) = (BTreeMap::new(), Vec::new());
    for (broker, told) in told {
        match told {
            Ok(versions) => _ = good.insert(broker, versions),
            Err(error) => {
                let misrouted =
                    Finding::new(Kind::AdvertisedOther, "another broker answers at this broker's address");
                let is_misrouted = error.disconnected() == Some(&Disconnected::Misrouted);
                let finding = if is_misrouted { misrouted } else { refused(&error) };
                findings.push(finding.broker(broker));
            }
        }
    }
    findings.extend(of(&good));
    findings
}

fn of(told: &BTreeMap<NodeId, BrokerVersions>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (broker, versions) in told {
        let shown = SHOWN.iter().filter_map(|key| Some(format!("{key:?} {}", written(versions, *key)?)));
        let shown: Vec<String> = shown.collect();
        let seen = format!("{} known APIs: {}", versions.apis.len(), shown.join(", "));
        findings.push(Finding::new(Kind::Versions, seen).broker(*broker));
        let missing: Vec<String> = NEEDED
            .iter()
            .filter(|key| !is_common(versions, **key))
            .map(|key| match written(versions, *key) {
                Some(theirs) => format!("{key:?} (the broker speaks {theirs})"),
                None => format!("{key:?} (the broker does not have it)"),
            })
            .collect();
        if !missing.is_empty() {
            let seen = format!("not spoken by both: {}", missing.join(", "));
            findings.push(Finding::new(Kind::VersionsMissing, seen).broker(*broker));
        }
    }
    let Some((newest, first)) = told.iter().max_by_key(|(_, versions)| sum(versions)) else {
        return findings;
    };
    for (broker, versions) in told {
        if let Some(key) = difference(versions, first) {
            let of =
                |versions: &BrokerVersions| written(versions, key).unwrap_or_else(|| "not at all".to_owned());
            let seen = format!("it speaks {key:?} {}, and broker {} {}", of(versions), newest.0, of(first));
            findings.push(Finding::new(Kind::VersionsDiffer, seen).broker(*broker));
        }
    }
    // Who has heard the most.
    if let Some(versions) = told.values().max_by_key(|versions| versions.finalized_epoch) {
        let features: Vec<String> =
            versions.finalized_features.iter().map(|(name, level)| format!("{name} {level}")).collect();
        let seen = match features.is_empty() {
            true => "none is finalized".to_owned(),
            false => features.join(", "),
        };
        findings.push(Finding::new(Kind::Features, seen));
    }
    findings
}

/// An API that two do not speak alike, whichever of them has it.
fn difference(one: &BrokerVersions, other: &BrokerVersions) -> Option<ApiKey> {
    one.apis.keys().chain(other.apis.keys()).find(|key| one.apis.get(*key) != other.apis.get(*key)).copied()
}

/// The more, the newer.
fn sum(versions: &BrokerVersions) -> i32 {
    versions.apis.values().map(|range| i32::from(*range.end())).sum()
}

fn written(versions: &BrokerVersions, key: ApiKey) -> Option<String> {
    let range = versions.apis.get(&key)?;
    Some(format!("{} to {}", range.start(), range.end()))
}

fn is_common(versions: &BrokerVersions, key: ApiKey) -> bool {
    let ours = key.versions();
    versions.apis.get(&key).is_some_and(|theirs| *theirs.start() <= ours.max && ours.min <= *theirs.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(apis: &[(ApiKey, i16)]) -> BrokerVersions {
        let mut versions = BrokerVersions::default();
        versions.apis = apis.iter().map(|(key, newest)| (*key, 0..=*newest)).collect();
        versions
    }

    #[test]
    fn an_api_that_the_newest_broker_has_not_is_a_difference_too() {
        let (one, other) =
            (versions(&[(ApiKey::Fetch, 17), (ApiKey::Produce, 0)]), versions(&[(ApiKey::Fetch, 17)]));
        assert_eq!(difference(&one, &other), Some(ApiKey::Produce));
        assert_eq!(difference(&other, &one), Some(ApiKey::Produce));
        assert_eq!(difference(&one, &one), None);
        // The second is the newest, by what it speaks.
        let found = of(&[(NodeId(1), one), (NodeId(2), other)].into());
        let differs: Vec<&Finding> = found.iter().filter(|it| it.kind == Kind::VersionsDiffer).collect();
        assert_eq!(differs.len(), 1, "{found:?}");
        assert!(differs[0].seen.contains("Produce 0 to 0, and broker 2 not at all"), "{}", differs[0].seen);
    }
}
