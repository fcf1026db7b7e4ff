//! Who is refused is told at once, and why: by the consumer's `build`, or its first `recv`.

use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use ottla::Consumer;
use ottla::error::{BuildErrorKind, RecvErrorKind};
use ottla_conformance::bad_server::{BadServer, Garbage};
use ottla_conformance::kafka::{
    Access, Listener, Mechanism, OPEN, STORE_PASSWORD, Scope, Secured, TOKEN_HANDLER, User, unsigned_token,
};
use ottla_conformance::wait::until;

use crate::cases::{Case, Outcome};
use crate::kit::{PATIENCE, equal, holds, wait};
use crate::secured_cli;

/// How soon a refusal is told.
const AT_ONCE: Duration = Duration::from_secs(2);

const WRONG: &str = "not-the-secret";

const TLS: Listener = Listener::Tls;

/// A broker and the client do not come together.
const CONNECTION: BuildErrorKind = BuildErrorKind::Connection;

/// The client cannot go by its properties.
const INVALID: BuildErrorKind = BuildErrorKind::InvalidValue;

type Properties = Result<Access, Failed>;

pub(crate) fn cases() -> Vec<Case> {
    [passwords(), brokers_certificates(), clients_certificates(), ports(), tokens(), files()]
        .into_iter()
        .flatten()
        .collect()
}

/// A case in which a client with these properties is refused with an error of this kind, and is told all of this.
fn refused(
    name: &str,
    kind: BuildErrorKind,
    told: &'static [&'static str],
    properties: impl Fn(&Secured) -> Properties + Send + Sync + 'static,
) -> Case {
    let run = move |secured: &Secured| wait(is_told(properties(secured)?, kind, told));
    Case::secured(format!("refused_at_once_and_by_name_{name}"), run).timed()
}

async fn is_told(access: Access, kind: BuildErrorKind, told: &[&str]) -> Outcome {
    let start = Instant::now();
    let error = tokio::time::timeout(PATIENCE, first_error(&access)).await;
    let ((is, error), took) = (error.map_err(|_| "nothing is told")??, start.elapsed());
    equal(&format!("the kind of `{error}`"), is, kind)?;
    for part in told {
        let is_there = error.to_lowercase().contains(&part.to_lowercase());
        holds(&format!("`{part}` is in `{error}`"), is_there)?;
    }
    for secret in [WRONG, STORE_PASSWORD, User::Alice.password()] {
        holds(&format!("no secret is in `{error}`"), !error.contains(secret))?;
    }
    holds(&format!("at once, not after {took:?}: {error}"), took < AT_ONCE)
}

/// Its kind, and its text with the causes that it names.
async fn first_error(access: &Access) -> Result<(BuildErrorKind, String), Failed> {
    let builder = match Consumer::builder().properties(access.pairs()) {
        Ok(builder) => builder,
        Err(error) => return Ok((error.kind(), format!("{error:#}"))),
    };
    let mut consumer = match builder.build().await {
        Ok(consumer) => consumer,
        Err(error) => return Ok((error.kind(), format!("{error:#}"))),
    };
    consumer.assign([(format!("{OPEN}-for-nobody").as_str(), 0)])?;
    match consumer.recv().await {
        Ok(record) => Err(format!("it is let in, and reads {record:?}").into()),
        Err(error) if error.kind() == RecvErrorKind::Connection => Ok((CONNECTION, format!("{error:#}"))),
        Err(error) => Err(format!("refused as {:?}: {error:#}", error.kind()).into()),
    }
}

fn passwords() -> Vec<Case> {
    use Mechanism::{Plain, Scram256, Scram512};
    const INVALID_SCRAM: &[&str] = &["invalid credentials with SASL mechanism SCRAM-SHA-"];
    const INVALID_PLAIN: &[&str] = &["Invalid username or password"];
    let wrong = |mechanism, user: &'static str| {
        move |secured: &Secured| -> Properties {
            Ok(secured.java(Listener::Sasl, None)?.sasl(mechanism, user, WRONG))
        }
    };
    vec![
        refused("a_wrong_password_of_plain", CONNECTION, INVALID_PLAIN, wrong(Plain, "alice")),
        refused("a_wrong_password_of_scram_sha_256", CONNECTION, INVALID_SCRAM, wrong(Scram256, "alice")),
        refused("a_wrong_password_of_scram_sha_512", CONNECTION, INVALID_SCRAM, wrong(Scram512, "alice")),
        refused("an_unknown_user_of_plain", CONNECTION, INVALID_PLAIN, wrong(Plain, "nobody")),
        refused("an_unknown_user_of_scram", CONNECTION, INVALID_SCRAM, wrong(Scram256, "nobody")),
        refused(
            "a_mechanism_that_is_not_enabled",
            CONNECTION,
            &["does not have PLAIN", "SCRAM-SHA-512"],
            |secured| Ok(secured.java(Listener::OneMechanism, Some((Plain, User::Alice)))?),
        ),
        refused("a_jaas_line_with_a_syntax_error", INVALID, &["sasl.jaas.config"], |secured| {
            let access = secured.java(Listener::Sasl, Some((Plain, User::Alice)))?;
            let line = access.get("sasl.jaas.config").unwrap_or_default().replace("username=\"", "username=");
            Ok(access.set("sasl.jaas.config", line))
        }),
        refused("a_jaas_line_of_another_mechanism", INVALID, &["sasl.jaas.config"], |secured| {
            let access = secured.java(Listener::Sasl, Some((Plain, User::Alice)))?;
            Ok(access.set("sasl.mechanism", Scram256.name()))
        }),
    ]
}

fn brokers_certificates() -> Vec<Case> {
    let at = |listener| move |secured: &Secured| -> Properties { Ok(secured.java(listener, None)?) };
    const UNTRUSTED: &[&str] = &["signed by nobody who is trusted", "ssl.truststore"];
    vec![
        refused("a_broker_whose_certificate_has_expired", CONNECTION, &["expired"], at(Listener::Expired)),
        refused(
            "a_broker_whose_certificate_is_not_valid_yet",
            CONNECTION,
            &["not valid yet"],
            at(Listener::NotYetValid),
        ),
        refused(
            "a_broker_with_another_hosts_certificate",
            CONNECTION,
            &["another host"],
            at(Listener::WrongHost),
        ),
        refused("a_broker_of_an_unknown_authority", CONNECTION, UNTRUSTED, at(Listener::UnknownAuthority)),
        refused("a_broker_whose_certificate_signed_itself", CONNECTION, UNTRUSTED, at(Listener::SelfSigned)),
    ]
}

fn clients_certificates() -> Vec<Case> {
    const REQUIRED: &[&str] = &["asks for a client certificate", "ssl.keystore.location"];
    const REFUSED: &[&str] = &["refuses the client certificate"];
    let without = |version: &'static str| {
        move |secured: &Secured| -> Properties {
            let access = secured.java(Listener::Mutual, None)?.set("ssl.enabled.protocols", version);
            Ok(access.without("ssl.keystore.location").without("ssl.keystore.type"))
        }
    };
    let with = |file: &'static str, version: &'static str| {
        move |secured: &Secured| -> Properties {
            let access = secured.java(Listener::Mutual, None)?.set("ssl.enabled.protocols", version);
            Ok(access.with_certificate(secured.certificates(), file))
        }
    };
    const ENCRYPTED: &str = "encrypted.pem";
    vec![
        refused("a_client_without_a_certificate_under_tls_1_2", CONNECTION, REQUIRED, without("TLSv1.2")),
        refused("a_client_without_a_certificate_under_tls_1_3", CONNECTION, REQUIRED, without("TLSv1.3")),
        refused(
            "a_client_of_another_authority_under_tls_1_2",
            CONNECTION,
            REFUSED,
            with("other-client.pem", "TLSv1.2"),
        ),
        // Here the client's handshake has ended before the broker refuses.
        refused(
            "a_client_of_another_authority_under_tls_1_3",
            CONNECTION,
            REFUSED,
            with("other-client.pem", "TLSv1.3"),
        ),
        refused(
            "a_client_whose_certificate_has_expired",
            CONNECTION,
            REFUSED,
            with("expired-client.pem", "TLSv1.3"),
        ),
        refused(
            "a_key_that_does_not_fit_its_certificate",
            INVALID,
            &["ssl.keystore"],
            with("unfitting.pem", "TLSv1.3"),
        ),
        refused(
            "an_encrypted_key_without_its_password",
            INVALID,
            &["ssl.key.password"],
            with(ENCRYPTED, "TLSv1.3"),
        ),
        refused("an_encrypted_key_with_a_wrong_password", INVALID, &["ssl.key.password"], move |secured| {
            Ok(with(ENCRYPTED, "TLSv1.3")(secured)?.set("ssl.key.password", WRONG))
        }),
        // Java 17 reads no other.
        refused(
            "a_key_encrypted_as_java_has_it",
            INVALID,
            &["encrypted-for-java.pem", "openssl pkcs8 -topk8 -v2"],
            move |secured| {
                let access = with("encrypted-for-java.pem", "TLSv1.3")(secured)?;
                Ok(access.set("ssl.key.password", STORE_PASSWORD))
            },
        ),
        refused(
            "a_pkcs12_store_with_a_wrong_password",
            INVALID,
            &["ssl.keystore.password"],
            move |secured| {
                let access = with("client.p12", "TLSv1.3")(secured)?.set("ssl.keystore.type", "PKCS12");
                Ok(access.set("ssl.keystore.password", WRONG))
            },
        ),
    ]
}

fn ports() -> Vec<Case> {
    let as_if = |protocol: &'static str, listener: Listener| {
        move |secured: &Secured| -> Properties {
            let access = match protocol {
                "SSL" => secured.java(TLS, None)?,
                "SASL_PLAINTEXT" => secured.java(Listener::Sasl, Some((Mechanism::Plain, User::Alice)))?,
                _ => secured.java(Listener::Plaintext, None)?,
            };
            Ok(access.set("bootstrap.servers", secured.address(listener)?))
        }
    };
    const NO_TLS: &[&str] = &["TLS", "check the port, and security.protocol"];
    const NO_SASL: &[&str] = &["asks for no authentication", "security.protocol"];
    let http = |secured: &Secured| {
        let server = BadServer::start(Garbage::Http)?;
        let access = secured.java(TLS, None)?.set("bootstrap.servers", server.address());
        wait(is_told(access, CONNECTION, &["no TLS", "security.protocol"]))
    };
    vec![
        refused(
            "no_tls_at_a_port_for_tls",
            CONNECTION,
            &["TLS", "security.protocol"],
            as_if("PLAINTEXT", TLS),
        ),
        refused("tls_at_a_port_without", CONNECTION, NO_TLS, as_if("SSL", Listener::Plaintext)),
        refused("tls_at_a_port_for_sasl_alone", CONNECTION, NO_TLS, as_if("SSL", Listener::Sasl)),
        refused(
            "no_sasl_at_a_port_for_sasl",
            CONNECTION,
            &["SASL", "security.protocol"],
            as_if("PLAINTEXT", Listener::Sasl),
        ),
        refused("sasl_at_a_port_without", CONNECTION, NO_SASL, as_if("SASL_PLAINTEXT", Listener::Plaintext)),
        Case::secured("refused_at_once_and_by_name_tls_at_an_http_server", http).timed(),
    ]
}

/// A client that asks here for its tokens.
fn with_tokens_from(secured: &Secured, url: &str) -> Properties {
    let jaas = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required clientId=\"alice\" \
                clientSecret=\"alice-secret\";";
    let access = secured.java(Listener::Sasl, Some((Mechanism::OAuthBearer, User::Alice)))?;
    let access = access.set("sasl.jaas.config", jaas).set("sasl.oauthbearer.token.endpoint.url", url);
    Ok(access.set("sasl.login.callback.handler.class", TOKEN_HANDLER))
}

/// Alice, with the provider's tokens of such a scope.
fn signed(secured: &Secured, scope: Scope) -> Properties {
    Ok(secured.signed(Listener::SignedTls, User::Alice, scope)?)
}

fn tokens() -> Vec<Case> {
    let refusing = |secured: &Secured| {
        let server = BadServer::start(Garbage::Http)?;
        let access = with_tokens_from(secured, &format!("http://{}/token", server.address()))?;
        wait(is_told(access, CONNECTION, &["token", "400"]))
    };
    vec![
        refused("an_expired_token_that_nobody_has_signed", CONNECTION, &["invalid_token"], |secured| {
            let file = secured.certificates().path("expired.jwt");
            std::fs::write(&file, unsigned_token("alice", -3600))?;
            with_tokens_from(secured, &format!("file://{}", file.display()))
        }),
        refused("no_file_of_tokens", CONNECTION, &["missing.jwt"], |secured| {
            let file = secured.certificates().path("missing.jwt");
            with_tokens_from(secured, &format!("file://{}", file.display()))
        }),
        refused("an_expired_token", CONNECTION, &["invalid_token"], |secured| {
            signed(secured, Scope::Expired)
        })
        .with_openid(),
        refused("a_token_for_another_audience", CONNECTION, &["invalid_token"], |secured| {
            signed(secured, Scope::Elsewhere)
        })
        .with_openid(),
        refused("a_wrong_secret_of_an_openid_client", CONNECTION, &["401", "invalid_client"], |secured| {
            let access = signed(secured, Scope::Kafka)?;
            Ok(access.set("sasl.oauthbearer.client.credentials.client.secret", WRONG))
        })
        .with_openid(),
        refused(
            "a_scope_that_the_provider_does_not_know",
            CONNECTION,
            &["400", "invalid_scope"],
            |secured| Ok(signed(secured, Scope::Kafka)?.set("sasl.oauthbearer.scope", "nothing")),
        )
        .with_openid(),
        refused(
            "a_provider_whose_authority_is_not_trusted",
            CONNECTION,
            &["/token", "UnknownIssuer"],
            |secured| {
                let access = signed(secured, Scope::Kafka)?;
                let line =
                    access.get("sasl.jaas.config").unwrap_or_default().replace("ca.crt", "other-ca.crt");
                Ok(access.set("sasl.jaas.config", line))
            },
        )
        .with_openid(),
        Case::secured("refused_at_once_and_by_name_a_token_endpoint_that_refuses", refusing).timed(),
        Case::secured("a_token_endpoint_that_is_silent_is_told_at_once", silent_endpoint).timed(),
    ]
}

/// It may speak again: so nothing ends, and the wait is told.
fn silent_endpoint(secured: &Secured) -> Outcome {
    let server = BadServer::start(Garbage::Silence)?;
    let access = with_tokens_from(secured, &format!("http://{}/token", server.address()))?;
    let mut consume = secured_cli::spawn(secured, &["consume", &format!("{OPEN}-for-nobody")], &access)?;
    until(AT_ONCE, "a line about the token", || consume.stderr().contains("token"))
        .map_err(|late| format!("{late}: {}", consume.stderr()))?;
    holds("it goes on", consume.is_running())
}

fn files() -> Vec<Case> {
    const TRUST: &[&str] = &["ssl.truststore.location"];
    let trusting = |file: &'static str| {
        move |secured: &Secured| -> Properties {
            let file = secured.certificates().path(file);
            Ok(secured.java(TLS, None)?.set("ssl.truststore.location", file.display()))
        }
    };
    vec![
        refused("a_file_of_certificates_that_is_missing", INVALID, TRUST, trusting("nowhere.pem")),
        refused("a_file_of_certificates_that_is_empty", INVALID, TRUST, trusting("empty.pem")),
        refused("a_file_of_certificates_in_der", INVALID, TRUST, trusting("ca.der")),
    ]
}
