//! Builders, their settings, and properties.

use std::time::Duration;

use ottla::{
    Acks, Admin, Compression, Consumer, GroupProtocol, OAuthToken, OAuthTokenError, OffsetReset, Producer,
    Properties, UnknownCompression,
    config::{
        AdminBuilder, AdminSettings, ConsumerBuilder, ConsumerSettings, JavaDefault, Many, Names, One,
        ProducerBuilder, ProducerSettings, Property, is_topic_name,
    },
    error::BuildError,
};

use crate::{Outcome, equal};

pub(crate) fn all(servers: &str) -> Outcome {
    let read = properties("group.id = billing\nauto.offset.reset = earliest\n")?;
    let built = consumer(servers).properties(read)?;
    equal(told(built.settings()), (Some("billing"), OffsetReset::Earliest, GroupProtocol::Classic))?;
    equal(packs(producer(servers).settings()), Compression::None)?;
    let quick = producer(servers).acks(Acks::Leader);
    equal((acknowledges(quick.settings()), quick.settings().enable_idempotence()), (Acks::Leader, false))?;
    equal(idles(admin(servers).settings()), Duration::from_secs(300))?;
    equal(compression("gzip")?, Compression::Gzip)?;
    equal(compression("rar").is_err(), true)?;
    equal(one("a"), several(["a"]))?;
    let acks = ProducerBuilder::known_properties().find(|property| property.name == "acks");
    equal(acks.map(|acks| java(&acks)), Some(JavaDefault::Same))?;
    let bearer = [("security.protocol", "SASL_SSL"), ("sasl.mechanism", "OAUTHBEARER")];
    let tokens = || std::future::ready(token("a secret"));
    equal(hides(&consumer(servers).properties(bearer)?.oauth_token_provider(tokens), "a secret"), true)?;
    equal(token("a secret").map(|token| hides(&token, "a secret")), Ok(true))?;
    equal(token("").is_err(), true)?;
    equal(is_topic_name("orders"), true)
}

pub(crate) fn consumer(servers: &str) -> ConsumerBuilder {
    Consumer::builder().bootstrap_servers(servers)
}

pub(crate) fn producer(servers: &str) -> ProducerBuilder {
    Producer::builder().bootstrap_servers([servers])
}

pub(crate) fn admin(servers: &str) -> AdminBuilder {
    Admin::builder().bootstrap_servers(servers)
}

fn properties(text: &str) -> Result<Properties, BuildError> {
    Properties::parse(text)
}

fn told(settings: ConsumerSettings<'_>) -> (Option<&str>, OffsetReset, GroupProtocol) {
    (settings.group_id(), settings.auto_offset_reset(), settings.group_protocol())
}

fn packs(settings: ProducerSettings<'_>) -> Compression {
    settings.compression()
}

fn acknowledges(settings: ProducerSettings<'_>) -> Acks {
    settings.acks()
}

fn idles(settings: AdminSettings<'_>) -> Duration {
    settings.connections_max_idle()
}

fn compression(name: &str) -> Result<Compression, UnknownCompression> {
    name.parse()
}

fn java(property: &Property) -> JavaDefault {
    property.java
}

fn one(name: impl Names<One>) -> Vec<String> {
    name.into_names()
}

fn several(names: impl Names<Many>) -> Vec<String> {
    names.into_names()
}

/// As a provider gives them.
fn token(text: &str) -> Result<OAuthToken, OAuthTokenError> {
    match text.is_empty() {
        true => Err(OAuthTokenError::Refused("there is none".to_owned())),
        false => Ok(OAuthToken::new(text)),
    }
}

fn hides(value: &impl std::fmt::Debug, secret: &str) -> bool {
    !format!("{value:?}").contains(secret)
}
