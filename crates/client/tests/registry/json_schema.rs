//! JSON is held against the schema that it was registered with.

use ottla::{
    Deserializer, Field, Serialized,
    schema_registry::{DeserializeError, JsonSchema},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::stub::{Answer, Stub};

const PERSON: &str = r##"{
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "properties": {
        "name": {"type": "string", "pattern": "^[a-zä]+$"},
        "n": {"type": "integer", "minimum": 0},
        "next": {"$ref": "#"}
    },
    "required": ["name"],
    "additionalProperties": false
}"##;

#[derive(Debug, PartialEq, Deserialize)]
struct Person {
    name: String,
    n: Option<u64>,
}

fn schema(text: &str) -> Value {
    json!({"schema": text, "schemaType": "JSON"})
}

/// Of a registry that has this schema alone, as 1.
fn values<T>(text: &str) -> (Stub, JsonSchema<T>) {
    let answer = schema(text);
    let stub = Stub::new(move |_| Answer::Json(200, answer.clone()));
    let client = stub.client();
    (stub, JsonSchema::new(client))
}

fn framed(data: &str) -> Vec<u8> {
    [&[0, 0, 0, 0, 1], data.as_bytes()].concat()
}

fn read(text: &str, data: &str) -> Result<Value, DeserializeError> {
    let (_stub, values) = values::<Value>(text);
    values.deserialize("t", Some(&framed(data))).map(Option::unwrap)
}

/// What is told of it, with why: that it is the record's own fault.
fn told<T: std::fmt::Debug>(result: Result<T, DeserializeError>) -> String {
    let error = result.unwrap_err();
    assert!(!error.is_retriable(), "{error}");
    let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
    format!("{error}{}", source.unwrap_or_default())
}

#[test]
fn what_the_schema_allows_becomes_a_type_of_the_program() {
    let (stub, values) = values::<Person>(PERSON);
    for _ in 0..3 {
        let person = values.deserialize("t", Some(&framed(r#"{"name":"äb","n":1}"#)));
        assert_eq!(person.unwrap(), Some(Person { name: "äb".to_owned(), n: Some(1) }));
    }
    assert_eq!(values.deserialize("t", None).unwrap(), None);
    assert_eq!(stub.paths(), ["/schemas/ids/1"]);
    assert!(values.prepare(&Serialized::new("t", Field::Value, None)).is_none());
}

#[test]
fn what_it_does_not_allow_is_told_with_its_place_and_its_schema_and_without_its_value() {
    for (data, expected) in [
        (
            r#"{"name":"secret7"}"#,
            "at `/name`: value does not match \"^[a-zä]+$\" (`/properties/name/pattern`",
        ),
        (r#"{"name":"a","n":"secret"}"#, "at `/n`: value is not of type \"integer\" (`/properties/n/type`"),
        (
            r#"{"name":"a","next":{"name":"b","next":{"n":1}}}"#,
            "at `/next/next`: \"name\" is a required property (`/required`",
        ),
        (r#"{"name":"a","n":-1}"#, "at `/n`: value is less than the minimum of 0 (`/properties/n/minimum`"),
        ("7", "at ``: value is not of type \"object\" (`/type`"),
    ] {
        let expected = format!("the data are not what the schema says: {expected} of schema 1)");
        assert_eq!(told(read(PERSON, data)), expected);
    }
    assert!(told(read("false", "1")).contains("at ``"));
    // What the schema allows, and the program does not expect.
    let (_stub, values) = values::<Person>("{}");
    let error = values.deserialize("t", Some(&framed("{\"name\":7}"))).unwrap_err();
    assert!(matches!(error, DeserializeError::Data(_)), "{error}");
}

#[test]
fn what_is_expected_is_told_in_a_few_words() {
    let names: Vec<_> = (0..200).map(|name| name.to_string()).collect();
    let told = told(read(&json!({"enum": names}).to_string(), "7"));
    assert!(told.ends_with(" (`/enum` of schema 1)") && told.chars().count() < 400, "{told}");
}

#[test]
fn each_draft_is_read_as_it_says_and_none_is_the_newest() {
    let draft = |draft: &str| format!("http://json-schema.org/draft-{draft}/schema#");
    let newer = |draft: &str| format!("https://json-schema.org/draft/{draft}/schema");
    let tuple = |keyword: &str| json!({keyword: [{"type": "null"}]});
    for (schema, good, bad) in [
        (json!({"$schema": draft("04"), "minimum": 1, "exclusiveMinimum": true}), "2", "1"),
        (json!({"$schema": draft("06"), "exclusiveMinimum": 1}), "2", "1"),
        (json!({"$schema": draft("07"), "if": {"type": "null"}, "else": {"type": "string"}}), "\"a\"", "1"),
        (json!({"$schema": newer("2019-09"), "dependentRequired": {"a": ["b"]}}), "{\"b\":1}", "{\"a\":1}"),
        (json!({"$schema": newer("2020-12"), "prefixItems": [{"type": "null"}]}), "[null]", "[1]"),
        (tuple("prefixItems"), "[null]", "[1]"),
    ] {
        read(&schema.to_string(), good).unwrap();
        assert!(told(read(&schema.to_string(), bad)).starts_with("the data are not"), "{schema}");
    }
    assert!(told(read("{\"$schema\":\"http://nowhere/own\"}", "1")).starts_with("the schema is damaged"));
}

#[test]
fn what_later_drafts_only_note_is_not_looked_at() {
    let draft = "http://json-schema.org/draft-07/schema#";
    for keyword in [
        json!({"format": "date-time"}),
        json!({"contentEncoding": "base64"}),
        json!({"contentMediaType": "application/json"}),
    ] {
        read(&keyword.to_string(), "\"{no\"").unwrap();
        let mut older = keyword.clone();
        older["$schema"] = json!(draft);
        read(&older.to_string(), "\"{no\"").unwrap();
    }
}

#[test]
fn of_a_name_that_comes_twice_what_is_looked_at_is_what_is_handed_out() {
    let positive = r#"{"properties":{"n":{"minimum":0}}}"#;
    assert_eq!(read(positive, r#"{"n":-1,"n":1}"#).unwrap(), json!({"n": 1}));
    told(read(positive, r#"{"n":1,"n":-1}"#));
}

#[test]
fn what_it_refers_to_comes_from_the_registry_and_from_nowhere_else() {
    let elsewhere = Stub::new(|_| Answer::Json(200, json!({"type": "integer"})));
    let references = json!([{"name": "lib/person.json", "subject": "person", "version": 1},
        {"name": "http://lib/number.json", "subject": "number", "version": 1}]);
    let properties =
        json!({"a": {"$ref": "lib/person.json"}, "b": {"$ref": "http://lib/number.json#/definitions/n"}});
    let registered =
        |schema: Value| json!({"schema": schema.to_string(), "schemaType": "JSON", "references": references});
    let stub = Stub::with([
        ("/schemas/ids/1", registered(json!({"properties": properties}))),
        ("/schemas/ids/2", registered(json!({"$id": "http://own/outer.json", "properties": properties}))),
        ("/schemas/ids/3", registered(json!({"$id": "outer.json", "properties": properties}))),
        ("/subjects/person/versions/1?deleted=true", schema(PERSON)),
        ("/subjects/number/versions/1?deleted=true", schema(r#"{"definitions":{"n":{"type":"integer"}}}"#)),
    ]);
    let values = JsonSchema::<Value>::new(stub.client());
    for id in 1..=3 {
        let read = |data: &str| {
            let mut framed = framed(data);
            framed[4] = id;
            values.deserialize("t", Some(&framed)).map(Option::unwrap)
        };
        read(r#"{"a":{"name":"x"},"b":7}"#).unwrap();
        assert!(told(read(r#"{"a":{"name":"x"},"b":"y"}"#)).contains("at `/b`"));
        assert!(told(read(r#"{"a":{}}"#)).contains("at `/a`"));
    }

    let foreign = format!("{}/schema.json", elsewhere.url());
    for reference in [foreign.as_str(), "file:///nowhere/schema.json", "schema.json"] {
        let told = told(read(&json!({"$ref": reference}).to_string(), "7"));
        assert!(told.starts_with("the schema is damaged: schema 1: "), "{told}");
        assert!(told.contains("references have no"), "{told}");
    }
    assert!(elsewhere.paths().is_empty());
}

#[test]
fn a_schema_that_cannot_be_worked_with_is_an_error_with_its_id() {
    for text in ["", "[", "7", r#"{"type":7}"#, r#"{"pattern":"("}"#, r##"{"$ref":"#/missing"}"##] {
        assert!(told(read(text, "7")).starts_with("the schema is damaged: schema 1: "), "{text}");
    }
    let dynamic = r##"{"$dynamicAnchor":"x","items":{"$dynamicRef":"#x"}}"##;
    assert!(told(read(dynamic, "7")).contains("is not read"));
    // Found once, and told for each record.
    let (stub, values) = values::<Value>("7");
    for _ in 0..3 {
        told(values.deserialize("t", Some(&framed("7"))));
    }
    assert_eq!(stub.paths().len(), 1);
}

#[test]
fn data_that_are_no_json_or_nested_too_deep_or_would_take_too_much_memory_fail_as_a_record() {
    for data in ["{", "", "1 2", "\"\u{1}\"", "nul"] {
        assert!(told(read("{}", data)).starts_with("the data are not what the schema says"), "{data}");
    }
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    read("{}", &nested(24)).unwrap();
    assert_eq!(told(read("{}", &nested(25))), "the data are nested too deep");
    let (_stub, values) = values::<Value>("{}");
    let many = framed("[0,0,0,0,0,0,0,0,0,0]");
    let error = values.clone().memory_max(500).deserialize("t", Some(&many)).unwrap_err();
    assert_eq!(error.to_string(), "the data would take too much memory");
    values.memory_max(1_000).deserialize("t", Some(&many)).unwrap();
}

#[test]
fn sixteen_schemas_are_read_within_each_other_and_not_one_more() {
    read(&chain(14, |next| json!({"$ref": next})), "7").unwrap();
    let told = told(read(&chain(15, |next| json!({"$ref": next})), "7"));
    assert!(told.contains("more than 16 of its schemas stand within each other"), "{told}");
}

/// In a thread with an ordinary stack, as tests have.
#[test]
fn a_value_and_a_schema_that_are_as_deep_as_both_may_be_are_read() {
    for keyword in ["allOf", "anyOf", "oneOf"] {
        // Of the last the type is told of all levels.
        let deepest = |next: &str| json!({"properties": {"a": {"$ref": "#"}}, keyword: [{"$ref": next}]});
        let nested = |value: &str| format!("{}{value}{}", "{\"a\":".repeat(24), "}".repeat(24));
        read(&chain(6, deepest), &nested("7")).unwrap();
        let strict = chain(6, |next| json!({"type": "object", keyword: [{"$ref": next}]}));
        let strict = strict.replacen('{', "{\"properties\":{\"a\":{\"$ref\":\"#\"}},", 1);
        told(read(&strict, &nested("7")));
    }
}

/// So many schemas that each refer to the next, of which the last refers to one that says nothing, and one that refers to the first.
fn chain(count: usize, of: impl Fn(&str) -> Value) -> String {
    let name = |at: usize| if at + 1 == count { "end".to_owned() } else { (at + 1).to_string() };
    let next = |at: usize| (at.to_string(), of(&format!("#/definitions/{}", name(at))));
    let mut definitions: serde_json::Map<_, _> = (0..count).map(next).collect();
    definitions.insert("end".to_owned(), json!({}));
    json!({"$ref": "#/definitions/0", "definitions": definitions}).to_string()
}
