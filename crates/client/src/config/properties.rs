//! Properties as text: Java's properties files, and `key=value` pairs.

use std::{fmt, path::Path};

use super::known::{is_secret, is_taken};
use crate::error::{BuildError, BuildErrorKind, Details as _};

/// Properties by Kafka's own keys, in order. Where a key stands twice, builders take the last.
///
/// Its `Debug` hides secrets, and the values of properties that no client takes: they may be secrets under a misspelt key.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties(Vec<(String, String)>);

impl Properties {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a properties file, in UTF-8.
    ///
    /// # Errors
    ///
    /// [`BuildError`] of the kind [`InvalidFile`](BuildErrorKind::InvalidFile): it cannot be read, or as
    /// [`parse`](Self::parse).
    pub fn read(path: impl AsRef<Path>) -> Result<Self, BuildError> {
        let path = path.as_ref();
        let unreadable = |error: std::io::Error| {
            BuildError::new(BuildErrorKind::InvalidFile).detail(path.display().to_string()).because(error)
        };
        Self::parse(&std::fs::read_to_string(path).map_err(unreadable)?)
    }

    /// Reads the text of a properties file, as `java.util.Properties` does: a line is a key and, after `=`, `:` or
    /// blanks, a value; `#` and `!` begin a comment; a backslash at its end continues a line, and elsewhere escapes.
    ///
    /// # Errors
    ///
    /// [`BuildError`] of the kind [`InvalidFile`](BuildErrorKind::InvalidFile), with the line: `\u` is not followed by
    /// four hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, BuildError> {
        let text = text.replace("\r\n", "\n");
        let mut properties = Self::new();
        let mut lines = text.split(['\n', '\r']).enumerate();
        while let Some((index, line)) = lines.next() {
            let mut line = line.trim_start_matches(is_blank).to_owned();
            if line.is_empty() || line.starts_with(['#', '!']) {
                continue;
            }
            while is_continued(&line) {
                line.pop();
                let next = lines.next().map_or("", |(_, next)| next);
                line.push_str(next.trim_start_matches(is_blank));
            }
            let (key, value) = split(&line);
            properties.0.push(unescape(key).zip(unescape(value)).ok_or_else(|| {
                let detail = format!("line {}: `\\u` is followed by four hexadecimal digits", index + 1);
                BuildError::new(BuildErrorKind::InvalidFile).detail(detail)
            })?);
        }
        Ok(properties)
    }

    /// Adds one that is written `key=value`.
    ///
    /// # Errors
    ///
    /// [`BuildError`] of the kind [`InvalidValue`](BuildErrorKind::InvalidValue): there is no `=`, or no key before it.
    pub fn push_pair(&mut self, pair: &str) -> Result<(), BuildError> {
        let (key, value) =
            pair.split_once('=').filter(|(key, _)| !key.trim().is_empty()).ok_or_else(|| {
                BuildError::new(BuildErrorKind::InvalidValue).detail(format!("`{pair}`; expected key=value"))
            })?;
        self.0.push((key.trim().to_owned(), value.trim().to_owned()));
        Ok(())
    }

    /// Adds one.
    pub fn push(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.0.push((key.into(), value.into()));
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The value that stands.
    pub fn last(&self, key: &str) -> Option<&str> {
        self.iter().filter(|(known, _)| *known == key).last().map(|(_, value)| value)
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |(key, value)| (key, if is_taken(key) && !is_secret(key) { value } else { "(hidden)" });
        f.debug_map().entries(self.iter().map(shown)).finish()
    }
}

impl IntoIterator for Properties {
    type Item = (String, String);
    type IntoIter = std::vec::IntoIter<(String, String)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Extend<(String, String)> for Properties {
    fn extend<I: IntoIterator<Item = (String, String)>>(&mut self, properties: I) {
        self.0.extend(properties);
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\x0c')
}

/// Whether a line ends in an odd number of backslashes.
fn is_continued(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// Key and value, escaped as they are.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line.find(|c| {
        let ends = !escaped && (is_blank(c) || matches!(c, '=' | ':'));
        escaped = !escaped && c == '\\';
        ends
    });
    let (key, rest) = line.split_at(end.unwrap_or(line.len()));
    let rest = rest.trim_start_matches(is_blank);
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (key, value.trim_start_matches(is_blank))
}

/// `None` where `\u` is not followed by four digits.
fn unescape(text: &str) -> Option<String> {
    // In UTF-16, as Java's escapes are: a character beyond the first 65,536 is written as two.
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let c = match c {
            '\\' => match chars.next() {
                Some('u') => {
                    let digits = chars.as_str().get(..4)?;
                    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
                    units.push(u16::from_str_radix(digits, 16).ok().filter(|_| is_hex)?);
                    chars.nth(3);
                    continue;
                }
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\x0c',
                Some(other) => other,
                None => break,
            },
            c => c,
        };
        units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
    }
    Some(String::from_utf16_lossy(&units))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<(String, String)> {
        Properties::parse(text).unwrap().into_iter().collect()
    }

    fn one(text: &str) -> (String, String) {
        let [one] = <[_; 1]>::try_from(parsed(text)).unwrap();
        one
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn a_key_ends_at_an_equals_sign_a_colon_or_a_blank() {
        for text in [
            "key=value",
            "key:value",
            "key value",
            "key = value",
            "  key\t:\tvalue",
            "key=value\n",
            "key  value",
        ] {
            assert_eq!(one(text), pair("key", "value"), "{text:?}");
        }
        assert_eq!(one("key==value "), pair("key", "=value "), "blanks at the end belong to the value");
        assert_eq!(one("key"), pair("key", ""));
        assert_eq!(one(r"a\:b\=c\ d = e"), pair("a:b=c d", "e"));
    }

    #[test]
    fn comments_and_empty_lines_are_skipped() {
        assert_eq!(parsed("# a\n\n  ! b = c\r\n\t\r\nkey=#value\r"), [pair("key", "#value")]);
    }

    #[test]
    fn a_backslash_continues_a_line() {
        let expected = [pair("fruits", "apple, banana, pear"), pair("next", "1")];
        assert_eq!(parsed("fruits   apple, \\\n   banana, \\\n\tpear\nnext=1"), expected);
        assert_eq!(parsed("fruits   apple, \\\r\n   banana, \\\r\n\tpear\r\nnext=1"), expected);
        assert_eq!(parsed("a=b\\\\\nc=d"), [pair("a", "b\\"), pair("c", "d")], "an escaped one does not");
        assert_eq!(one("a=b\\"), pair("a", "b"), "nor does it wait at the end");
    }

    #[test]
    fn escapes_are_read_as_java_reads_them() {
        assert_eq!(one(r"k=\t\n\r\f\\\q\u00e9"), pair("k", "\t\n\r\x0c\\q\u{e9}"));
        assert_eq!(one(r"k=\ud83d\ude00 \u00E9"), pair("k", "\u{1f600} \u{e9}"));
        for wrong in [r"k=\u12", r"k=\uxyzw", r"k=\u+123", "k=\\u12\u{e9}\u{e9}"] {
            let error = Properties::parse(&format!("a=b\n{wrong}")).unwrap_err();
            assert_eq!(error.kind(), BuildErrorKind::InvalidFile);
            assert!(error.to_string().contains("line 2: `\\u`"), "{error}");
        }
    }

    #[test]
    fn pairs_are_split_at_the_first_equals_sign() {
        let mut properties = Properties::new();
        properties.push_pair("sasl.jaas.config=a b=c").unwrap();
        properties.push_pair("group.id = g").unwrap();
        properties.push_pair("group.id=h").unwrap();
        assert_eq!(properties.last("group.id"), Some("h"));
        assert_eq!(properties.iter().next(), Some(("sasl.jaas.config", "a b=c")));
        for wrong in ["group.id", "=g", ""] {
            assert_eq!(properties.push_pair(wrong).unwrap_err().kind(), BuildErrorKind::InvalidValue);
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Properties::read("no/such.properties").unwrap_err();
        assert_eq!(error.kind(), BuildErrorKind::InvalidFile);
        assert!(error.to_string().contains("no/such.properties"), "{error}");
    }
}
