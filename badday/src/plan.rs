//! What goes wrong, and when: drawn from a seed, and from nothing else.

use std::{fmt, time::Duration};

/// Nothing goes wrong before this, so that all have begun; nor so long before the end.
const CALM_START: Duration = Duration::from_secs(25);
const CALM_END: Duration = Duration::from_secs(30);

/// Between the beginnings of two faults of clients.
const BETWEEN_CLIENTS: std::ops::Range<u64> = 9_000..16_000;

/// Between two of the cluster's: one that takes longer has the next one follow it.
const BETWEEN_CLUSTERS: std::ops::Range<u64> = 24_000..34_000;

/// What befalls one of the actors, by its place in their list; or clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OfClient {
    /// SIGKILL; another process in its place after this time.
    Kill { actor: usize, back: Duration },
    /// SIGSTOP, and SIGCONT after this time: for longer than a session, or not.
    Stop { actor: usize, lasts: Duration },
    /// The wall clock of those that have one of their own is set so many seconds beside the true time.
    Wall { to: i64 },
    /// Both clocks, of others, go on by so many seconds.
    Both { by: i64 },
}

/// What befalls the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OfCluster {
    /// SIGKILL of a broker.
    Kill { node: u32, down: Duration },
    /// It is stopped in good order, and started.
    Restart { node: u32 },
    /// SIGSTOP of a broker: for longer than its session with the controller, or not.
    Freeze { node: u32, lasts: Duration },
    /// As with a disk that is slow: all that the broker does stands still for most of the time.
    Slow { node: u32, lasts: Duration },
    /// Each response is so late.
    Latency { node: u32, by: Duration, lasts: Duration },
    /// Connections stand, and nothing comes back.
    Silence { node: u32, lasts: Duration },
    /// All connections break.
    Cut { node: u32 },
    /// The next response of a fetch ends in its middle.
    Tear { node: u32 },
    /// All connections break, and no new one comes about.
    Away { node: u32, lasts: Duration },
    /// Servers' and clients' certificates are made anew, and connections break.
    Certificates,
    /// A topic has one partition more.
    Partitions,
    /// A topic that may lose what it has is deleted, and made anew.
    Remade,
    /// Settings of topics change.
    Settings,
    /// A broker after the other goes on with the newest Kafka, and then the cluster's features.
    Upgrade,
}

impl OfCluster {
    /// What it is called in the report.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Kill { .. } => "broker killed",
            Self::Restart { .. } => "broker restarted",
            Self::Freeze { .. } => "broker frozen",
            Self::Slow { .. } => "broker slow as by its disk",
            Self::Latency { .. } => "network slow",
            Self::Silence { .. } => "network silent",
            Self::Cut { .. } => "connections cut",
            Self::Tear { .. } => "response torn",
            Self::Away { .. } => "broker cut off from clients",
            Self::Certificates => "certificates rotated",
            Self::Partitions => "partitions added",
            Self::Remade => "topic made anew",
            Self::Settings => "settings changed",
            Self::Upgrade => "brokers upgraded",
        }
    }
}

impl OfClient {
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Kill { .. } => "client killed",
            Self::Stop { lasts, .. } if lasts > crate::cast::SESSION => {
                "client stopped for longer than its session"
            }
            Self::Stop { .. } => "client stopped",
            Self::Wall { .. } => "wall clock set",
            Self::Both { .. } => "both clocks set",
        }
    }
}

impl fmt::Display for OfCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        match self {
            Self::Kill { node, down } => write!(f, ": {node}, for {down:?}"),
            Self::Restart { node } | Self::Cut { node } | Self::Tear { node } => write!(f, ": {node}"),
            Self::Freeze { node, lasts }
            | Self::Slow { node, lasts }
            | Self::Silence { node, lasts }
            | Self::Away { node, lasts } => write!(f, ": {node}, for {lasts:?}"),
            Self::Latency { node, by, lasts } => write!(f, ": {node}, by {by:?} for {lasts:?}"),
            _ => Ok(()),
        }
    }
}

/// What is due at its time from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due<T> {
    pub(crate) at: Duration,
    pub(crate) fault: T,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) of_clients: Vec<Due<OfClient>>,
    pub(crate) of_cluster: Vec<Due<OfCluster>>,
}

/// Who may be killed and who may be stopped, by places in the list of actors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Targets<'a> {
    pub(crate) killed: &'a [usize],
    pub(crate) stopped: &'a [usize],
    pub(crate) nodes: u32,
}

impl Plan {
    /// Each kind comes once before any comes again.
    pub(crate) fn draw(seed: u64, lasts: Duration, targets: Targets<'_>) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let end = lasts.saturating_sub(CALM_END);
        let mut plan = Self { of_clients: Vec::new(), of_cluster: Vec::new() };
        let (mut at, mut deck) = (CALM_START, Vec::new());
        while at < end {
            let kind = draw(&mut rng, &mut deck, &[0, 0, 0, 1, 1, 1, 2, 3]);
            plan.of_clients.extend(of_client(&mut rng, kind, targets).map(|fault| Due { at, fault }));
            at += Duration::from_millis(rng.u64(BETWEEN_CLIENTS));
        }
        // Between a third and the half: there is to be something before it and something behind it.
        let mut upgrade = Some(lasts.mul_f64(0.33 + 0.17 * rng.f64()));
        let (mut at, mut deck) = (CALM_START + Duration::from_secs(5), Vec::new());
        while at < end {
            let kinds: Vec<u32> = (0..KINDS).collect();
            let fault = if upgrade.take_if(|due| *due <= at).is_some() {
                OfCluster::Upgrade
            } else {
                let kind = draw(&mut rng, &mut deck, &kinds);
                of_cluster(&mut rng, kind, targets.nodes)
            };
            plan.of_cluster.push(Due { at, fault });
            at += Duration::from_millis(rng.u64(BETWEEN_CLUSTERS));
        }
        plan
    }
}

/// The next of a deck that is shuffled whenever it is used up.
fn draw(rng: &mut fastrand::Rng, deck: &mut Vec<u32>, of: &[u32]) -> u32 {
    if deck.is_empty() {
        deck.extend(of);
        rng.shuffle(deck);
    }
    deck.pop().unwrap_or_default()
}

fn millis(rng: &mut fastrand::Rng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(rng.u64(range))
}

fn of_client(rng: &mut fastrand::Rng, kind: u32, targets: Targets<'_>) -> Option<OfClient> {
    Some(match kind {
        0 => OfClient::Kill { actor: *rng.choice(targets.killed)?, back: millis(rng, 100..8_000) },
        1 => {
            let actor = *rng.choice(targets.stopped)?;
            // Two of three for longer than a session.
            let lasts = if rng.u32(0..3) > 0 { millis(rng, 7_000..14_000) } else { millis(rng, 500..5_000) };
            OfClient::Stop { actor, lasts }
        }
        2 => OfClient::Wall { to: rng.i64(-1800..1800) },
        _ => OfClient::Both { by: rng.i64(5..600) },
    })
}

const KINDS: u32 = 13;

fn of_cluster(rng: &mut fastrand::Rng, kind: u32, nodes: u32) -> OfCluster {
    let node = rng.u32(1..=nodes);
    match kind {
        0 => OfCluster::Kill { node, down: millis(rng, 500..9_000) },
        1 => OfCluster::Restart { node },
        2 => OfCluster::Freeze { node, lasts: millis(rng, 2_000..12_000) },
        3 => OfCluster::Slow { node, lasts: millis(rng, 5_000..12_000) },
        4 => {
            let (by, lasts) = (millis(rng, 50..800), millis(rng, 5_000..15_000));
            OfCluster::Latency { node, by, lasts }
        }
        5 => OfCluster::Silence { node, lasts: millis(rng, 2_000..12_000) },
        6 => OfCluster::Cut { node },
        7 => OfCluster::Tear { node },
        8 => OfCluster::Away { node, lasts: millis(rng, 2_000..12_000) },
        9 => OfCluster::Certificates,
        10 => OfCluster::Partitions,
        11 => OfCluster::Remade,
        _ => OfCluster::Settings,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const TARGETS: Targets<'static> = Targets { killed: &[1, 3], stopped: &[0, 1, 2, 3], nodes: 3 };

    fn plan(seed: u64, minutes: u64) -> Plan {
        Plan::draw(seed, Duration::from_secs(60 * minutes), TARGETS)
    }

    #[test]
    fn a_seed_draws_the_same_day_again_and_another_seed_another() {
        assert_eq!(plan(7, 120), plan(7, 120));
        assert_ne!(plan(7, 120), plan(8, 120));
    }

    #[test]
    fn ten_minutes_have_each_kind_of_fault() {
        for seed in 0..50 {
            let plan = plan(seed, 10);
            let of_cluster: BTreeSet<&str> = plan.of_cluster.iter().map(|due| due.fault.kind()).collect();
            assert_eq!(of_cluster.len(), KINDS as usize + 1, "{seed}: {of_cluster:?}");
            let of_clients: BTreeSet<&str> = plan.of_clients.iter().map(|due| due.fault.kind()).collect();
            assert_eq!(of_clients.len(), 5, "{seed}: {of_clients:?}");
        }
    }

    #[test]
    fn the_brokers_are_upgraded_once_and_only_those_are_killed_that_may_be() {
        for seed in 0..50 {
            let plan = plan(seed, 60);
            let upgrades = plan.of_cluster.iter().filter(|due| due.fault == OfCluster::Upgrade).count();
            assert_eq!(upgrades, 1, "{seed}");
            for due in &plan.of_clients {
                if let OfClient::Kill { actor, .. } = due.fault {
                    assert!(TARGETS.killed.contains(&actor), "{seed}: {due:?}");
                }
            }
            let ends = plan.of_clients.last().map(|due| due.at).max(plan.of_cluster.last().map(|due| due.at));
            assert!(ends.is_some_and(|at| at < Duration::from_secs(3600) - CALM_END), "{seed}");
        }
    }
}
