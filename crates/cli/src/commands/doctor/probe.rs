//! One address: its name is resolved, it is connected to, and spoken to, each by itself and with its time.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use ottla::{
    AdminBuilder, Disconnected,
    admin::{Address, Cluster},
    error::{AdminError, AdminErrorKind, BuildError, BuildErrorKind, Permission},
};
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

use super::{
    advice::{for_sasl, for_tls},
    finding::{Finding, Kind},
};
use crate::failure::missing;

/// From here on an answer is a slow one. It takes a few round trips, and a handshake or two.
const SLOW: Duration = Duration::from_secs(1);

/// How far an address was come.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) address: Address,
    pub(super) end: End,
}

#[derive(Debug)]
pub(super) enum End {
    Unresolved(String),
    /// By each of its addresses.
    Unreachable(Vec<(SocketAddr, String)>),
    /// It stands, and nothing comes of it.
    Speechless(Spoken),
    Answered(Answer),
}

/// What was said in place of an answer.
#[derive(Debug)]
pub(super) struct Spoken {
    /// What became of the connection, where that is why.
    why: Option<Disconnected>,
    missing: Option<Permission>,
    /// Time ran out, and nobody had refused anything.
    is_silent: bool,
    text: String,
}

#[derive(Debug)]
pub(super) struct Answer {
    /// Where the connection led.
    by: SocketAddr,
    /// That is this machine, by whichever of its addresses.
    pub(super) is_here: bool,
    /// The other addresses of the name, and why nothing came of them.
    dead: Vec<(SocketAddr, String)>,
    resolved: Duration,
    connected: Duration,
    answered: Duration,
    pub(super) cluster: Cluster,
}

impl From<BuildError> for Spoken {
    fn from(error: BuildError) -> Self {
        let (why, missing) = (error.disconnected().cloned(), error.missing_permission());
        let is_silent = error.kind() == BuildErrorKind::Unreachable && error.code().is_none();
        Self { why, missing, is_silent, text: format!("{error:#}") }
    }
}

impl From<AdminError> for Spoken {
    fn from(error: AdminError) -> Self {
        let (why, missing) = (error.disconnected().cloned(), error.missing_permission());
        let is_silent = error.kind() == AdminErrorKind::TimedOut && error.code().is_none();
        Self { why, missing, is_silent, text: format!("{error:#}") }
    }
}

/// Goes as far as it can, each step within `patience`.
pub(super) async fn probe(builder: AdminBuilder, address: Address, patience: Duration) -> Probe {
    let end = reach(builder, &address, patience).await;
    Probe { address, end }
}

async fn reach(builder: AdminBuilder, address: &Address, patience: Duration) -> End {
    let begun = Instant::now();
    let found = match timeout(patience, lookup_host((address.host.as_str(), address.port))).await {
        Ok(Ok(found)) => found.collect::<Vec<SocketAddr>>(),
        Ok(Err(error)) => return End::Unresolved(error.to_string()),
        Err(_) => return End::Unresolved(format!("the name service does not answer within {patience:?}")),
    };
    let resolved = begun.elapsed();
    if found.is_empty() {
        return End::Unresolved("it has no address".to_owned());
    }
    let (mut by, mut dead) = (None, Vec::new());
    // One that swallows packets must not use up the time of the others.
    let each = patience / u32::try_from(found.len()).unwrap_or(u32::MAX);
    for at in found {
        let begun = Instant::now();
        match connect(at, each).await {
            Ok(from) => _ = by.get_or_insert((at, is_here(at, from), begun.elapsed())),
            Err(why) => dead.push((at, why)),
        }
    }
    let Some((by, is_here, connected)) = by else { return End::Unreachable(dead) };
    match speak(builder, address, patience).await {
        Ok((cluster, answered)) => {
            End::Answered(Answer { by, is_here, dead, resolved, connected, answered, cluster })
        }
        Err(spoken) => End::Speechless(spoken),
    }
}

/// The connection's own end.
async fn connect(at: SocketAddr, patience: Duration) -> Result<Option<SocketAddr>, String> {
    match timeout(patience, TcpStream::connect(at)).await {
        Ok(Ok(stream)) => match stream.local_addr().ok() {
            // A loopback port that nobody listens on may be connected to itself.
            Some(from) if from == at => Err("nobody listens".to_owned()),
            from => Ok(from),
        },
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {patience:.1?}")),
    }
}

/// Who connects to one of this machine's own addresses comes from the same.
fn is_here(at: SocketAddr, from: Option<SocketAddr>) -> bool {
    at.ip().is_loopback() || from.is_some_and(|from| from.ip() == at.ip())
}

/// As a client does: TLS, authentication, versions, metadata. With it how long that took.
async fn speak(
    builder: AdminBuilder,
    address: &Address,
    patience: Duration,
) -> Result<(Cluster, Duration), Spoken> {
    let builder = builder.bootstrap_servers([address.to_string()]).default_api_timeout(patience);
    let begun = Instant::now();
    let admin = builder.build().await?;
    let cluster = admin.describe_cluster().await;
    // What a quota holds back is not an answer, but the request behind it (KIP-219). What was told stands, whatever comes of that.
    let mut answered = begun.elapsed();
    if cluster.is_ok() && answered < SLOW && admin.describe_cluster().await.is_ok() {
        answered = begun.elapsed();
    }
    admin.close().await;
    Ok((cluster?, answered))
}

impl Probe {
    pub(super) fn answer(&self) -> Option<&Answer> {
        match &self.end {
            End::Answered(answer) => Some(answer),
            _ => None,
        }
    }

    /// What is to be told of it as an address that the user gave.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut findings = match &self.end {
            End::Unresolved(why) => {
                vec![Finding::new(Kind::Unresolved, format!("the name does not resolve: {why}"))]
            }
            End::Unreachable(dead) => {
                vec![Finding::new(Kind::Unreachable, format!("cannot connect: {}", listed(dead)))]
            }
            End::Speechless(spoken) => vec![spoken.finding()],
            End::Answered(answer) => answer.findings(Kind::Bootstrap),
        };
        findings.iter_mut().for_each(|finding| finding.place.address = Some(self.address.to_string()));
        findings
    }
}

pub(super) fn listed(dead: &[(SocketAddr, String)]) -> String {
    dead.iter().map(|(at, why)| format!("{at}: {why}")).collect::<Vec<_>>().join("; ")
}

impl Answer {
    pub(super) fn findings(&self, kind: Kind) -> Vec<Finding> {
        let all = self.resolved + self.connected + self.answered;
        let seen = format!(
            "resolved in {}, connected to {} in {}, answered in {}",
            millis(self.resolved),
            self.by,
            millis(self.connected),
            millis(self.answered)
        );
        let mut findings = vec![Finding::new(kind, seen).took(all)];
        if self.answered >= SLOW {
            let seen = format!("it took {} to answer", millis(self.answered));
            findings.push(Finding::new(Kind::Slow, seen).took(self.answered));
        }
        if !self.dead.is_empty() {
            let seen = format!("it has addresses that cannot be connected to: {}", listed(&self.dead));
            findings.push(Finding::new(Kind::PartlyUnreachable, seen));
        }
        findings
    }
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

impl Spoken {
    pub(super) fn finding(&self) -> Finding {
        if let Some(permission) = &self.missing {
            return Finding::new(Kind::Permission, missing(permission));
        }
        let Some(why) = &self.why else {
            // Nothing came at all, or what came is no failure of the connection.
            return match self.is_silent {
                true => Finding::new(Kind::Silent, "it takes connections, and answers nothing"),
                false => Finding::new(Kind::Refused, self.text.clone()),
            };
        };
        let finding = |kind| Finding::new(kind, why.to_string());
        match why {
            Disconnected::Tls(failure) => finding(Kind::Tls).todo(for_tls(failure)),
            Disconnected::Sasl(failure) => finding(Kind::Sasl).todo(for_sasl(failure)),
            Disconnected::NotKafka(_) | Disconnected::Undecodable(..) => finding(Kind::NotKafka),
            Disconnected::Closed | Disconnected::ClosedUnanswered | Disconnected::ClosedAtOnce => {
                finding(Kind::Closed)
            }
            Disconnected::TimedOut(_) | Disconnected::ConnectTimedOut => finding(Kind::Silent),
            Disconnected::Unresolved(_) => finding(Kind::Unresolved),
            Disconnected::Refused(_) | Disconnected::Failed(_) => finding(Kind::Unreachable),
            Disconnected::Misrouted => finding(Kind::AdvertisedOther),
            _ => finding(Kind::Refused),
        }
    }
}

#[cfg(test)]
impl Answer {
    /// At once, by this machine.
    pub(super) fn here(cluster: Cluster) -> Self {
        let by = SocketAddr::from(([127, 0, 0, 1], 9092));
        let (resolved, connected, answered) = Default::default();
        Self { by, is_here: true, dead: Vec::new(), resolved, connected, answered, cluster }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_told_from_a_refusal_by_its_kind_and_not_by_its_words() {
        for (is_silent, kind) in [(true, Kind::Silent), (false, Kind::Refused)] {
            let text = "refused: the policy has no answer to that".to_owned();
            let spoken = Spoken { why: None, missing: None, is_silent, text };
            assert_eq!(spoken.finding().kind, kind);
        }
    }

    #[test]
    fn an_address_is_of_this_machine_where_connections_to_it_come_from_it() {
        for (at, from, expected) in [
            ("127.0.0.1:9092", Some("127.0.0.1:40000"), true),
            ("127.0.0.2:9092", Some("127.0.0.1:40000"), true),
            ("[::1]:9092", None, true),
            ("192.168.1.5:9092", Some("192.168.1.5:40000"), true),
            ("192.168.1.6:9092", Some("192.168.1.5:40000"), false),
            ("192.168.1.6:9092", None, false),
        ] {
            let from = from.map(|from| from.parse().unwrap());
            assert_eq!(is_here(at.parse().unwrap(), from), expected, "{at} from {from:?}");
        }
    }
}
