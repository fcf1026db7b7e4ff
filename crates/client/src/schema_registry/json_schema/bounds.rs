//! How often, and how deep, the library goes through a schema for a value: it recurses, and takes the same way again, as the schema says.

use serde_json::Value;

use super::graph::{Graph, Schema, To};

/// What a schema may be. Tests have less.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// How many schemas it may come to: each is compiled, and kept.
    pub(super) schemas: usize,
    /// How many of them may stand within each other for one value: so many, for each level of a value, are on the stack.
    pub(super) within: usize,
    /// How often a part of a value may be looked at.
    pub(super) looks: u64,
    /// How many patterns there may be: each takes memory.
    pub(super) patterns: usize,
    /// How much each takes, in bytes, and as much again to be looked for fast.
    pub(super) pattern: usize,
    /// How often a pattern may go back within one text.
    pub(super) backtracks: usize,
}

impl Limits {
    pub(super) const USUAL: Self = Self {
        schemas: 20_000,
        within: 16,
        looks: 100_000,
        patterns: 64,
        pattern: 1 << 20,
        backtracks: 100_000,
    };
}

/// What a look that fails takes in memory, beside what the schema says: an error, with its places.
const LOOK: usize = 512;

/// How often a part of a value is looked at, at the most; or why the schema cannot be worked with.
pub(super) fn looks(graph: &Graph, limits: &Limits) -> Result<u64, String> {
    let mut chains = Chains { graph, max: limits.within, known: vec![Known::No; graph.len()] };
    (0..graph.len()).try_for_each(|at| chains.length(at, 0).map(drop))?;
    let looks = looked_at(graph);
    match looks <= limits.looks {
        true => Ok(looks),
        false => Err(format!("it may look at a part of a value more than {} times", limits.looks)),
    }
}

/// How many schemas stand within each other for one value.
struct Chains<'a> {
    graph: &'a Graph,
    max: usize,
    known: Vec<Known>,
}

#[derive(Clone, Copy)]
enum Known {
    No,
    /// It is one of those that are being counted.
    Being,
    Is(usize),
}

impl Chains<'_> {
    /// From this one on, which has so many around it.
    fn length(&mut self, at: usize, around: usize) -> Result<usize, String> {
        let length = match self.known.get(at) {
            Some(Known::Is(length)) => *length,
            Some(Known::Being) => return Err("a schema of it refers to itself for the same value".to_owned()),
            _ if around >= self.max => return Err(self.too_long()),
            _ => {
                self.set(at, Known::Being);
                let graph = self.graph;
                let mut longest = 0;
                for next in graph.at(at).into_iter().flat_map(Schema::within) {
                    longest = longest.max(self.length(next, around + 1)?);
                }
                self.set(at, Known::Is(longest + 1));
                longest + 1
            }
        };
        if around + length > self.max { Err(self.too_long()) } else { Ok(length) }
    }

    fn set(&mut self, at: usize, known: Known) {
        if let Some(place) = self.known.get_mut(at) {
            *place = known;
        }
    }

    fn too_long(&self) -> String {
        format!("more than {} of its schemas stand within each other for one value", self.max)
    }
}

/// What refers back counts as one look: the library remembers what came of that, and of nothing else.
fn looked_at(graph: &Graph) -> u64 {
    let mut looks = vec![0_u64; graph.len()];
    let mut waiting = vec![(0, false)];
    while let Some((at, are_within_counted)) = waiting.pop() {
        let Some(schema) = graph.at(at) else { continue };
        let known = looks.get(at).copied().unwrap_or(1);
        if are_within_counted {
            let sum = sum(schema, &looks);
            looks.get_mut(at).into_iter().for_each(|place| *place = sum);
        } else if known == 0 {
            looks.get_mut(at).into_iter().for_each(|place| *place = 1);
            waiting.push((at, true));
            waiting.extend(schema.applies.iter().map(|(_, next)| (*next, false)));
        }
    }
    looks.first().copied().unwrap_or(1)
}

/// A field, or an item, is one part, and not each of them.
fn sum(schema: &Schema, looks: &[u64]) -> u64 {
    let (mut all, mut one_part) = (0_u64, 0);
    for (to, at) in &schema.applies {
        let looks = looks.get(*at).copied().unwrap_or(1);
        match to {
            To::Field(_) | To::Item(_) => one_part = looks.max(one_part),
            To::Itself | To::Part => all = all.saturating_add(looks),
        }
    }
    let again = if schema.looks_again { 3 } else { 1 };
    all.saturating_add(one_part).saturating_mul(again).saturating_add(1)
}

/// Whether all that a value is not as its schema says can be told within so much memory. The library tells each failure of each branch, and
/// here remembers nothing, so that each way through the schema counts.
pub(super) fn can_be_told(graph: &Graph, value: &Value, memory: usize) -> bool {
    Telling { graph, left: memory }.takes(0, value).is_some()
}

struct Telling<'a> {
    graph: &'a Graph,
    left: usize,
}

impl Telling<'_> {
    fn takes(&mut self, at: usize, value: &Value) -> Option<()> {
        let graph = self.graph;
        let Some(schema) = graph.at(at) else { return Some(()) };
        self.left =
            self.left.checked_sub(LOOK + schema.own + size_of::<(To, usize)>() * schema.applies.len())?;
        for (to, at) in &schema.applies {
            match (to, value) {
                (To::Itself, value) => self.takes(*at, value)?,
                (To::Field(name), Value::Object(fields)) => {
                    fields.get(&**name).map_or(Some(()), |value| self.takes(*at, value))?;
                }
                (To::Item(item), Value::Array(items)) => {
                    items.get(*item).map_or(Some(()), |value| self.takes(*at, value))?;
                }
                (To::Part, Value::Object(fields)) => {
                    fields.values().try_for_each(|value| self.takes(*at, value))?;
                }
                (To::Part, Value::Array(items)) => {
                    items.iter().try_for_each(|value| self.takes(*at, value))?;
                }
                _ => {}
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::compile::References, *};

    fn graph(schema: &Value) -> Graph {
        Graph::of(schema, &References::default(), &Limits::USUAL).unwrap()
    }

    fn told(graph: &Graph, limits: &Limits) -> String {
        looks(graph, limits).err().unwrap_or_default()
    }

    /// Of schemas that each are `to` the one before.
    fn chain(count: usize, to: impl Fn(Value) -> Value) -> Value {
        (1..count).fold(json!({}), |last, _| to(last))
    }

    #[test]
    fn schemas_stand_within_each_other_as_deep_as_is_allowed_and_no_deeper() {
        let limits = Limits { within: 4, ..Limits::USUAL };
        let keywords: [fn(Value) -> Value; 6] = [
            |next| json!({"allOf": [true, next]}),
            |next| json!({"anyOf": [{}, next]}),
            |next| json!({"oneOf": [next]}),
            |next| json!({"not": next}),
            |next| json!({"if": {}, "then": {}, "else": next}),
            |next| json!({"dependentSchemas": {"a": next}, "dependencies": {"a": ["b"]}}),
        ];
        for keyword in keywords {
            assert_eq!(told(&graph(&chain(4, keyword)), &limits), "");
            assert!(told(&graph(&chain(5, keyword)), &limits).contains("more than 4"));
        }
        let refers = json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#b"}, "b": {"$anchor": "b"}}});
        assert_eq!(told(&graph(&refers), &Limits { within: 3, ..limits }), "");
        assert!(told(&graph(&refers), &Limits { within: 2, ..limits }).contains("more than 2"));
        // Parts of the value have a place of their own.
        for keyword in ["items", "contains", "additionalProperties", "unevaluatedItems", "propertyNames"] {
            assert_eq!(told(&graph(&chain(9, |next| json!({keyword: next}))), &limits), "", "{keyword}");
        }
    }

    #[test]
    fn a_schema_that_is_applied_to_the_same_value_again_is_refused() {
        let again = Graph::made_of(vec![vec![(To::Itself, 1)], vec![(To::Itself, 2)], vec![(To::Itself, 1)]]);
        assert!(told(&again, &Limits::USUAL).contains("refers to itself"));
        let part = Graph::made_of(vec![vec![(To::Itself, 1)], vec![(To::Part, 0)]]);
        assert_eq!(told(&part, &Limits::USUAL), "");
    }

    #[test]
    fn looks_at_one_part_are_counted_and_those_at_others_are_not() {
        let leaf = || json!({"type": "string"});
        for (schema, expected) in [
            (json!(true), 1),
            (leaf(), 1),
            (json!({"anyOf": [leaf(), leaf(), true]}), 3),
            (json!({"properties": {"a": leaf(), "b": leaf(), "c": {"not": leaf()}}}), 3),
            (json!({"prefixItems": [leaf(), leaf()], "contains": leaf(), "items": leaf()}), 4),
            (json!({"patternProperties": {"a": leaf(), "b": leaf()}, "additionalProperties": leaf()}), 4),
            (json!({"anyOf": [leaf()], "unevaluatedProperties": leaf()}), 7),
            // Each way to it.
            (json!({"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}], "$defs": {"a": leaf()}}), 5),
        ] {
            assert_eq!(looks(&graph(&schema), &Limits::USUAL), Ok(expected), "{schema}");
            let limits = Limits { looks: expected - 1, ..Limits::USUAL };
            assert!(told(&graph(&schema), &limits).contains("look at a part"), "{schema}");
        }
        let back = Graph::made_of(vec![vec![(To::Itself, 1), (To::Itself, 1)], vec![(To::Part, 0)]]);
        assert_eq!(looks(&back, &Limits::USUAL), Ok(5));
    }

    #[test]
    fn what_may_fail_has_to_fit_into_the_memory_to_tell_it() {
        let schema =
            json!({"properties": {"a": {"items": [{}, {"enum": ["x", "y"]}]}}, "items": {"required": ["z"]}});
        let takes = |value: &Value| {
            let graph = graph(&schema);
            (0..100).find(|memory| can_be_told(&graph, value, LOOK * memory)).unwrap()
        };
        let one = takes(&json!(7));
        assert!(one > 1);
        assert_eq!(takes(&json!("text")), one);
        assert!(takes(&json!({"a": [1]})) > one);
        assert!(takes(&json!({"a": [1, 2]})) > takes(&json!({"a": [1]})));
        assert!(takes(&json!([1, 2, 3, 4, 5])) > takes(&json!([1])) + 2);
    }
}
