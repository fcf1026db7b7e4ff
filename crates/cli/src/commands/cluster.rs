//! `ottla cluster`: its brokers, and what each of them says of it.

use super::topics::with_admin;
use crate::{
    args::Common,
    failure::{Failure, Failures},
    output::Table,
};

pub(super) async fn show(common: &Common) -> Result<(), Failure> {
    let (cluster, versions) = with_admin(common, async |admin| {
        let cluster = admin.describe_cluster().await?;
        let versions = admin.describe_versions(cluster.nodes.keys().copied()).await?;
        Ok((cluster, versions))
    })
    .await?;
    let mut failures = Failures::default();
    let versions = failures.take_from(versions);
    // Where controllers are elected by themselves (KRaft), any broker that is alive is told as one: the brokers ask the real one.
    let is_kraft = versions.values().any(|told| told.finalized_features.contains_key("metadata.version"));
    let controller = cluster.controller.filter(|_| !is_kraft);
    let mut table = Table::new(&["BROKER", "ADDRESS", "RACK", "CONTROLLER", "CLUSTER-ID", "FEATURES"]);
    for (id, node) in &cluster.nodes {
        let features = versions.get(id).map(|told| {
            let level = |(name, level): (&String, &i16)| format!("{name}={level}");
            told.finalized_features.iter().map(level).collect::<Vec<_>>()
        });
        table.push([
            id.0.into(),
            node.address.to_string().into(),
            node.rack.as_deref().into(),
            controller.map(|controller| controller == *id).into(),
            cluster.id.as_deref().into(),
            features.into(),
        ]);
    }
    table.print(common.is_json())?;
    failures.end()
}
