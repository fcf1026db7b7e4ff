//! JSON in Confluent's wire format.

use ottla::{
    Deserializer,
    schema_registry::{DeserializeError, RegisteredJson},
};
use serde_json::{Value, json};

use crate::{hex, stub::Stub};

#[test]
fn what_python_wrote_is_read() {
    let stub = Stub::with([("/schemas/ids/1", json!({"schema": "{}", "schemaType": "JSON"}))]);
    let values = RegisteredJson::<Value>::new(stub.client());
    let data = hex("00000000017b226e616d65223a22c3a462222c226e223a317d");
    let value = values.deserialize("t", Some(&data)).unwrap();
    assert_eq!(value, Some(json!({"name": "äb", "n": 1})));
    assert_eq!(values.deserialize("t", None).unwrap(), None);
    assert_eq!(stub.paths().len(), 1);
}

#[test]
fn what_is_no_json_or_nested_too_deep_fails_as_a_record() {
    let stub = Stub::with([("/schemas/ids/1", json!({"schema": "{}", "schemaType": "JSON"}))]);
    let values = RegisteredJson::<Value>::new(stub.client());
    for data in [&b"{"[..], b"", b"1 2", &[b'['; 1_000_000]] {
        let error = values.deserialize("t", Some(&[&[0, 0, 0, 0, 1], data].concat())).unwrap_err();
        assert!(matches!(error, DeserializeError::Data(_)), "{error}");
    }
    let error = values.deserialize("t", Some(b"{}")).unwrap_err();
    assert!(matches!(error, DeserializeError::WireFormat(_)), "{error}");
}
