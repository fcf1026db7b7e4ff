//! All responses; API and version are drawn from the input.

use ottla_fuzz::{Input, within};
use ottla_protocol::{ApiKey, ResponseHeader};

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (key, version) = input.api();
    let frame = input.rest();
    let Ok((header, response)) =
        within(32 * frame.len() + 1024, || ResponseHeader::decode(key, version, frame))
    else {
        return;
    };
    // Records stay where they are in the frame; and who does not know a version of ApiVersions answers in the first.
    if !matches!(key, ApiKey::Fetch | ApiKey::ApiVersions) {
        let again = header.encode(&response);
        assert_eq!(ResponseHeader::decode(key, version, &again[4..]), Ok((header, response)));
    }
}
