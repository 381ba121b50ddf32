//! `HOST:PORT` as operators write it.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use crate::ProbeError;

/// A host (DNS name, IPv4 or IPv6 address) and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// DNS name or IP address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port, never 0.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Address {
    type Err = ProbeError;

    fn from_str(text: &str) -> Result<Self, ProbeError> {
        let bad = |advice| ProbeError::BadAddress { text: text.to_owned(), advice };
        let (host, port) = text.rsplit_once(':').ok_or_else(|| bad("write HOST:PORT"))?;
        let port = match port.parse() {
            Ok(0) | Err(_) => return Err(bad("the port is a number from 1 to 65535")),
            Ok(port) => port,
        };
        let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(inner) if inner.parse::<Ipv6Addr>().is_ok() => inner,
            Some(_) => return Err(bad("what stands in brackets is an IPv6 address")),
            None if host.contains(':') => return Err(bad("write an IPv6 address in brackets, [::1]:443")),
            None => host,
        };
        let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '[' | ']' | '@');
        if host.is_empty() || host.contains(odd) {
            return Err(bad("the host is a DNS name or an IP address"));
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_of_both_families_are_read_and_written_alike() {
        for (text, host, port) in [
            ("10.0.0.111:2376", "10.0.0.111", 2376),
            ("traefik.internal.thinkheads.ai:8443", "traefik.internal.thinkheads.ai", 8443),
            ("[::1]:443", "::1", 443),
            ("localhost:65535", "localhost", 65535),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!((address.host(), address.port()), (host, port));
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_advice() {
        for (text, advice) in [
            ("docker-daemon", "write HOST:PORT"),
            ("", "write HOST:PORT"),
            ("a:b", "the port is a number from 1 to 65535"),
            ("a:0", "the port is a number from 1 to 65535"),
            ("a:65536", "the port is a number from 1 to 65535"),
            (":443", "the host is a DNS name or an IP address"),
            ("https://a:443", "write an IPv6 address in brackets, [::1]:443"),
            ("a/b:443", "the host is a DNS name or an IP address"),
            ("::1:443", "write an IPv6 address in brackets, [::1]:443"),
            ("[a]:443", "what stands in brackets is an IPv6 address"),
            ("[::1:443", "write an IPv6 address in brackets, [::1]:443"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert_eq!(error, format!("`{text}` is not an address: {advice}"));
        }
    }
}
