//! Brokers that authenticate nobody, or say at length why not.

use ottla::{Admin, AdminBuilder, error::BuildErrorKind};
use ottla_broker::{Config, Sasl, SaslMechanism};
use ottla_protocol::ErrorCode;

use crate::{
    broker::{Hostile, changes},
    clients::ANSWER,
    script::{LITTLE, MIB, script},
};

fn broker() -> Hostile {
    let sasl = Sasl::new(SaslMechanism::ALL.iter().copied()).user("alice", "open sesame");
    Hostile::of(Config { sasl: Some(sasl), ..Config::default() })
}

fn alice(broker: &Hostile, mechanism: &str) -> AdminBuilder {
    let module = if mechanism == "PLAIN" { "plain.PlainLoginModule" } else { "scram.ScramLoginModule" };
    let jaas = format!(
        "org.apache.kafka.common.security.{module} required username=\"alice\" password=\"open sesame\";"
    );
    let properties = [
        ("bootstrap.servers", broker.bootstrap()),
        ("security.protocol", "SASL_PLAINTEXT".to_owned()),
        ("sasl.mechanism", mechanism.to_owned()),
        ("sasl.jaas.config", jaas),
    ];
    Admin::builder().properties(properties).unwrap().request_timeout(ANSWER).default_api_timeout(5 * ANSWER)
}

/// The client is not built, and tells this; and is once the broker is honest.
async fn refused(broker: &Hostile, mechanism: &str, what: &str) {
    let error = alice(broker, mechanism).build().await.unwrap_err();
    let said = format!("{error:#}");
    assert_eq!(error.kind(), BuildErrorKind::Connection, "{said}");
    assert!(said.contains(what) && said.contains(&broker.bootstrap()) && said.len() < 20_000, "{said}");
    broker.repents();
    alice(broker, mechanism).build().await.unwrap().close().await;
}

script! {
    words_of_megabytes_about_a_password_are_cut within LITTLE + 16 * MIB => async || {
        let broker = broker();
        changes!(broker, SaslAuthenticate, |answer| {
            (answer.error_code, answer.error_message) =
                (ErrorCode::SaslAuthenticationFailed, Some("\u{1b}[2J".repeat(MIB)));
        });
        refused(&broker, "PLAIN", "the broker refused it").await;
    };

    /// Each of the longest name that there can be.
    two_thousand_mechanisms_are_told_by_the_first_few within LITTLE + 16 * MIB => async || {
        let broker = broker();
        changes!(broker, SaslHandshake, |answer| {
            answer.error_code = ErrorCode::UnsupportedSaslMechanism;
            answer.mechanisms = vec!["M".repeat(1000); 2_000];
        });
        refused(&broker, "PLAIN", "does not have PLAIN on this listener").await;
    };

    a_key_of_a_billion_rounds_is_not_computed within LITTLE => async || {
        let broker = broker();
        changes!(broker, SaslAuthenticate, |answer| {
            let said = answer.auth_bytes.expose_text().unwrap_or_default().to_owned();
            if let Some((before, _)) = said.split_once(",i=") {
                answer.auth_bytes = format!("{before},i=1000000000").into_bytes().into();
            }
        });
        refused(&broker, "SCRAM-SHA-256", "1000000000 iterations").await;
    };

    a_server_that_proves_nothing_is_not_trusted within LITTLE => async || {
        let broker = broker();
        changes!(broker, SaslAuthenticate, |answer| {
            let said = answer.auth_bytes.expose_text().unwrap_or_default().to_owned();
            if said.starts_with("v=") {
                answer.auth_bytes = b"v=AAAA".to_vec().into();
            }
        });
        refused(&broker, "SCRAM-SHA-512", "not to be trusted").await;
    };

    a_session_that_ends_in_a_million_years_is_as_good_as_any within LITTLE => async || {
        let broker = broker();
        changes!(broker, SaslAuthenticate, |answer| answer.session_lifetime_ms = i64::MAX);
        let admin = alice(&broker, "PLAIN").build().await.unwrap();
        assert!(admin.list_topics().await.unwrap().is_empty());
        admin.close().await;
    };
}
