//! One address: its name is resolved, it is connected to, and spoken to, each by itself and with its time.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use ottla::{
    AdminBuilder, Disconnected, SaslFailure, TlsFailure,
    admin::{Address, Cluster},
    error::{AdminError, BuildError, Permission},
};
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

use super::finding::{Finding, Kind};

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
    text: String,
}

#[derive(Debug)]
pub(super) struct Answer {
    /// Where the connection led.
    pub(super) by: SocketAddr,
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
        Self { why, missing, text: format!("{error:#}") }
    }
}

impl From<AdminError> for Spoken {
    fn from(error: AdminError) -> Self {
        let (why, missing) = (error.disconnected().cloned(), error.missing_permission());
        Self { why, missing, text: format!("{error:#}") }
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
            Ok(()) => _ = by.get_or_insert((at, begun.elapsed())),
            Err(why) => dead.push((at, why)),
        }
    }
    let Some((by, connected)) = by else { return End::Unreachable(dead) };
    let begun = Instant::now();
    match speak(builder, address, patience).await {
        Ok(cluster) => {
            End::Answered(Answer { by, dead, resolved, connected, answered: begun.elapsed(), cluster })
        }
        Err(spoken) => End::Speechless(spoken),
    }
}

async fn connect(at: SocketAddr, patience: Duration) -> Result<(), String> {
    match timeout(patience, TcpStream::connect(at)).await {
        // A loopback port that nobody listens on may be connected to itself.
        Ok(Ok(stream)) if stream.local_addr().ok() == Some(at) => Err("nobody listens".to_owned()),
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {patience:.1?}")),
    }
}

/// As a client does: TLS, authentication, versions, metadata.
async fn speak(builder: AdminBuilder, address: &Address, patience: Duration) -> Result<Cluster, Spoken> {
    let builder = builder.bootstrap_servers([written(address)]).default_api_timeout(patience);
    let admin = builder.build().await?;
    let cluster = admin.describe_cluster().await;
    admin.close().await;
    Ok(cluster?)
}

/// As `bootstrap.servers` has it.
pub(super) fn written(address: &Address) -> String {
    match address.host.contains(':') {
        true => format!("[{}]:{}", address.host, address.port),
        false => address.to_string(),
    }
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
        findings.iter_mut().for_each(|finding| finding.place.address = Some(written(&self.address)));
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
    pub(super) fn is_misrouted(&self) -> bool {
        self.why == Some(Disconnected::Misrouted)
    }

    pub(super) fn finding(&self) -> Finding {
        if let Some(missing) = &self.missing {
            return Finding::new(Kind::Permission, format!("{missing} is missing"));
        }
        let Some(why) = &self.why else {
            // Nothing came at all, or what came is no failure of the connection.
            return match self.text.contains("no answer") {
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

fn for_tls(failure: &TlsFailure) -> &'static str {
    match failure {
        TlsFailure::UnknownAuthority(_) => {
            "name the authority that signed the broker's certificate in ssl.truststore.location (a PEM file will do)"
        }
        TlsFailure::Expired(_) => "give the broker a new certificate; or set this machine's clock right",
        TlsFailure::NotYetValid(_) => "set this machine's clock right, or wait",
        TlsFailure::WrongHost(_) => {
            "connect by a name that the certificate bears, or have one made that bears this one"
        }
        TlsFailure::CertificateRequired => {
            "give a client certificate: ssl.keystore.location, or ssl.keystore.certificate.chain and ssl.keystore.key"
        }
        TlsFailure::CertificateRefused(_) => {
            "have the client certificate signed by an authority that the broker trusts, for clients, and of today"
        }
        TlsFailure::NotTls(_) | TlsFailure::Closed => {
            "check the port, and security.protocol: this may be a listener without TLS"
        }
        TlsFailure::NothingInCommon(_) => {
            "check ssl.enabled.protocols and ssl.cipher.suites, here and at the broker"
        }
        _ => "check the ssl.* properties, and the files that they name",
    }
}

fn for_sasl(failure: &SaslFailure) -> &'static str {
    match failure {
        SaslFailure::UnsupportedMechanism { .. } => {
            "set sasl.mechanism to one that the broker has, or have it enabled (sasl.enabled.mechanisms)"
        }
        SaslFailure::NotAskedFor => {
            "check the port, and security.protocol: this listener wants no authentication"
        }
        SaslFailure::Refused(_) => {
            "check user and password, and that the broker knows the user by this mechanism"
        }
        SaslFailure::BadServer(_) => "check whom you are connected to: it does not know the password",
        SaslFailure::NoToken(_) | SaslFailure::TokenUnavailable(_) => {
            "check where tokens come from: sasl.oauthbearer.token.endpoint.url, the client's id and secret"
        }
        _ => "look at the broker's log: it closed the connection while the client authenticated",
    }
}
