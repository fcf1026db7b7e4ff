use std::collections::BTreeMap;

use ottla_protocol::{ApiKey, Request, Response, messages::MetadataRequest};

use crate::{
    admin::{Answer, Operation, Route, Verdict},
    ids::NodeId,
    metadata::{Metadata, Node},
};

/// Asks for the brokers.
#[derive(Debug)]
pub struct DescribeCluster;

/// The brokers of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Cluster {
    /// Its id, where it has one.
    pub id: Option<String>,
    /// The broker that takes changes to topics.
    pub controller: Option<NodeId>,
    /// The brokers.
    pub nodes: BTreeMap<NodeId, Node>,
}

impl Operation for DescribeCluster {
    type Outcome = Cluster;
    type Part = ();

    fn begin(&self) -> (Cluster, Vec<()>) {
        (Cluster::default(), vec![()])
    }

    fn route<'a>(&'a self, (): &'a ()) -> Route<'a, ()> {
        Route::Any
    }

    fn api(&self, (): &()) -> (ApiKey, i16) {
        (ApiKey::Metadata, i16::MAX)
    }

    fn request(&self, _: &[()], _: i16, _: i32) -> Option<Request> {
        // No topic; in version 0, which cannot say so, all.
        let topics = Some(Vec::new());
        Some(MetadataRequest { topics, allow_auto_topic_creation: false, ..Default::default() }.into())
    }

    fn gather(&self, answer: Answer<'_, ()>, cluster: &mut Cluster) -> Verdict<()> {
        let Response::Metadata(response) = answer.response else { return Verdict::stray() };
        let id = response.cluster_id.clone();
        let told = Metadata::told(response, answer.now);
        *cluster = Cluster { id, controller: told.controller(), nodes: told.nodes().clone() };
        Verdict::Done
    }
}
