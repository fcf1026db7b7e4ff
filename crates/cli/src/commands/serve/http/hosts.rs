//! Whose requests are answered: those that name this server. A page of another site may have its name lead here (DNS
//! rebinding), and would read what a browser may reach; but the browser then says that name.

use std::net::{IpAddr, SocketAddr};

use hyper::http::uri::Authority;

/// The port of `http` where none is said.
const PORT: u16 = 80;

/// The names that are the server's own.
#[derive(Debug)]
pub(in crate::commands::serve) struct Hosts(Vec<Authority>);

impl Hosts {
    /// These, beside the address of each connection. A name without a port stands for any.
    pub(in crate::commands::serve) fn new(names: &[String]) -> Result<Self, String> {
        let known = |name: &String| {
            parse(name)
                .ok_or_else(|| format!("--host {name}: expected NAME or NAME:PORT, as in lag.example.com"))
        };
        names.iter().map(known).collect::<Result<_, _>>().map(Self)
    }

    /// Whether a request to this host, over a connection to this address, is for this server.
    pub(in crate::commands::serve) fn are_own(&self, host: &str, local: SocketAddr) -> bool {
        let Some(host) = parse(host) else { return false };
        let is_named = |name: &Authority| {
            name.host().eq_ignore_ascii_case(host.host())
                && name.port_u16().is_none_or(|port| port == host.port_u16().unwrap_or(PORT))
        };
        is_address(&host, local) || self.0.iter().any(is_named)
    }
}

/// Without a user's name, which has no place there.
fn parse(text: &str) -> Option<Authority> {
    let host: Authority = text.parse().ok()?;
    // What is behind a colon and no number counts as no port there.
    let port = host.as_str().strip_prefix(host.host())?.strip_prefix(':');
    let is_plain = !text.contains('@') && !host.host().is_empty();
    (is_plain && port.is_none_or(|port| port.parse::<u16>().is_ok())).then_some(host)
}

/// Whether it is the connection's own address. No name leads to an address in a browser that says the address.
fn is_address(host: &Authority, local: SocketAddr) -> bool {
    let text = host.host();
    let address = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let is_own = match address.parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical() == local.ip(),
        Err(_) => local.ip().is_loopback() && text.eq_ignore_ascii_case("localhost"),
    };
    is_own && host.port_u16().unwrap_or(PORT) == local.port()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(names: &[&str], host: &str, local: &str) -> bool {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Hosts::new(&names).unwrap().are_own(host, local.parse().unwrap())
    }

    #[test]
    fn the_address_of_the_connection_is_its_own_and_other_names_for_it_are_not() {
        for host in ["127.0.0.1:9308", "localhost:9308", "LocalHost:9308"] {
            assert!(own(&[], host, "127.0.0.1:9308"), "{host}");
        }
        assert!(own(&[], "[::1]:9308", "[::1]:9308"));
        assert!(own(&[], "10.0.0.7", "10.0.0.7:80"));
        for host in [
            "",
            "127.0.0.1",
            "127.0.0.1:9309",
            "127.0.0.2:9308",
            "evil.example:9308",
            "localhost.evil.example:9308",
            "localhost:9308@evil.example:9308",
            "user@127.0.0.1:9308",
            "127.0.0.1:9308.evil.example",
            "127.0.0.1:+9308x",
            "2130706433:9308",
            "0x7f.1:9308",
            "[::1]:9308",
            "[::1",
            "a b",
            "\u{fc}",
        ] {
            assert!(!own(&[], host, "127.0.0.1:9308"), "{host}");
        }
        assert!(!own(&[], "localhost:9308", "10.0.0.7:9308"), "there it is another machine");
    }

    #[test]
    fn a_name_that_is_given_is_its_own_with_its_port_or_with_any() {
        assert!(own(&["lag.example.com"], "LAG.example.com", "10.0.0.7:9308"));
        assert!(own(&["lag.example.com"], "lag.example.com:8443", "10.0.0.7:9308"));
        assert!(own(&["lag.example.com:8443"], "lag.example.com:8443", "10.0.0.7:9308"));
        assert!(!own(&["lag.example.com:8443"], "lag.example.com", "10.0.0.7:9308"));
        assert!(!own(&["lag.example.com"], "example.com", "10.0.0.7:9308"));
        for wrong in ["", "http://lag.example.com", "a/b", "u@h", "h:port"] {
            assert!(Hosts::new(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }
}
