//! A registry's JSON Schema, with what it refers to, becomes a validator.

use std::{error::Error as StdError, sync::Arc, thread};

use jsonschema::{PatternOptions, Retrieve, Uri, Validator};
use ottla_core::caught;
use serde_json::Value;

use super::{
    super::Schema,
    bounds::{self, Limits},
    graph::Graph,
};

/// Where a schema is, so that what it refers to by a relative name has an absolute one, also where it has no `$id`.
pub(super) const HERE: &str = "registry:///";
/// How much stack there is to compile: the library recurses as the schema is nested. What was tried took up to 10 MB, in a build without
/// optimization.
const STACK: usize = 32 << 20;
/// What draft 7 would have looked at within a text, and later drafts do not.
const ENCODINGS: [&str; 5] = ["base64", "base64url", "base32", "base32hex", "base16"];

/// What values are held against.
#[derive(Debug)]
pub(in super::super) struct Compiled {
    pub(super) validator: Validator,
    pub(super) graph: Graph,
    /// How often it looks at a part of a value, at the most.
    pub(super) looks: u64,
}

impl Compiled {
    /// In a thread of its own, for its stack, which is waited for.
    pub(super) fn of(schema: &Schema, limits: &Limits) -> Result<Self, String> {
        thread::scope(|scope| {
            let compiling = || caught(|| Self::compile(schema, limits)).and_then(|compiled| compiled);
            let compiling = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, compiling);
            let compiling = compiling.map_err(|why| format!("no thread to compile it: {why}"))?;
            compiling.join().map_err(|_| "it could not be compiled".to_owned())?
        })
    }

    fn compile(schema: &Schema, limits: &Limits) -> Result<Self, String> {
        let parsed = |text: &str| serde_json::from_str::<Value>(text).map_err(|why| why.to_string());
        let root = parsed(&schema.text)?;
        let others = schema.references.iter().map(|other| Ok((other.name.clone(), parsed(&other.text)?)));
        let references = References(others.collect::<Result<_, String>>()?);
        let graph = Graph::of(&root, &references, limits)?;
        let looks = bounds::looks(&graph, limits)?;
        let patterns = PatternOptions::fancy_regex()
            .backtrack_limit(limits.backtracks)
            .size_limit(limits.pattern)
            .dfa_size_limit(limits.pattern);
        let options = jsonschema::options()
            .with_base_uri(HERE)
            .with_pattern_options(patterns)
            .with_retriever(references);
        let options =
            options.should_validate_formats(false).without_content_media_type_support("application/json");
        let options = ENCODINGS
            .into_iter()
            .fold(options, |options, encoding| options.without_content_encoding_support(encoding));
        let validator = options.build(&root).map_err(|why| why.masked().to_string())?;
        Ok(Self { validator, graph, looks })
    }
}

/// What the registry has of what a schema refers to, by names. Nobody else is asked.
#[derive(Debug, Clone, Default)]
pub(super) struct References(pub(super) Arc<[(String, Value)]>);

impl Retrieve for References {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn StdError + Send + Sync>> {
        let meant = self.0.iter().filter(|(name, _)| is_meant(uri.as_str(), name));
        // The longest name is the nearest.
        let (_, schema) = meant
            .max_by_key(|(name, _)| name.len())
            .ok_or_else(|| format!("the schema's references have no `{uri}`"))?;
        Ok(schema.clone())
    }
}

/// Whether a reference of this name is meant: as it stands in `$ref`, which the library has made absolute.
fn is_meant(uri: &str, name: &str) -> bool {
    uri == name || uri.strip_suffix(name).is_some_and(|before| before.ends_with('/'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        super::super::{Referenced, SchemaType},
        *,
    };

    fn compiled(schema: &Value, limits: &Limits) -> Result<Compiled, String> {
        Compiled::of(&Schema::new(SchemaType::Json, schema.to_string(), Vec::new()), limits)
    }

    #[test]
    fn a_pattern_takes_no_more_memory_than_is_allowed() {
        let schema = json!({"pattern": "^[a-z]+[0-9]?x$"});
        compiled(&schema, &Limits::USUAL).unwrap();
        let limits = Limits { pattern: 16, ..Limits::USUAL };
        assert!(compiled(&schema, &limits).is_err());
    }

    #[test]
    fn a_pattern_that_goes_back_more_often_than_is_allowed_fails_and_says_so() {
        let schema = json!({"pattern": "(?<=ab)c"});
        let text = json!("abc");
        assert!(compiled(&schema, &Limits::USUAL).unwrap().validator.is_valid(&text));
        let limited = compiled(&schema, &Limits { backtracks: 1, ..Limits::USUAL }).unwrap();
        assert!(!limited.validator.is_valid(&text));
        let told = limited.validator.validate(&text).unwrap_err().masked().to_string();
        assert!(told.contains("backtracking"), "{told}");
    }

    #[test]
    fn there_are_no_more_patterns_and_schemas_than_are_allowed() {
        let schema = json!({"items": {"pattern": "a", "patternProperties": {"a": {}, "b": {}}}});
        compiled(&schema, &Limits { patterns: 2, schemas: 4, ..Limits::USUAL }).unwrap();
        let limits = Limits { patterns: 1, ..Limits::USUAL };
        assert!(compiled(&schema, &limits).unwrap_err().contains("more than 1 patterns"));
        let limits = Limits { schemas: 3, ..Limits::USUAL };
        assert!(compiled(&schema, &limits).unwrap_err().contains("more than 3 schemas"));
    }

    #[test]
    fn the_reference_with_the_nearest_name_is_meant() {
        let other = |name: &str, kind: &str| Referenced {
            name: name.to_owned(),
            text: json!({"type": kind}).to_string(),
        };
        let others = vec![other("b.json", "null"), other("a/b.json", "string"), other("ab.json", "array")];
        let schema =
            json!({"$id": "http://own/outer.json", "$ref": "a/b.json", "items": {"$ref": "ab.json"}});
        let schema = Schema::new(SchemaType::Json, schema.to_string(), others);
        let compiled = Compiled::of(&schema, &Limits::USUAL).unwrap();
        assert!(compiled.validator.is_valid(&json!("text")));
        assert!(!compiled.validator.is_valid(&json!(null)));
    }
}
