//! No secret is told: whatever is logged, shown or returned while clients authenticate, well and badly, is searched for every
//! password, token and key that was used.

#![expect(clippy::unwrap_used, reason = "a test's helpers")]

#[expect(dead_code, reason = "some have no use here")]
mod certificates;
#[expect(dead_code, reason = "some have no use here")]
mod common;

use std::{
    collections::BTreeMap,
    fmt::{Debug, Display, Write as _},
    sync::Mutex,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use ottla::{
    Admin, Consumer, ConsumerBuilder, OAuthToken, OAuthTokenError, OffsetReset, Producer, ProducerRecord,
    Properties as Read,
};
use ottla_broker::{ClientAuth, Config, Sasl, SaslMechanism, Server, TopicSpec};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use certificates::{Ca, Identity};
use common::PATIENCE;

type Properties = BTreeMap<&'static str, String>;

const PASSWORD: &str = "open-sesame-4711";
const WRONG_PASSWORD: &str = "close-sesame-0815";
const KEY_PASSWORD: &str = "key-sesame-2342";
const WRONG_KEY_PASSWORD: &str = "lost-sesame-5555";
const MECHANISMS: [&str; 4] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"];

/// All that was told.
static TOLD: Mutex<String> = Mutex::new(String::new());

fn hear(text: impl Display) {
    writeln!(TOLD.lock().unwrap(), "{text}").unwrap();
}

/// Every form of what users may print.
fn show(value: &impl Debug) {
    hear(format_args!("{value:?} {value:#?}"));
}

fn show_error(error: &dyn std::error::Error) {
    hear(format_args!("{error} {error:#} {error:?} {error:#?}"));
    if let Some(source) = error.source() {
        show_error(source);
    }
}

/// Hears everything that anybody logs, at every level.
struct Ear;

impl Visit for Ear {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        hear(format_args!("{field}={value:?}"));
    }
}

impl Subscriber for Ear {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        span.record(&mut Self);
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut Self);
    }

    fn event(&self, event: &Event<'_>) {
        hear(event.metadata().level());
        event.record(&mut Self);
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// A token that nobody has signed, which a broker for tests believes.
fn token(name: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = format!(r#"{{"sub":"{name}","iat":{now},"exp":{}}}"#, now + 600);
    let [head, claims] = [r#"{"alg":"none"}"#, &claims].map(|text| BASE64_URL_SAFE_NO_PAD.encode(text));
    format!("{head}.{claims}.")
}

struct Scene {
    server: Server,
    ca: Ca,
    client: Identity,
    token: String,
    wrong_token: String,
}

impl Scene {
    fn new() -> Self {
        let ca = Ca::new("ca");
        let mut sasl = Sasl::new(SaslMechanism::ALL.iter().copied()).user("alice", PASSWORD);
        // Sessions are renewed while the test looks on.
        sasl.connections_max_reauth = Some(Duration::from_millis(1100));
        let config = Config {
            topics: vec![TopicSpec::new("t", 1)],
            sasl: Some(sasl),
            tls: Some(ca.tls().client_auth(ClientAuth::Required { ca: ca.pem.clone().into() })),
            ..Config::default()
        };
        let server = Server::start_on_thread(config, ([127, 0, 0, 1], 0)).unwrap();
        let client = ca.sign("carol");
        let wrong_token = format!("{}damaged", token("mallory"));
        Self { server, ca, client, token: token("alice"), wrong_token }
    }

    fn locked(&self) -> Identity {
        self.client.encrypted(KEY_PASSWORD)
    }

    /// All that must not be found.
    fn secrets(&self) -> Vec<String> {
        let body = |pem: &str| pem.lines().filter(|line| !line.starts_with('-')).collect::<Vec<_>>().join("");
        let passwords = [PASSWORD, WRONG_PASSWORD, KEY_PASSWORD, WRONG_KEY_PASSWORD].map(str::to_owned);
        let claims = |token: &str| token.split('.').nth(1).unwrap().to_owned();
        let tokens = [&self.token, &self.wrong_token].map(|token| claims(token));
        // The encrypted key: as long as nobody has it, a weak password protects it.
        let keys = [&self.client.key, &self.locked().key].map(|key| body(key)[..60].to_owned());
        passwords.into_iter().chain(tokens).chain(keys).collect()
    }

    fn properties(&self, mechanism: &str, password: &str) -> Properties {
        let Identity { certificate, key } = self.locked();
        let module = match mechanism {
            "OAUTHBEARER" => "oauthbearer.OAuthBearerLoginModule required;".to_owned(),
            "PLAIN" => format!("plain.PlainLoginModule required username=\"alice\" password=\"{password}\";"),
            _ => format!("scram.ScramLoginModule required username=\"alice\" password=\"{password}\";"),
        };
        BTreeMap::from([
            ("bootstrap.servers", self.server.bootstrap()),
            ("security.protocol", "SASL_SSL".to_owned()),
            ("sasl.mechanism", mechanism.to_owned()),
            ("sasl.jaas.config", format!("org.apache.kafka.common.security.{module}")),
            ("ssl.truststore.certificates", self.ca.pem.clone()),
            ("ssl.keystore.certificate.chain", certificate),
            ("ssl.keystore.key", key),
            ("ssl.key.password", KEY_PASSWORD.to_owned()),
            ("default.api.timeout.ms", "5000".to_owned()),
        ])
    }
}

fn reader(properties: &Properties, token: &str) -> ConsumerBuilder {
    let (token, group) = (token.to_owned(), properties["sasl.mechanism"].clone());
    let builder = Consumer::builder().properties(properties).unwrap().group_id(group).subscribe(["t"]);
    let builder = builder.auto_offset_reset(OffsetReset::Earliest).on_wait(|why| hear(why));
    match properties["sasl.mechanism"] == "OAUTHBEARER" {
        true => builder.oauth_token_provider(move || {
            let token = OAuthToken::new(token.clone()).extension("tenant", "acme");
            show(&token);
            std::future::ready(Ok(token))
        }),
        false => builder,
    }
}

/// Writes a record, reads it, and lives on until its session has been renewed.
async fn goes_well(scene: &Scene, properties: &Properties) {
    let builder = reader(properties, &scene.token);
    show(&builder);
    show(&builder.settings());
    let mut consumer = builder.build().await.unwrap();
    if properties["sasl.mechanism"] != "OAUTHBEARER" {
        let producer = Producer::builder().properties(properties).unwrap();
        show(&producer);
        show(&producer.settings());
        let producer = producer.build().await.unwrap();
        producer.send(ProducerRecord::to("t").value(b"v".to_vec())).await.unwrap().await.unwrap();
        show(&producer);
        producer.close().await.unwrap();
        let admin = Admin::builder().properties(properties).unwrap();
        show(&admin);
        show(&admin.settings());
        let admin = admin.build().await.unwrap();
        show(&admin.describe_cluster().await.unwrap());
        show(&admin);
        show(&admin.explain());
        admin.close().await;
    }
    show(&tokio::time::timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap());
    let rest = tokio::time::timeout(Duration::from_millis(1500), async {
        loop {
            show(&consumer.recv().await.unwrap());
        }
    });
    assert!(rest.await.is_err(), "nothing goes wrong");
    while let Some(event) = consumer.next_event() {
        show(&event);
    }
    show(&consumer);
    show(&consumer.explain());
    consumer.close().await.unwrap();
}

/// Is refused when it is built, and in its first call.
async fn goes_badly(scene: &Scene, properties: &Properties) {
    show_error(&reader(properties, &scene.wrong_token).build().await.unwrap_err());
    let lazy = reader(properties, &scene.wrong_token).wait_for_broker(false);
    let mut consumer = lazy.build().await.unwrap();
    show_error(&tokio::time::timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap_err());
    show(&consumer);
    show(&consumer.explain());
    while let Some(event) = consumer.next_event() {
        show(&event);
    }
    consumer.close().await.ok();
}

/// What cannot be built, or not even be told to a builder.
async fn cannot_be_built(properties: &Properties) {
    let plain = properties["ssl.keystore.key"].replace("ENCRYPTED ", "");
    let in_one_line = properties["ssl.keystore.key"].replace('\n', " ");
    let cut = properties["ssl.keystore.key"].replace("-----END", "");
    let jaas = |rest: &str| format!("org.apache.kafka.common.security.plain.PlainLoginModule {rest}");
    for (key, value) in [
        ("ssl.key.password", WRONG_KEY_PASSWORD),
        ("ssl.key.password", ""),
        ("ssl.keystore.key", &plain),
        ("ssl.keystore.key", &in_one_line),
        ("ssl.keystore.key", &cut),
        ("ssl.truststore.certificates", &in_one_line),
        ("ssl.keystore.certificate.chain", &cut),
        ("ssl.key.pasword", KEY_PASSWORD),
        ("sasl.pasword", PASSWORD),
        ("sasl.oauthbearer.client.credentials.client.secret", PASSWORD),
        ("sasl.oauthbearer.client.secret", PASSWORD),
        ("ssl.keystore.password", PASSWORD),
        ("ssl.truststore.password", PASSWORD),
        ("sasl.password", PASSWORD),
        ("sasl.jaas.config", PASSWORD),
        ("sasl.jaas.config", &jaas(&format!("password={PASSWORD}"))),
        ("sasl.jaas.config", &jaas(&format!("required username=alice password=\"{PASSWORD}"))),
        ("sasl.jaas.config", &jaas(&format!("required username=\"alice\" \"{PASSWORD}\";"))),
        ("sasl.jaas.config", &jaas(&format!("required username=\"alice\" pass=\"{PASSWORD}\";"))),
        ("sasl.jaas.config", &jaas(&format!("{PASSWORD} username=\"alice\";"))),
    ] {
        let mut properties = properties.clone();
        properties.insert(key, value.to_owned());
        match Consumer::builder().properties(&properties) {
            Ok(builder) => {
                show(&builder);
                if let Err(error) = builder.build().await {
                    show_error(&error);
                }
            }
            Err(error) => show_error(&error),
        }
    }
    let text = properties
        .iter()
        .fold(String::new(), |text, (key, value)| text + &format!("{key}={}\n", value.replace('\n', "\\n")));
    show(&Read::parse(&text).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_logged_or_shown_or_told_by_an_error() {
    tracing::subscriber::set_global_default(Ear).unwrap();
    let scene = Scene::new();
    for mechanism in MECHANISMS {
        goes_well(&scene, &scene.properties(mechanism, PASSWORD)).await;
        goes_badly(&scene, &scene.properties(mechanism, WRONG_PASSWORD)).await;
    }
    let properties = scene.properties("PLAIN", PASSWORD);
    cannot_be_built(&properties).await;
    let refuses = || async { Err(OAuthTokenError::Refused("the provider's words".to_owned())) };
    let bearer = scene.properties("OAUTHBEARER", PASSWORD);
    let builder = Consumer::builder().properties(&bearer).unwrap().oauth_token_provider(refuses);
    show_error(&builder.build().await.unwrap_err());
    // A listener without TLS, and one without SASL, to which the password must not go.
    let plain = common::server(1);
    for protocol in ["SASL_SSL", "SASL_PLAINTEXT"] {
        let mut properties = properties.clone();
        properties.insert("bootstrap.servers", plain.bootstrap());
        properties.insert("security.protocol", protocol.to_owned());
        show_error(&reader(&properties, "").build().await.unwrap_err());
    }

    let told = TOLD.lock().unwrap().clone();
    for heard in ["the provider's words", "alice", "SCRAM-SHA-512", "TRACE", "ConsumerBuilder", "hidden"] {
        assert!(told.contains(heard), "`{heard}` is not told: it is not listened to");
    }
    for secret in scene.secrets() {
        let bytes = format!("{:?}", secret.as_bytes());
        let forms = [
            secret.clone(),
            BASE64_STANDARD.encode(&secret).trim_end_matches('=').to_owned(),
            bytes.trim_matches(['[', ']']).to_owned(),
            secret.bytes().map(|byte| format!("{byte:02x}")).collect(),
        ];
        for form in forms {
            if let Some(at) = told.find(&form) {
                let from = told.floor_char_boundary(at.saturating_sub(300));
                panic!("`{form}` is told: {}", &told[from..at + form.len()]);
            }
        }
    }
}
