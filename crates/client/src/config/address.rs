//! Addresses as `bootstrap.servers` writes them.

use ottla_core::Address;

/// `host:port`, or `[v6]:port`; a leading `PLAINTEXT://`, as listeners are written, is allowed.
pub(super) fn address(text: &str) -> Option<Address> {
    let text = text.strip_prefix("PLAINTEXT://").unwrap_or(text);
    let (host, port) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (host, port) = bracketed.split_once("]:")?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, port)
        }
        None => text.rsplit_once(':').filter(|(host, _)| is_host(host))?,
    };
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|port| is_number && *port > 0)?;
    Some(Address { host: host.to_owned(), port })
}

fn is_host(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'))
}
