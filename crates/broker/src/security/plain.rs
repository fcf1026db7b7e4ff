//! PLAIN (RFC 4616), with the words that Kafka has for each refusal.

use super::{Credentials, Step, is_equal};

pub(super) fn check(token: &[u8], credentials: &Credentials) -> Step {
    let refused = |text: &str| Step::Refused(text.to_owned());
    let text = String::from_utf8_lossy(token);
    let tokens: Vec<&str> = text.splitn(5, '\0').take(4).collect();
    let [authorization_id, user, password] = tokens.as_slice() else {
        let count = tokens.len();
        return Step::Refused(format!("Invalid SASL/PLAIN response: expected 3 tokens, got {count}"));
    };
    if user.is_empty() {
        return refused("Authentication failed: username not specified");
    }
    if password.is_empty() {
        return refused("Authentication failed: password not specified");
    }
    if !credentials.password(user).is_some_and(|known| is_equal(known.expose(), password.as_bytes())) {
        return refused("Authentication failed: Invalid username or password");
    }
    if !authorization_id.is_empty() && authorization_id != user {
        return refused(super::scram::OTHER_AUTHORIZATION_ID);
    }
    Step::Done { user: (*user).to_owned(), answer: Vec::new(), lifetime: None }
}
