//! Subscriptions by pattern.

use std::fmt;

/// A regular expression that a topic's whole name must match. The syntax is RE2's. Under the consumer protocol
/// brokers of Kafka 4.0 and later match it themselves, also as RE2; otherwise it is matched here. The two differ in
/// Unicode classes only, and topic names are ASCII.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    regex: regex_lite::Regex,
}

impl Pattern {
    /// Reads an expression; the error says what is wrong with it.
    pub fn new(text: impl Into<String>) -> Result<Self, String> {
        let text = text.into();
        match regex_lite::Regex::new(&format!("^(?:{text})$")) {
            Ok(regex) => Ok(Self { text, regex }),
            Err(error) => Err(format!("`{text}` is not a regular expression: {error}")),
        }
    }

    /// The expression as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a topic's name matches, from its first letter to its last.
    pub fn matches(&self, topic: &str) -> bool {
        self.regex.is_match(topic)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn the_whole_name_must_match() {
        let pattern = Pattern::new("orders|bills-.*").unwrap();
        let names = ["orders", "orders-2", "bills-1", "my-bills-1", "bills"];
        let matching: Vec<_> = names.into_iter().filter(|name| pattern.matches(name)).collect();
        assert_eq!(matching, ["orders", "bills-1"]);
    }

    #[test]
    fn what_is_not_an_expression_is_told_so() {
        assert!(Pattern::new("(").unwrap_err().starts_with("`(` is not a regular expression"));
    }
}
