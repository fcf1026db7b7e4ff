//! `-X list`: the properties that a verb's client takes.

use ottla::{AdminBuilder, ConsumerBuilder, ProducerBuilder, config::Property};

use crate::{
    args::{Common, DlqVerb, ReplayArgs, Verb},
    failure::Failure,
    output::Table,
};

type Known = Vec<Property>;

/// Whether to list them: as JSON or not, and which.
pub(super) fn asked(outer: &Common, verb: &Verb) -> Option<(bool, Known)> {
    let (inner, known): (_, Known) = match verb {
        Verb::Consume(args) => (&args.common, ConsumerBuilder::known_properties().collect()),
        Verb::Process(args) => (&args.common, ConsumerBuilder::known_properties().collect()),
        Verb::Dlq(
            DlqVerb::List { common, .. }
            | DlqVerb::Show { common, .. }
            | DlqVerb::Replay(ReplayArgs { common, .. }),
        ) => (common, ConsumerBuilder::known_properties().collect()),
        Verb::Produce(args) => (&args.common, ProducerBuilder::known_properties().collect()),
        Verb::Doctor(args) => (&args.common, AdminBuilder::known_properties().collect()),
        Verb::Cluster(args) => (&args.common, AdminBuilder::known_properties().collect()),
        Verb::Lag(args) => (&args.common, AdminBuilder::known_properties().collect()),
        Verb::Serve(args) => (&args.common, AdminBuilder::known_properties().collect()),
        Verb::Top(args) => (&args.common, AdminBuilder::known_properties().collect()),
        Verb::Groups(verb) => (verb.common(), AdminBuilder::known_properties().collect()),
        Verb::Topics(verb) => (verb.common(), AdminBuilder::known_properties().collect()),
        _ => return None,
    };
    let common = outer.clone().with(inner.clone());
    common.properties.iter().any(|pair| pair == "list").then(|| (common.is_json(), known))
}

pub(super) fn list(json: bool, properties: Known) -> Result<(), Failure> {
    let mut table = Table::new(&["PROPERTY", "DEFAULT"]);
    for property in properties {
        let default = Some(property.default).filter(|default| !default.is_empty());
        table.push([property.name.into(), default.into()]);
    }
    table.print(json)
}
