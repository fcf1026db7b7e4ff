//! How a client authenticates, by what its properties say.

use super::*;

fn parse(properties: &[(&str, &str)]) -> Result<Authentication, BuildError> {
    let mut sasl = Sasl::default();
    for (key, value) in properties {
        let taken = sasl.take(key, value).unwrap() || librdkafka::take(&mut sasl, key, value).unwrap();
        assert!(taken, "{key}");
    }
    sasl.parse(&Ssl::default())
}

#[track_caller]
fn refused(properties: &[(&str, &str)], about: &str) {
    let text = parse(properties).expect_err("it is taken").to_string();
    assert!(text.contains(about) && !text.contains("hush"), "{text}");
}

const PLAIN: &str =
    "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"alice\" password=\"hush\";";
const SCRAM: &str = "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"alice\" \
                     password=\"hush\" tokenauth=\"true\";";
const BEARER: &str = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required \
                      unsecuredLoginStringClaim_sub=\"alice\";";

#[test]
fn javas_and_librdkafkas_names_say_the_same() {
    let java = parse(&[("sasl.mechanism", "PLAIN"), ("sasl.jaas.config", PLAIN)]);
    let librdkafka =
        parse(&[("sasl.mechanisms", "PLAIN"), ("sasl.username", "alice"), ("sasl.password", "hush")]);
    for told in [java, librdkafka] {
        let told = told.unwrap();
        let Credentials::Plain { username, password } = &told.sasl.credentials else { panic!("{told:?}") };
        assert_eq!((username.as_str(), password.expose_text()), ("alice", Some("hush")));
        assert!(!format!("{told:?}").contains("hush"));
    }
}

#[test]
fn a_delegation_token_says_that_it_is_one() {
    let told = parse(&[("sasl.mechanism", "scram-sha-512"), ("sasl.jaas.config", SCRAM)]).unwrap();
    let Credentials::Scram { hash, delegation_token, .. } = told.sasl.credentials else { panic!("{told:?}") };
    assert_eq!((hash, delegation_token), (ScramHash::Sha512, true));
}

#[tokio::test]
async fn a_token_that_nobody_signed_has_a_name_and_an_end() {
    let told = parse(&[("sasl.mechanism", "OAUTHBEARER"), ("sasl.jaas.config", BEARER)]).unwrap();
    let token = told.tokens.unwrap().token(std::time::Duration::from_secs(1)).await.unwrap();
    let text = token.token.expose_text().unwrap();
    let parts: Vec<&str> = text.split('.').collect();
    assert_eq!((parts.len(), parts[2]), (3, ""));
    let claims = base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, parts[1]).unwrap();
    let claims = String::from_utf8(claims).unwrap();
    assert!(claims.contains(r#""sub":"alice""#) && claims.contains(r#""exp":"#), "{claims}");
}

#[tokio::test]
async fn a_token_of_a_file_is_read_each_time() {
    let path = std::env::temp_dir().join(format!("ottla-token-{}", std::process::id()));
    let url = format!("file://{}", path.display());
    let told = parse(&[("sasl.mechanism", "OAUTHBEARER"), ("sasl.oauthbearer.token.endpoint.url", &url)]);
    let tokens = told.unwrap().tokens.unwrap();
    let within = std::time::Duration::from_secs(1);
    let missing = tokens.token(within).await.unwrap_err();
    assert!(matches!(&missing, ottla_core::SaslFailure::NoToken(why) if why.contains("ottla-token")));
    for text in ["first\n", "second\n"] {
        std::fs::write(&path, text).unwrap();
        let token = tokens.token(within).await.unwrap();
        assert_eq!(token.token.expose_text(), Some(text.trim()));
    }
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn what_does_not_say_who_the_client_is_is_refused() {
    refused(&[], "`sasl.mechanism`");
    refused(&[("sasl.mechanism", "GSSAPI")], "Kerberos");
    refused(&[("sasl.mechanism", "DIGEST-MD5")], "DIGEST-MD5");
    refused(&[("sasl.mechanism", "PLAIN")], "sasl.jaas.config");
    refused(&[("sasl.mechanism", "PLAIN"), ("sasl.username", "alice")], "sasl.password");
    refused(&[("sasl.mechanism", "PLAIN"), ("sasl.jaas.config", SCRAM)], "takes PlainLoginModule");
    refused(&[("sasl.mechanism", "PLAIN"), ("sasl.jaas.config", &PLAIN.replace(';', ""))], "semicolon");
    let nameless = PLAIN.replace("username", "user");
    refused(&[("sasl.mechanism", "PLAIN"), ("sasl.jaas.config", &nameless)], "`username`");
    refused(&[("sasl.mechanism", "OAUTHBEARER")], "sasl.oauthbearer.token.endpoint.url");
    let url = "ftp://nowhere";
    refused(
        &[("sasl.mechanism", "OAUTHBEARER"), ("sasl.oauthbearer.token.endpoint.url", url)],
        "ftp://nowhere",
    );
    let url = "file:here";
    refused(&[("sasl.mechanism", "OAUTHBEARER"), ("sasl.oauthbearer.token.endpoint.url", url)], "slash");
}
