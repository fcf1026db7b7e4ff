//! PLAIN (RFC 4616): the password as it is. On a connection without TLS others can read it.

use ottla_protocol::Secret;

/// All that is said.
pub(super) fn message(username: &str, password: &Secret) -> Secret {
    // Nobody else is acted for: the first part is empty.
    [b"\0", username.as_bytes(), b"\0", password.expose()].concat().into()
}
