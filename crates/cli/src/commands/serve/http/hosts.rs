//! Whose requests are answered: those that name this server. A page of another site may have its name lead here (DNS
//! rebinding), and would read what a browser may reach; but the browser then says that name.

use std::net::{IpAddr, SocketAddr};

use hyper::http::uri::Authority;

/// The ports where none is said.
const HTTP: u16 = 80;
const HTTPS: u16 = 443;

/// The names that are the server's own.
#[derive(Debug)]
pub(in crate::commands::serve) struct Hosts {
    names: Vec<Authority>,
    /// That of a request that says none.
    port: u16,
}

impl Hosts {
    /// These, beside the address of each connection. A name without a port stands for any.
    pub(in crate::commands::serve) fn new(names: &[String], has_tls: bool) -> Result<Self, String> {
        let known = |name: &String| {
            parse(name)
                .ok_or_else(|| format!("--host {name}: expected NAME or NAME:PORT, as in lag.example.com"))
        };
        let names = names.iter().map(known).collect::<Result<_, _>>()?;
        Ok(Self { names, port: if has_tls { HTTPS } else { HTTP } })
    }

    /// Whether a request to this host, over a connection to this address, is for this server.
    pub(in crate::commands::serve) fn are_own(&self, host: &str, local: SocketAddr) -> bool {
        self.are_own_at(host, self.port, local)
    }

    /// Whether a page of this origin is one of this server's, also through a proxy that speaks TLS.
    pub(in crate::commands::serve) fn are_origin(&self, origin: &str, local: SocketAddr) -> bool {
        match origin.split_once("://") {
            Some(("http", host)) => self.are_own_at(host, HTTP, local),
            Some(("https", host)) => self.are_own_at(host, HTTPS, local),
            _ => false,
        }
    }

    fn are_own_at(&self, host: &str, port: u16, local: SocketAddr) -> bool {
        let Some(host) = parse(host) else { return false };
        let port = host.port_u16().unwrap_or(port);
        let is_named = |name: &Authority| {
            name.host().eq_ignore_ascii_case(host.host()) && name.port_u16().is_none_or(|own| own == port)
        };
        is_address(&host, port, local) || self.names.iter().any(is_named)
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
fn is_address(host: &Authority, port: u16, local: SocketAddr) -> bool {
    let text = host.host();
    let address = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let is_own = match address.parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical() == local.ip(),
        Err(_) => local.ip().is_loopback() && text.eq_ignore_ascii_case("localhost"),
    };
    is_own && port == local.port()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(names: &[&str], host: &str, local: &str) -> bool {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Hosts::new(&names, false).unwrap().are_own(host, local.parse().unwrap())
    }

    #[test]
    fn a_page_of_this_server_is_one_by_its_address_and_by_names_that_are_given() {
        let own = |origin: &str, has_tls: bool| {
            let hosts = Hosts::new(&["lag.example.com".to_owned()], has_tls).unwrap();
            hosts.are_origin(origin, "127.0.0.1:9308".parse().unwrap())
        };
        for origin in ["http://127.0.0.1:9308", "http://localhost:9308", "https://lag.example.com"] {
            assert!(own(origin, false) && own(origin, true), "{origin}");
        }
        for origin in [
            "null",
            "",
            "http://127.0.0.1",
            "https://127.0.0.1:9309",
            "http://evil.example",
            "file://localhost:9308",
            "http://lag.example.com.evil.example",
            "127.0.0.1:9308",
        ] {
            assert!(!own(origin, false), "{origin}");
        }
    }

    #[test]
    fn the_address_of_the_connection_is_its_own_and_other_names_for_it_are_not() {
        for host in ["127.0.0.1:9308", "localhost:9308", "LocalHost:9308"] {
            assert!(own(&[], host, "127.0.0.1:9308"), "{host}");
        }
        assert!(own(&[], "[::1]:9308", "[::1]:9308"));
        assert!(own(&[], "10.0.0.7", "10.0.0.7:80"));
        assert!(Hosts::new(&[], true).unwrap().are_own("10.0.0.7", "10.0.0.7:443".parse().unwrap()));
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
            assert!(Hosts::new(&[wrong.to_owned()], false).is_err(), "{wrong}");
        }
    }
}
