//! The secured node itself: Kafka's own tools and librdkafka get in as they should, and are refused as they should.

use std::net::TcpStream;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ottla::ErrorCode;
use ottla_conformance::kafka::{
    Access, Consume, Listener, Mechanism, OPEN, STORE_PASSWORD, Secured, User, unsigned_token,
};
use ottla_conformance::targets::unique;
use ottla_conformance::wait::until;
use ottla_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use ottla_protocol::{ApiKey, Response, Secret};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use crate::cases::{Case, Outcome};
use crate::kit::{PATIENCE, ask, equal, holds};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::secured("the_console_tools_write_and_read_over_tls_with_scram", |secured| {
            tools_work(secured, Listener::SaslTls, Some((Mechanism::Scram256, User::Alice)))
        })
        .and_secured_3_9(),
        Case::secured("the_console_tools_write_and_read_with_a_client_certificate_alone", |secured| {
            tools_work(secured, Listener::Mutual, None)
        }),
        Case::secured("the_console_tools_write_and_read_with_both_and_a_token", |secured| {
            tools_work(secured, Listener::SaslMutual, Some((Mechanism::OAuthBearer, User::Alice)))
        }),
        Case::secured("kafkas_own_tool_is_refused_with_a_wrong_password", wrong_password).and_secured_3_9(),
        Case::secured(
            "kafkas_own_tool_is_refused_with_a_certificate_of_another_authority",
            wrong_certificate,
        ),
        Case::secured("kafkas_own_tool_trusts_no_bad_certificate", bad_certificates),
        Case::secured("kafkas_own_tool_is_told_what_is_forbidden", forbidden),
        Case::secured("java_authenticates_again_before_its_session_ends", java_renews).and_secured_3_9(),
        Case::secured("the_console_tools_read_an_encrypted_key_and_a_pkcs12_store", encrypted),
        Case::secured("a_token_is_taken_until_it_ends", tokens).and_secured_3_9(),
        Case::secured("librdkafka_sees_a_topic_by_the_properties_that_are_given_to_us", librdkafka),
    ]
}

/// Held while authentications anew are counted: the node's log does not tell whose they were.
pub(crate) fn alone_with_renewals() -> MutexGuard<'static, ()> {
    static RENEWALS: Mutex<()> = Mutex::new(());
    RENEWALS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often clients have authenticated anew on live connections, as the node has logged it.
pub(crate) fn renewals(secured: &Secured) -> usize {
    secured.cluster().log(1).matches("state to COMPLETE during re-authentication").count()
}

type Sasl = Option<(Mechanism, User)>;

fn tools_work(secured: &Secured, listener: Listener, sasl: Sasl) -> Outcome {
    let (topic, tools) = (unique(OPEN), secured.tools_with(&secured.java(listener, sasl)?)?);
    tools.create_topic(&topic, 1, 1, &[])?;
    tools.console_produce(&topic, &["one", "two"], None, &[])?;
    let consumed = tools.console_consume(&Consume::group(&topic, &topic).messages(2))?;
    let values: Vec<_> = consumed.into_iter().filter_map(|record| record.value).collect();
    equal("what was read", values, vec!["one".to_owned(), "two".to_owned()])?;
    equal("lag", tools.describe_group(&topic)?.first().and_then(|row| row.lag), Some(0))
}

/// That the tool which asks for a topic's partitions fails, and says so.
fn refused(secured: &Secured, access: &Access, why: &str) -> Outcome {
    match secured.tools_with(access)?.describe_topic("any") {
        Ok(rows) => Err(format!("not refused: {rows:?}").into()),
        Err(error) => holds(
            &format!("`{why}` is told: {error}"),
            error.stderr().contains(why) || error.stdout().contains(why),
        ),
    }
}

fn wrong_password(secured: &Secured) -> Outcome {
    for mechanism in [Mechanism::Plain, Mechanism::Scram512] {
        let access = secured.java(Listener::SaslTls, None)?.sasl(mechanism, User::Alice.name(), "wrong");
        refused(secured, &access, "SaslAuthenticationException")?;
    }
    Ok(())
}

fn wrong_certificate(secured: &Secured) -> Outcome {
    let access =
        secured.java(Listener::Mutual, None)?.with_certificate(secured.certificates(), "other-client.pem");
    // Under TLS 1.3 this comes after the client's handshake.
    refused(secured, &access, "post-handshake messages")
}

fn bad_certificates(secured: &Secured) -> Outcome {
    for (listener, why) in [
        (Listener::Expired, "NotAfter"),
        (Listener::NotYetValid, "NotBefore"),
        (Listener::WrongHost, "127.0.0.1"),
        (Listener::UnknownAuthority, "PKIX path building failed"),
        (Listener::SelfSigned, "PKIX path building failed"),
    ] {
        refused(secured, &secured.java(listener, None)?, why)
            .map_err(|failed| format!("{listener:?}: {}", failed.message().unwrap_or_default()))?;
    }
    Ok(())
}

fn forbidden(secured: &Secured) -> Outcome {
    let (topic, open) = (unique("forbidden"), unique(OPEN));
    let admin = secured.tools(User::Admin)?;
    admin.create_topic(&topic, 1, 1, &[])?;
    admin.create_topic(&open, 1, 1, &[])?;
    for (user, topic) in [(User::Alice, &topic), (User::Bob, &open)] {
        let error = secured.tools(user)?.create_topic(topic, 1, 1, &[]);
        let told = error.err().map(|error| error.to_string()).unwrap_or_default();
        holds(&format!("{user:?} may not create it: {told}"), told.contains("TopicAuthorizationException"))?;
    }
    Ok(())
}

fn java_renews(secured: &Secured) -> Outcome {
    let (topic, admin) = (unique(OPEN), secured.tools(User::Admin)?);
    admin.create_topic(&topic, 1, 1, &[])?;
    let _alone = alone_with_renewals();
    let before = renewals(secured);
    let access = secured.java(Listener::SaslTlsRenewed, Some((Mechanism::Scram256, User::Alice)))?;
    let mut consumer =
        secured.tools_with(&access)?.spawn_console_consumer(&Consume::group(&topic, &topic).forever())?;
    until(PATIENCE, "four authentications anew", || renewals(secured) >= before + 4)?;
    admin.console_produce(&topic, &["one"], None, &[])?;
    until(PATIENCE, "a record after them", || consumer.line_count() == 1)?;
    holds("it goes on", consumer.is_running())
}

/// The key is in the form that Java 17 can read.
fn encrypted(secured: &Secured) -> Outcome {
    for (kind, file, password, why) in [
        ("PEM", "encrypted-for-java.pem", "ssl.key.password", "EncryptedPrivateKeyInfo"),
        ("PKCS12", "client.p12", "ssl.keystore.password", "password was incorrect"),
    ] {
        let access = secured.java(Listener::Mutual, None)?.with_certificate(secured.certificates(), file);
        let access = access.set("ssl.keystore.type", kind);
        refused(secured, &access.clone().set(password, "wrong"), why)?;
        secured.tools_with(&access.set(password, STORE_PASSWORD))?.create_topic(&unique(OPEN), 1, 1, &[])?;
    }
    Ok(())
}

fn tokens(secured: &Secured) -> Outcome {
    for (seconds, taken) in [(600, true), (-600, false)] {
        let mut stream = TcpStream::connect(secured.address(Listener::Sasl)?)?;
        let mechanism = Mechanism::OAuthBearer.name().to_owned();
        ask(&mut stream, ApiKey::SaslHandshake, 1, SaslHandshakeRequest { mechanism })?;
        let token = unsigned_token(User::Alice.name(), seconds);
        let auth_bytes = Secret::from(format!("n,,\u{1}auth=Bearer {token}\u{1}\u{1}"));
        let answer = ask(&mut stream, ApiKey::SaslAuthenticate, 1, SaslAuthenticateRequest { auth_bytes })?;
        let Response::SaslAuthenticate(answer) = answer else { return Err("another answer".into()) };
        // A refusal is 0, too, with a reason that the client has to acknowledge.
        equal("the code", answer.error_code, ErrorCode::None)?;
        equal(&format!("taken, with {seconds} s left"), answer.session_lifetime_ms > 0, taken)?;
    }
    Ok(())
}

fn librdkafka(secured: &Secured) -> Outcome {
    let topic = unique(OPEN);
    secured.tools(User::Admin)?.create_topic(&topic, 3, 1, &[])?;
    for (listener, mechanism) in [
        (Listener::Sasl, Mechanism::Plain),
        (Listener::SaslTls, Mechanism::Scram512),
        (Listener::SaslMutual, Mechanism::Scram256),
    ] {
        let mut config = ClientConfig::new();
        for (key, value) in secured.librdkafka(listener, Some((mechanism, User::Alice)))?.pairs() {
            config.set(key, value);
        }
        let consumer: BaseConsumer = config.create()?;
        let metadata = consumer.fetch_metadata(Some(&topic), PATIENCE)?;
        let partitions = metadata.topics().first().map(|topic| topic.partitions().len());
        equal(mechanism.name(), partitions, Some(3))?;
    }
    Ok(())
}
