//! The protocol as Kafka's own files describe it.

use ottla_conformance::{kafka::Java, schema_oracle::differences, schemas::schemas};

use crate::cases::{Case, Outcome};

pub(crate) fn cases() -> Vec<Case> {
    vec![Case::alone("protocol_definitions_are_kafkas_own", protocol_definitions_are_kafkas_own).with_java()]
}

fn protocol_definitions_are_kafkas_own() -> Outcome {
    let differences = differences(&schemas(&Java::get()?.clients_jar())?);
    if differences.is_empty() { Ok(()) } else { Err(differences.join("\n").into()) }
}
