//! What a message announces is believed up to what its frame holds, and not one further.

use ottla_protocol::{ApiKey, DecodeError, ResponseHeader, codec::DecodeErrorKind};

/// The mechanisms that a broker has, as many as are announced.
fn handshake(count: u8, strings: &[u8]) -> Result<(), DecodeError> {
    let frame = [&[0, 0, 0, 7, 0, 0, 0, 0, 0, count], strings].concat();
    ResponseHeader::decode(ApiKey::SaslHandshake, 1, &frame).map(drop)
}

/// A broker's groups, in the form of newer versions: how many are announced, how long the first one's name is, and what follows.
fn groups(count: u8, name: u8, rest: &[u8]) -> Result<(), DecodeError> {
    let frame = [&[0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, count + 1, name + 1], rest].concat();
    ResponseHeader::decode(ApiKey::ListGroups, 3, &frame).map(drop)
}

fn truncated(needed: usize, remaining: usize) -> DecodeErrorKind {
    DecodeErrorKind::Truncated { needed, remaining }
}

#[test]
fn a_text_is_as_long_as_there_are_bytes_and_not_one_longer() {
    assert_eq!(handshake(1, &[0, 3, b'a', b'b', b'c']), Ok(()));
    let error = handshake(1, &[0, 4, b'a', b'b', b'c']).unwrap_err();
    assert_eq!((error.field, error.kind), ("mechanisms", truncated(4, 3)));
    // A name, a type of no length, no tags, and none of the answer.
    assert_eq!(groups(1, 2, &[b'a', b'b', 1, 0, 0]), Ok(()));
    let error = groups(1, 6, &[b'a', b'b', 1, 0, 0]).unwrap_err();
    assert_eq!((error.field, error.kind), ("group_id", truncated(6, 5)));
}

#[test]
fn a_list_has_as_many_elements_as_bytes_can_hold_and_room_for_one_more_is_not_made() {
    assert_eq!(handshake(2, &[0, 0, 0, 0]), Ok(()));
    let mut error = None;
    let allocated = allocation_counter::measure(|| {
        // The frame is made here, and nothing else.
        error = handshake(3, &[0, 0, 0, 0]).err();
    });
    assert_eq!(error.unwrap().kind, truncated(6, 4));
    assert_eq!((allocated.count_total, allocated.bytes_total), (1, 14));
    // A group takes three bytes at the least.
    let two = [1, 0, 1, 1, 0, 0];
    assert_eq!(groups(2, 0, &two), Ok(()));
    let error = groups(3, 0, &two).unwrap_err();
    assert_eq!(error.kind, truncated(9, 7));
}
