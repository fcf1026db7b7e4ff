//! The text of a value is looked at before it is read: the library recurses as deep, and serde_json takes as much memory, as it says.

use serde_json::Value;

use super::super::DeserializeError;

/// How deep a value may be nested: with as many schemas within each other for each level as there may be, what was tried took up to
/// 1 MB of the 2 MB of stack that a thread has, in a build without optimization.
pub(super) const DEPTH_MAX: usize = 24;
/// What a list, a map or a text takes beside what it holds.
const ALLOCATION: usize = 32;
/// What an item takes: a list that grows may have room for as many again.
const ITEM: usize = 2 * size_of::<Value>();
/// What the name of an item takes: nodes of a tree are half full.
const NAME: usize = 2 * size_of::<(String, Value)>();

/// How many parts a text has at the most, names counted, if its depth and its memory are bounded. It may be no JSON at all.
pub(super) fn parts(text: &[u8], memory: usize) -> Result<u64, DeserializeError> {
    let mut left = memory;
    let mut take = |bytes: usize| {
        let too_large = DeserializeError::TooLarge("the data would take too much memory");
        left.checked_sub(bytes).map(|rest| left = rest).ok_or(too_large)
    };
    take(ITEM)?;
    let (mut parts, mut depth) = (1, 0_usize);
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(DeserializeError::TooLarge("the data are nested too deep"));
                }
                take(ITEM + ALLOCATION)?;
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => take(ITEM)?,
            b':' => take(NAME)?,
            b'"' => take(text_length(&mut rest) + ALLOCATION)?,
            _ => continue,
        }
        parts += 1;
    }
    Ok(parts)
}

/// Goes behind a text, of which the first quote is read: how many bytes it has.
fn text_length(rest: &mut std::slice::Iter<'_, u8>) -> usize {
    let before = rest.len();
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => break,
            b'\\' => _ = rest.next(),
            _ => {}
        }
    }
    before - rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(text: &str, memory: usize) -> bool {
        parts(text.as_bytes(), memory).is_ok()
    }

    #[test]
    fn what_is_quoted_opens_and_separates_nothing() {
        let quoted = format!("\"{}\"", "[{,:\\\"".repeat(100));
        assert!(fits(&quoted, 800));
        assert!(!fits(&quoted, 500));
        assert_eq!(parts(quoted.as_bytes(), 800).ok(), Some(2));
    }

    #[test]
    fn as_many_levels_are_read_as_are_allowed() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(fits(&nested(DEPTH_MAX), usize::MAX));
        assert!(!fits(&nested(DEPTH_MAX + 1), usize::MAX));
        assert!(fits(&"[]".repeat(DEPTH_MAX + 1), usize::MAX));
    }

    #[test]
    fn what_it_takes_is_more_than_what_serde_json_takes() {
        // 2 bytes each, that become 32; each in a list, and that in a map.
        let text = format!("[{}0]", "0,".repeat(1_000));
        assert!(!fits(&text, 1_000 * size_of::<Value>()));
        let text = format!("[{}0]", "{\"a\":0},".repeat(1_000));
        assert!(!fits(&text, 1_000 * 3 * size_of::<Value>()));
    }
}
