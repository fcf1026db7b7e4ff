//! Which schemas a schema applies, to the value that it is applied to itself and to the parts of that. What a reference names is found out by
//! the library, so that both mean the same.

use std::collections::{HashMap, HashSet, hash_map::Entry};

use jsonschema::{Draft, Registry, uri};
use serde_json::Value;

use super::{
    bounds::Limits,
    compile::{HERE, References},
};

/// What depends on who refers to it, so that nothing can be said of it beforehand.
const DYNAMIC: [&str; 3] = ["$dynamicRef", "$dynamicAnchor", "$recursiveRef"];

/// All schemas that one comes to, itself first. Those that are `true` or `false` apply nothing, and are left out.
#[derive(Debug)]
pub(super) struct Graph {
    schemas: Vec<Schema>,
}

#[derive(Debug, Default)]
pub(super) struct Schema {
    pub(super) applies: Vec<(To, usize)>,
    /// How many bytes there are in it beside the schemas that it applies.
    pub(super) own: usize,
    /// Whether the library looks again at what was evaluated already.
    pub(super) looks_again: bool,
}

/// To what of a value a schema applies another.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum To {
    Itself,
    Field(Box<str>),
    Item(usize),
    /// Any field, the name of one, or any item.
    Part,
}

impl Graph {
    /// Of a document, with what it refers to.
    pub(super) fn of(root: &Value, references: &References, limits: &Limits) -> Result<Self, String> {
        let draft = Draft::default().detect(root);
        let resource = draft.create_resource_ref(root);
        let here = uri::from_str(HERE).map_err(|why| why.to_string())?;
        let registry = Registry::new().retriever(references.clone()).draft(draft);
        let registry = registry.add(HERE, resource).and_then(|registry| registry.prepare());
        let registry = registry.map_err(|why| why.to_string())?;
        let start = registry.resolver(here).in_subresource(resource).map_err(|why| why.to_string())?;

        let mut graph = Self { schemas: Vec::new() };
        let (mut found, mut patterns) = (HashMap::new(), HashSet::new());
        let mut waiting = vec![(None, root, start, draft)];
        while let Some((from, value, resolver, draft)) = waiting.pop() {
            let Value::Object(fields) = value else { continue };
            // One that stands at one place may mean several things, by what it is in.
            let key = (std::ptr::from_ref(value).addr(), resolver.base_uri(), draft);
            let next = graph.schemas.len();
            let known = found.entry(key);
            let is_new = matches!(known, Entry::Vacant(_));
            let at = *known.or_insert(next);
            if let Some((from, to)) = from {
                graph.apply(from, to, at);
            }
            if !is_new {
                continue;
            }
            if next == limits.schemas {
                return Err(format!("it has more than {} schemas", limits.schemas));
            }
            if let Some(keyword) = DYNAMIC.iter().find(|keyword| fields.contains_key(**keyword)) {
                return Err(format!("`{keyword}` is not read"));
            }
            let mut schema = Schema::default();
            for (keyword, value) in fields {
                let applied = applied(keyword, value);
                if applied.is_empty() {
                    schema.own += keyword.len() + bytes(value);
                }
                for (to, value) in applied {
                    let draft = draft.detect(value);
                    // One that cannot be found is told by the library, if it needs it: so are references.
                    if let Ok(resolver) = resolver.in_subresource(draft.create_resource_ref(value)) {
                        waiting.push((Some((at, to)), value, resolver, draft));
                    }
                }
                match (keyword.as_str(), value) {
                    ("$ref", Value::String(reference)) => {
                        if let Ok(found) = resolver.lookup(reference) {
                            let (value, resolver, draft) = found.into_inner();
                            waiting.push((Some((at, To::Itself)), value, resolver, draft));
                        }
                    }
                    ("pattern", Value::String(pattern)) => _ = patterns.insert(pattern.as_str()),
                    ("patternProperties", Value::Object(all)) => {
                        patterns.extend(all.keys().map(String::as_str))
                    }
                    ("unevaluatedProperties" | "unevaluatedItems", _) => schema.looks_again = true,
                    _ => {}
                }
            }
            graph.schemas.push(schema);
        }
        if patterns.len() > limits.patterns {
            return Err(format!("it has more than {} patterns", limits.patterns));
        }
        Ok(graph)
    }

    #[cfg(test)]
    pub(super) fn made_of(schemas: Vec<Vec<(To, usize)>>) -> Self {
        let schemas = schemas.into_iter().map(|applies| Schema { applies, ..Schema::default() });
        Self { schemas: schemas.collect() }
    }

    pub(super) fn len(&self) -> usize {
        self.schemas.len()
    }

    pub(super) fn at(&self, at: usize) -> Option<&Schema> {
        self.schemas.get(at)
    }

    fn apply(&mut self, from: usize, to: To, at: usize) {
        if let Some(schema) = self.schemas.get_mut(from) {
            schema.applies.push((to, at));
        }
    }
}

impl Schema {
    /// Those that it applies to the same value.
    pub(super) fn within(&self) -> impl Iterator<Item = usize> {
        self.applies.iter().filter(|(to, _)| *to == To::Itself).map(|(_, at)| *at)
    }
}

/// What a keyword applies, and to what. Of all drafts: what one of them does not know is counted for nothing.
fn applied<'a>(keyword: &str, value: &'a Value) -> Vec<(To, &'a Value)> {
    match (keyword, value) {
        ("allOf" | "anyOf" | "oneOf", Value::Array(all)) => all.iter().map(|one| (To::Itself, one)).collect(),
        ("not" | "if" | "then" | "else", one) => vec![(To::Itself, one)],
        ("dependentSchemas" | "dependencies", Value::Object(all)) => {
            all.values().map(|one| (To::Itself, one)).collect()
        }
        ("properties", Value::Object(all)) => {
            all.iter().map(|(name, one)| (To::Field(name.as_str().into()), one)).collect()
        }
        ("items" | "prefixItems", Value::Array(all)) => {
            all.iter().enumerate().map(|(at, one)| (To::Item(at), one)).collect()
        }
        ("patternProperties", Value::Object(all)) => all.values().map(|one| (To::Part, one)).collect(),
        (
            "additionalProperties"
            | "unevaluatedProperties"
            | "propertyNames"
            | "items"
            | "additionalItems"
            | "unevaluatedItems"
            | "contains",
            one,
        ) => vec![(To::Part, one)],
        _ => Vec::new(),
    }
}

/// About how much memory a value takes. As deep as serde_json reads.
fn bytes(value: &Value) -> usize {
    let within = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(bytes).sum(),
        Value::Object(fields) => fields.iter().map(|(name, value)| name.len() + bytes(value)).sum(),
        _ => 0,
    };
    size_of::<Value>() + within
}
