//! Subject alternative names: what the token grants, what the request may ask for.
//!
//! Measured rules: for each kind of name the request asks for either nothing or exactly what the token grants;
//! what is certified always comes from the token.

use std::net::IpAddr;

use rcgen::SanType;
use rcgen::string::Ia5String;

use crate::refusal::Refusal;

/// Names sorted by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    dns: Vec<String>,
    ips: Vec<IpAddr>,
    emails: Vec<String>,
    uris: Vec<String>,
}

impl Names {
    /// Sorts the token's names into kinds as Step-CA does.
    pub(crate) fn from_token(names: &[String]) -> Self {
        let mut sorted = Self::default();
        for name in names {
            if let Ok(ip) = name.trim_start_matches('[').trim_end_matches(']').parse() {
                sorted.ips.push(ip);
            } else if name.contains("://") || name.starts_with("urn:") {
                sorted.uris.push(name.clone());
            } else if name.contains('@') {
                sorted.emails.push(name.clone());
            } else {
                sorted.dns.push(name.clone());
            }
        }
        sorted
    }

    /// The names that a request asks for.
    pub(crate) fn from_request(names: &[SanType]) -> Self {
        let mut sorted = Self::default();
        for name in names {
            match name {
                SanType::DnsName(dns) => sorted.dns.push(dns.to_string()),
                SanType::Rfc822Name(email) => sorted.emails.push(email.to_string()),
                SanType::URI(uri) => sorted.uris.push(uri.to_string()),
                SanType::IpAddress(ip) => sorted.ips.push(*ip),
                _ => {}
            }
        }
        sorted
    }

    /// Refuses a request that asks for other names than `granted`.
    pub(crate) fn check(&self, granted: &Self) -> Result<(), Refusal> {
        same("DNS names", &self.dns, &granted.dns)?;
        same("email addresses", &self.emails, &granted.emails)?;
        same("IP addresses", &self.ips, &granted.ips)?;
        same("URIs", &self.uris, &granted.uris)
    }

    /// For the certificate.
    pub(crate) fn to_sans(&self) -> Result<Vec<SanType>, Refusal> {
        let text = |name: &String| {
            Ia5String::try_from(name.as_str())
                .map_err(|_| Refusal::BadRequest(format!("`{name}` cannot stand in a certificate")))
        };
        let mut sans = Vec::new();
        for name in &self.dns {
            sans.push(SanType::DnsName(text(name)?));
        }
        for name in &self.emails {
            sans.push(SanType::Rfc822Name(text(name)?));
        }
        for name in &self.uris {
            sans.push(SanType::URI(text(name)?));
        }
        sans.extend(self.ips.iter().map(|ip| SanType::IpAddress(*ip)));
        Ok(sans)
    }
}

/// `asked` is empty or has the same members as `granted`.
fn same<T: Ord + ToString>(kind: &str, asked: &[T], granted: &[T]) -> Result<(), Refusal> {
    if asked.is_empty() || sorted(asked) == sorted(granted) {
        return Ok(());
    }
    Err(Refusal::Forbidden(format!(
        "certificate request does not contain the valid {kind} - got {}, want {}",
        list(asked),
        list(granted)
    )))
}

fn sorted<T: Ord>(names: &[T]) -> Vec<&T> {
    let mut sorted: Vec<_> = names.iter().collect();
    sorted.sort();
    sorted.dedup();
    sorted
}

/// A slice as Go prints it.
pub(crate) fn list<T: ToString>(names: &[T]) -> String {
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    format!("[{}]", names.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Names {
        Names::from_token(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_request_asks_for_nothing_or_exactly_what_is_granted() {
        for (asked, granted, refusal) in [
            (names(&["10.0.0.111", "a"]), names(&["a", "10.0.0.111"]), None),
            (names(&[]), names(&["a", "10.0.0.111"]), None),
            (names(&["a"]), names(&["a", "10.0.0.111"]), None),
            (names(&["10.0.0.111"]), names(&["a", "10.0.0.111"]), None),
            (names(&["a"]), names(&["a", "b"]), Some("DNS names - got [a], want [a b]")),
            (names(&["a", "b"]), names(&["a"]), Some("DNS names - got [a b], want [a]")),
            (names(&["10.0.0.9"]), names(&["a"]), Some("IP addresses - got [10.0.0.9], want []")),
            (names(&["A"]), names(&["a"]), Some("DNS names - got [A], want [a]")),
            (names(&["::1"]), names(&["0:0:0:0:0:0:0:1"]), None),
        ] {
            let expected = match refusal {
                None => Ok(()),
                Some(text) => {
                    Err(Refusal::Forbidden(format!("certificate request does not contain the valid {text}")))
                }
            };
            assert_eq!(asked.check(&granted), expected);
        }
    }

    #[test]
    fn names_are_sorted_into_kinds() {
        let names = names(&["*.d", "me@d", "https://d/x", "urn:a:b", "[::1]"]);
        assert_eq!(names.dns, ["*.d"]);
        assert_eq!(names.emails, ["me@d"]);
        assert_eq!(names.uris, ["https://d/x", "urn:a:b"]);
        assert_eq!(names.ips, ["::1".parse::<IpAddr>().unwrap()]);
        assert_eq!(Names::from_request(&names.to_sans().unwrap()), names);
    }
}
