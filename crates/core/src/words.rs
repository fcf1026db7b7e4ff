//! What brokers say in words, and what they call things. An answer may be as long as a frame, and each record of a batch, each
//! error and each line of the log has a copy of what is said about it: so no more is kept than anybody reads.

/// No broker of Kafka's says as much about an error.
const LONGEST: usize = 1 << 10;
/// Of a host, a rack, a topic. DNS and Kafka allow a few bytes less.
const LONGEST_NAME: usize = 255;

/// What a broker said, as far as it is kept; a character is never cut.
pub(crate) fn heard(mut words: String) -> String {
    if words.len() > LONGEST {
        words.truncate(words.floor_char_boundary(LONGEST));
        words.push('…');
        words.shrink_to_fit();
    }
    words
}

/// Whether something can be called so.
pub(crate) fn is_name(name: &str) -> bool {
    name.len() <= LONGEST_NAME
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_a_broker_says_no_more_is_kept_than_anybody_reads() {
        let long = format!("a{}", "ß".repeat(LONGEST));
        let kept = heard(long);
        assert!(kept.ends_with("ß…") && kept.len() < LONGEST + 4 && kept.capacity() < 2 * LONGEST, "{kept}");
        assert_eq!(heard("no".to_owned()), "no");
    }
}
