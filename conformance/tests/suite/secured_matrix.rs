//! Ottla gets in each way that there is. Tokens are those of an OpenID provider, by client credentials.

use libtest_mimic::Failed;
use ottla::{Admin, Consumer, Producer, ProducerRecord, admin::NewTopic};
use ottla_conformance::kafka::{
    Access, Listener, Mechanism, OPEN, STORE_PASSWORD, Scope, Secured, User, VERSION_3_9,
};
use ottla_conformance::targets::unique;

use crate::cases::{Case, Outcome};
use crate::kit::{equal, holds, take, text, wait, within};

const RECORDS: usize = 20;

/// TLS or not: its name, its listeners without SASL, with it, and with signed tokens, and the version that is asked for.
type Transport = (&'static str, Option<Listener>, Listener, Listener, Option<&'static str>);

const TRANSPORTS: [Transport; 4] = [
    ("plaintext", None, Listener::Sasl, Listener::Signed, None),
    ("tls_1_2", Some(Listener::Tls), Listener::SaslTls, Listener::SignedTls, Some("TLSv1.2")),
    ("tls_1_3", Some(Listener::Tls), Listener::SaslTls, Listener::SignedTls, Some("TLSv1.3")),
    ("mutual_tls", Some(Listener::Mutual), Listener::SaslMutual, Listener::SignedMutual, None),
];

/// What Kafka 3.9 is asked for, too: each transport, and each mechanism.
const SHORT: [(&str, Option<Mechanism>); 5] = [
    ("plaintext", Some(Mechanism::Plain)),
    ("tls_1_2", Some(Mechanism::Scram256)),
    ("tls_1_3", Some(Mechanism::Scram512)),
    ("mutual_tls", Some(Mechanism::OAuthBearer)),
    ("mutual_tls", None),
];

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, plain, with_sasl, signed, version) in TRANSPORTS {
        let ways = plain.map(|listener| (listener, None)).into_iter();
        for (listener, mechanism) in ways.chain(Mechanism::ALL.map(|one| (with_sasl, Some(one)))) {
            let said = mechanism.map_or("no_sasl".to_owned(), said);
            let case = Case::secured(
                format!("a_client_does_all_that_it_does_over_{name}_with_{said}"),
                move |secured| {
                    let access = match mechanism {
                        Some(Mechanism::OAuthBearer) => secured.signed(signed, User::Alice, Scope::Kafka)?,
                        _ => secured.java(listener, mechanism.map(|one| (one, User::Alice)))?,
                    };
                    let access = match version {
                        Some(version) => access.set("ssl.enabled.protocols", version),
                        None => access,
                    };
                    wait(does_all(secured, &access))
                },
            );
            let short = SHORT.contains(&(name, mechanism));
            let case = if short { case.and_secured_3_9() } else { case };
            cases.push(if mechanism == Some(Mechanism::OAuthBearer) { case.with_openid() } else { case });
        }
    }
    for (name, kind, file, password) in [
        ("an_encrypted_key", "PEM", "encrypted.pem", "ssl.key.password"),
        ("a_pkcs12_store", "PKCS12", "client.p12", "ssl.keystore.password"),
    ] {
        let run = move |secured: &Secured| {
            let access = secured.java(Listener::Mutual, None)?.with_certificate(secured.certificates(), file);
            let access = access.set("ssl.keystore.type", kind).set(password, STORE_PASSWORD);
            wait(does_all(secured, &access))
        };
        let name = format!("a_client_does_all_that_it_does_over_mutual_tls_with_{name}");
        cases.push(Case::secured(name, run));
    }
    cases.push(Case::secured(
        "a_client_does_all_that_it_does_with_a_token_that_nobody_has_signed",
        |secured| {
            let access = secured.java(Listener::Sasl, Some((Mechanism::OAuthBearer, User::Alice)))?;
            wait(does_all(secured, &access))
        },
    ));
    cases
}

/// A mechanism within the name of a case.
fn said(mechanism: Mechanism) -> String {
    mechanism.name().to_lowercase().replace('-', "_")
}

async fn does_all(secured: &Secured, access: &Access) -> Outcome {
    let topic = unique(OPEN);
    let admin = Admin::builder().properties(access.pairs())?.build().await?;
    within("a topic", admin.create_topic(NewTopic::new(&topic).partitions(2))).await??;
    secured.cluster().wait_for_topic(&topic)?;
    holds("the topic is listed", within("topics", admin.list_topics()).await??.contains_key(&topic))?;
    let producer = Producer::builder().properties(access.pairs())?.build().await?;
    let mut values = Vec::new();
    for n in 0..RECORDS {
        let value = format!("value {n:02}");
        let record = ProducerRecord::to(&topic).partition(n as i32 % 2).value(value.clone().into_bytes());
        drop(within("room for a record", producer.send(record)).await??);
        values.push(value);
    }
    within("records that are acknowledged", producer.close()).await??;
    let protocols =
        if secured.version() == VERSION_3_9 { &["classic"][..] } else { &["classic", "consumer"] };
    for protocol in protocols {
        let group = unique(OPEN);
        let mut consumer = member(access, protocol, &group, &topic).await?;
        let mut read: Vec<String> = take(&mut consumer, RECORDS).await?.iter().map(text).collect();
        read.sort_unstable();
        equal(protocol, &read, &values)?;
        within("a commit", consumer.commit()).await??;
        within("a close", consumer.close()).await??;
        let committed = within("committed offsets", admin.committed_offsets(group.as_str())).await??;
        let committed: Vec<i64> = committed.values().map(|at| at.offset).collect();
        equal("committed", committed, vec![RECORDS as i64 / 2; 2])?;
        let described = within("the group", admin.describe_groups([group.as_str()])).await??;
        holds("the group is described", matches!(described.get(&group), Some(Ok(_))))?;
    }
    within("a deletion", admin.delete_topic(topic.as_str())).await??;
    admin.close().await;
    Ok(())
}

/// A member that begins at the beginning.
pub(crate) async fn member(
    access: &Access,
    protocol: &str,
    group: &str,
    topic: &str,
) -> Result<Consumer, Failed> {
    let builder = Consumer::builder().properties(access.pairs())?;
    let own = [("group.protocol", protocol), ("group.id", group), ("auto.offset.reset", "earliest")];
    Ok(builder.properties(own)?.subscribe([topic]).build().await?)
}
