//! Groups whose sessions end again and again while they read what never stops being written: nothing is lost or repeated, no
//! call fails, and nobody joins twice.
//!
//! With tokens of an OpenID provider, certificates change on both sides half-way, and all connections break every half minute.
//! `OTTLA_CONFORMANCE_RENEWED_MINUTES` says how long that takes, one minute if it is not set. One command runs it:
//! `cargo test -p ottla-conformance --test suite -- groups_with_brief_tokens`.

use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant, SystemTime};

use libtest_mimic::Failed;
use ottla::{Admin, Producer, ProducerRecord, admin::NewTopic};
use ottla_conformance::kafka::{Access, Listener, Mechanism, OPEN, SESSION_MS, Scope, Secured, User};
use ottla_conformance::process::Process;
use ottla_conformance::targets::unique;
use ottla_conformance::wait::until;

use crate::cases::{Case, Outcome};
use crate::kit::{PATIENCE, equal, generations, holds, next, wait, within};
use crate::secured::{alone_with_renewals, renewals};
use crate::secured_matrix::member;

const PROTOCOLS: [&str; 2] = ["classic", "consumer"];

/// Each has a connection to fetch by that is always in use; and so has the producer.
const BUSY: usize = PROTOCOLS.len() + 1;

/// How long groups live whose sessions end every [`SESSION_MS`].
const SCRAM_FOR: Duration = Duration::from_secs(20);

/// How often all connections break, and when first: late enough for a session to be renewed in between.
const BREAK_EVERY: Duration = Duration::from_secs(30);
const FIRST_BREAK: Duration = Duration::from_secs(25);

/// How long the client's first certificate is good for once there is another.
const GRACE: Duration = Duration::from_secs(15);

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::secured("groups_that_authenticate_again_and_again_with_scram_lose_and_repeat_nothing", scram),
        Case::secured(
            "groups_with_brief_tokens_lose_and_repeat_nothing_while_certificates_change_and_connections_break",
            tokens,
        )
        .with_openid(),
    ]
}

fn scram(secured: &Secured) -> Outcome {
    let _alone = alone_with_renewals();
    let access = secured.java(Listener::SaslTlsRenewed, Some((Mechanism::Scram512, User::Alice)))?;
    let before = renewals(secured);
    wait(flow(&access, SCRAM_FOR))?;
    // The first session may have begun before, and the last one has not ended.
    renewed(secured, before, BUSY * (SCRAM_FOR.as_millis() as usize / SESSION_MS as usize - 1)).map(drop)
}

fn minutes() -> Result<u32, Failed> {
    const MINUTES: &str = "OTTLA_CONFORMANCE_RENEWED_MINUTES";
    match std::env::var(MINUTES) {
        Ok(minutes) => Ok(minutes.parse().map_err(|error| format!("{MINUTES}: {error}"))?),
        Err(_) => Ok(1),
    }
}

fn tokens(secured: &Secured) -> Outcome {
    let _alone = alone_with_renewals();
    let (span, before) = (Duration::from_secs(60) * minutes()?, renewals(secured));
    let first_ends = SystemTime::now() + span / 2 + GRACE;
    secured.certificates().renew("renewed-client", Some(first_ends))?;
    let access = secured.signed(Listener::SignedRenewed, User::Alice, Scope::Brief)?;
    let access = access.with_certificate(secured.certificates(), "renewed-client.pem");
    let (flowed, disturbed) = std::thread::scope(|scope| {
        let (over, until_over) = channel();
        let disturbing = scope.spawn(move || disturb(secured, span, &until_over));
        let flowed = wait(flow(&access, span));
        drop(over);
        (flowed, disturbing.join())
    });
    let written = flowed?;
    let broken = disturbed.map_err(|_| "the disturbance has panicked")??;
    // One between two breaks of a connection.
    let fewest = BUSY * (span.as_secs() / BREAK_EVERY.as_secs()) as usize;
    let seen = renewed(secured, before, fewest)?;
    eprintln!(
        "{} s: {written} records, each read once by each of {} groups; {seen} authentications anew on live connections; \
         {} times all connections broken: {broken:?}; both certificates changed once; no error, no rebalance",
        span.as_secs(),
        PROTOCOLS.len(),
        broken.len(),
    );
    Ok(())
}

fn renewed(secured: &Secured, before: usize, fewest: usize) -> Result<usize, Failed> {
    let seen = renewals(secured) - before;
    holds(&format!("{seen} authentications anew, at least {fewest}"), seen >= fewest)?;
    Ok(seen)
}

/// Writes, and reads each record in a group of each protocol before the next is written; how many there were.
async fn flow(access: &Access, span: Duration) -> Result<i64, Failed> {
    let topic = unique(OPEN);
    let admin = Admin::builder().properties(access.pairs())?.build().await?;
    within("a topic", admin.create_topic(NewTopic::new(&topic).partitions(1))).await??;
    let producer = Producer::builder().properties(access.pairs())?.build().await?;
    let mut members = Vec::new();
    for protocol in PROTOCOLS {
        members.push(member(access, protocol, &unique(OPEN), &topic).await?);
    }
    let start = Instant::now();
    let mut offset = 0;
    while start.elapsed() < span {
        let value = offset.to_string().into_bytes();
        let record = ProducerRecord::to(&topic).value(value.clone());
        let delivery = within("room for a record", producer.send(record)).await??;
        within("a record that is acknowledged", delivery).await??;
        for member in &mut members {
            let record = next(member).await?;
            equal("the next record", (record.offset(), record.value()), (offset, Some(value.as_slice())))?;
        }
        offset += 1;
        if offset % 50 == 0 {
            for member in &mut members {
                within("a commit", member.commit()).await??;
            }
        }
        // As often as records may come, and not as often as they can.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for mut member in members {
        equal("generations", generations(&mut member).len(), 1)?;
        within("a close", member.close()).await??;
    }
    within("a close", producer.close()).await??;
    admin.close().await;
    Ok(offset)
}

/// What is done to the groups, until all is over: how many connections each break has cut.
fn disturb(secured: &Secured, span: Duration, over: &Receiver<()>) -> Result<Vec<usize>, Failed> {
    let start = Instant::now();
    let (mut cut, mut changes) = (Vec::new(), [span / 2].into_iter().peekable());
    loop {
        let breaks = FIRST_BREAK + BREAK_EVERY * cut.len() as u32;
        let due = changes.peek().map_or(breaks, |change| breaks.min(*change));
        match over.recv_timeout(due.saturating_sub(start.elapsed())) {
            Err(RecvTimeoutError::Timeout) => {}
            _ if changes.peek().is_some() => return Err("over before the certificates have changed".into()),
            _ => return Ok(cut),
        }
        if due == breaks {
            cut.push(secured.proxy()?.cut());
        } else {
            changes.next();
            change_certificates(secured)?;
        }
    }
}

fn change_certificates(secured: &Secured) -> Outcome {
    let certificates = secured.certificates();
    certificates.renew("renewed-client", Some(SystemTime::now() + Duration::from_secs(86_400)))?;
    let before = served(secured)?;
    certificates.renew("renewed-server", None)?;
    secured.read_certificate_again(Listener::SignedRenewed)?;
    let file = lines(&std::fs::read_to_string(certificates.path("renewed-server.crt"))?);
    holds("another certificate is made", before != file)?;
    // The tool is answered before the node has read it.
    Ok(until(PATIENCE, "the new certificate is served", || {
        served(secured).is_ok_and(|served| served == file)
    })?)
}

/// The certificate that the node shows to new clients.
fn served(secured: &Secured) -> Result<Vec<String>, Failed> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-connect", &secured.address(Listener::SignedRenewed)?.to_string()]);
    // It may be told that it has no certificate, which is no matter here.
    let printed = Process::spawn(&openssl)?.end(PATIENCE)?.stdout;
    let shown =
        printed.find(BEGIN).zip(printed.find(END)).and_then(|(from, to)| printed.get(from..to + END.len()));
    Ok(lines(shown.ok_or_else(|| format!("no certificate is shown: {printed}"))?))
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}
