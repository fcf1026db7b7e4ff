//! Which addresses answer: those that the user gave, then those that brokers tell clients to connect to.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use ottla::{
    AdminBuilder,
    admin::{Address, Cluster, NodeId},
};
use tokio::task::JoinSet;

use super::{
    finding::{Finding, Kind, Report, Severity},
    probe::{End, Probe, listed, probe},
};
use crate::failure::Failure;

/// How many addresses are tried at once: each has a client, with its thread.
const AT_ONCE: usize = 8;

/// What answered.
#[derive(Debug)]
pub(super) struct Reached {
    pub(super) cluster: Cluster,
    /// The user's own addresses of that cluster, where others of them are of another.
    pub(super) own: Option<Vec<String>>,
    /// The brokers that answer where they say that they are.
    pub(super) brokers: Vec<NodeId>,
}

/// Tries all, and tells of each. Nothing where none of the user's own answers.
pub(super) async fn reach(
    builder: &AdminBuilder,
    patience: Duration,
    report: &mut Report,
) -> Result<Option<Reached>, Failure> {
    let given = builder.settings().bootstrap_servers();
    let given: Vec<Address> = given.iter().flat_map(|text| text.split(',')).filter_map(address).collect();
    let probes = each(builder, given, patience).await;
    let any = probes.iter().any(|probe| probe.answer().is_some());
    for finding in probes.iter().flat_map(Probe::findings) {
        // The others do.
        let severity = match any {
            true => finding.severity.min(Severity::Warning),
            false => finding.severity,
        };
        report.add(finding.severity(severity))?;
    }
    let Some((first, cluster)) =
        probes.iter().find_map(|probe| Some((&probe.address, &probe.answer()?.cluster)))
    else {
        return Ok(None);
    };
    let (mut own, mut are_mixed) = (Vec::new(), false);
    for (probe, answer) in probes.iter().filter_map(|probe| Some((probe, probe.answer()?))) {
        if answer.cluster.id == cluster.id {
            own.push(probe.address.to_string());
        } else {
            are_mixed = true;
            let id = |cluster: &Cluster| cluster.id.clone().unwrap_or_else(|| "without an id".to_owned());
            let seen = format!(
                "cluster {}, and {} is of cluster {}, in which the rest is looked at",
                id(&answer.cluster),
                first,
                id(cluster)
            );
            report.add(Finding::new(Kind::OtherCluster, seen).address(&probe.address))?;
        }
    }
    let brokers = advertised(builder, &probes, cluster, patience, report).await?;
    Ok(Some(Reached { cluster: cluster.clone(), own: are_mixed.then_some(own), brokers }))
}

/// The brokers that answer where the cluster says that they are.
async fn advertised(
    builder: &AdminBuilder,
    given: &[Probe],
    cluster: &Cluster,
    patience: Duration,
    report: &mut Report,
) -> Result<Vec<NodeId>, Failure> {
    let answered = |address: &Address| given.iter().any(|it| it.address == *address && it.answer().is_some());
    let nodes = cluster.nodes.iter().map(|(id, node)| (*id, node.address.clone()));
    let (known, new): (Vec<_>, Vec<_>) = nodes.partition(|(_, address)| answered(address));
    let mut brokers: Vec<NodeId> = known.iter().map(|(id, _)| *id).collect();
    let mut addresses: Vec<Address> = Vec::new();
    for (_, address) in &new {
        if !addresses.contains(address) {
            addresses.push(address.clone());
        }
    }
    let probes = each(builder, addresses, patience).await;
    // Whether the user's own addresses lead to other machines.
    let is_elsewhere = given.iter().filter_map(Probe::answer).any(|answer| !answer.is_here);
    for (id, address) in known.iter().chain(&new) {
        let own =
            given.iter().chain(&probes).find(|probe| probe.address == *address && probe.answer().is_some());
        let probe = own.or_else(|| probes.iter().find(|probe| probe.address == *address));
        let Some(probe) = probe else { continue };
        let findings = of_broker(probe, cluster, is_elsewhere);
        if probe.answer().is_some() && !brokers.contains(id) {
            brokers.push(*id);
        }
        let is_known = known.iter().any(|(known, _)| known == id);
        // What is slow there, or does not answer beside it, is told already.
        let again = [Kind::Slow, Kind::PartlyUnreachable];
        let findings = findings.into_iter().filter(|it| !is_known || !again.contains(&it.kind));
        report.add_all(findings.map(|finding| finding.broker(*id).address(address)))?;
    }
    brokers.sort_unstable();
    Ok(brokers)
}

/// What is to be told of an address as one that a broker tells clients to connect to.
fn of_broker(probe: &Probe, cluster: &Cluster, is_elsewhere: bool) -> Vec<Finding> {
    let host = probe.address.host.as_str();
    let is_loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if is_loopback && is_elsewhere {
        let seen = "this broker tells clients to connect to their own machine, and it is on another one";
        // By a tunnel, or a port that is mapped.
        let works = probe.answer().is_some_and(|answer| answer.cluster.id == cluster.id);
        return vec![match works {
            true => {
                let seen = format!("{seen}; from here it works all the same, as the cluster answers there");
                Finding::new(Kind::AdvertisedLoopback, seen).severity(Severity::Warning)
            }
            false => Finding::new(Kind::AdvertisedLoopback, seen),
        }];
    }
    match &probe.end {
        End::Unresolved(why) => {
            let mut seen =
                format!("this broker tells clients to connect to a name that does not resolve here: {why}");
            // The name of a container, or of a service in a compose file.
            if !host.contains('.') {
                seen.push_str("; a name without a dot is often one of a Docker or Kubernetes network, which only its members know");
            }
            vec![Finding::new(Kind::AdvertisedUnresolved, seen)]
        }
        End::Unreachable(dead) => {
            let mut seen =
                format!("this broker tells clients to connect to where nobody answers: {}", listed(dead));
            if is_loopback {
                seen.push_str("; `localhost` is the machine of whoever asks: it may be meant for the broker's own container");
            }
            vec![Finding::new(Kind::AdvertisedUnreachable, seen)]
        }
        End::Speechless(spoken) => vec![spoken.finding()],
        End::Answered(answer) if answer.cluster.id != cluster.id => {
            vec![Finding::new(Kind::AdvertisedOther, "another cluster answers there")]
        }
        End::Answered(answer) => answer.findings(Kind::Broker),
    }
}

/// Several addresses at once, in their order.
async fn each(builder: &AdminBuilder, addresses: Vec<Address>, patience: Duration) -> Vec<Probe> {
    let (mut left, mut under_way) = (addresses.into_iter().enumerate(), JoinSet::new());
    let mut probes = BTreeMap::new();
    loop {
        for (index, address) in left.by_ref().take(AT_ONCE.saturating_sub(under_way.len())) {
            let builder = builder.clone();
            under_way.spawn(async move { (index, probe(builder, address, patience).await) });
        }
        match under_way.join_next().await {
            Some(Ok((index, probe))) => _ = probes.insert(index, probe),
            // One that panicked has said so on stderr.
            Some(Err(_)) => {}
            None => return probes.into_values().collect(),
        }
    }
}

/// What is wrong with one is told by the client that is built of them all.
fn address(text: &str) -> Option<Address> {
    let text = text.trim();
    let text = text.strip_prefix("PLAINTEXT://").unwrap_or(text);
    let (host, port) = text.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Some(Address { host, port: port.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::{super::probe::Answer, *};

    #[test]
    fn addresses_are_read_as_the_library_reads_them_and_written_back() {
        for (text, host, again) in [
            ("localhost:9092", "localhost", "localhost:9092"),
            (" PLAINTEXT://a.b:1", "a.b", "a.b:1"),
            ("[::1]:9092", "::1", "[::1]:9092"),
        ] {
            let address = address(text).unwrap();
            assert_eq!((address.host.as_str(), address.to_string().as_str()), (host, again));
        }
        assert!(address("nothing").is_none());
    }

    #[test]
    fn a_broker_elsewhere_that_names_the_clients_own_machine_is_told_whether_or_not_something_listens_there()
    {
        for host in ["localhost", "127.0.0.1", "::1"] {
            let of = |is_elsewhere| {
                let address = Address { host: host.to_owned(), port: 9092 };
                let probe = Probe { address, end: End::Unreachable(Vec::new()) };
                of_broker(&probe, &Cluster::default(), is_elsewhere).remove(0)
            };
            assert_eq!(of(true).kind, Kind::AdvertisedLoopback);
            assert_eq!(of(false).kind, Kind::AdvertisedUnreachable);
            assert!(of(false).seen.contains("container"), "{}", of(false).seen);
        }
    }

    #[test]
    fn the_clients_own_machine_is_a_warning_where_the_cluster_answers_there() {
        let cluster = |id: &str| {
            let mut cluster = Cluster::default();
            cluster.id = Some(id.to_owned());
            cluster
        };
        for (answers, severity) in [("same", Severity::Warning), ("another", Severity::Error)] {
            let address = Address { host: "localhost".to_owned(), port: 9092 };
            let probe = Probe { address, end: End::Answered(Answer::here(cluster(answers))) };
            let found = of_broker(&probe, &cluster("same"), true);
            assert_eq!((found[0].kind, found[0].severity), (Kind::AdvertisedLoopback, severity), "{answers}");
        }
    }

    #[test]
    fn a_name_without_a_dot_that_does_not_resolve_is_told_to_be_of_another_network_perhaps() {
        for (host, says) in [("kafka", true), ("kafka.example.com", false)] {
            let address = Address { host: host.to_owned(), port: 9092 };
            let probe = Probe { address, end: End::Unresolved("no such name".to_owned()) };
            let found = of_broker(&probe, &Cluster::default(), true).remove(0);
            assert_eq!((found.kind, found.seen.contains("Docker")), (Kind::AdvertisedUnresolved, says));
        }
    }
}
