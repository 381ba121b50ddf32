//! URLs of a Step-CA.

use reqwest::Url;

/// `https://HOST:PORT`, perhaps with a path in front of Step-CA's own.
#[derive(Clone, Debug)]
pub(super) struct Endpoint(Url);

impl Endpoint {
    /// Reads the configured URL.
    ///
    /// # Errors
    /// With the reason, for a sentence.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| error.to_string())?;
        if url.scheme() != "https" || !url.has_host() {
            return Err("it must be https://HOST:PORT".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return Err("it must have neither user, password nor query".to_owned());
        }
        Ok(Self(url))
    }

    /// The URL of a path given in segments, each percent-encoded as needed (a key id may hold any character).
    pub(super) fn url(&self, segments: &[&str]) -> String {
        self.with_query(segments, &[])
    }

    /// The same with a query; empty values are left out.
    pub(super) fn with_query(&self, segments: &[&str], query: &[(&str, &str)]) -> String {
        let mut url = self.0.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        let set: Vec<_> = query.iter().filter(|(_, value)| !value.is_empty()).collect();
        if !set.is_empty() {
            url.query_pairs_mut().extend_pairs(set);
        }
        url.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_appended_and_encoded() {
        let endpoint = Endpoint::parse("https://ca.internal:9000").unwrap();
        assert_eq!(endpoint.url(&["1.0", "sign"]), "https://ca.internal:9000/1.0/sign");
        assert_eq!(
            endpoint.url(&["provisioners", "a/b ?", "encrypted-key"]),
            "https://ca.internal:9000/provisioners/a%2Fb%20%3F/encrypted-key"
        );
        assert_eq!(
            endpoint.with_query(&["provisioners"], &[("limit", "100"), ("cursor", "")]),
            "https://ca.internal:9000/provisioners?limit=100"
        );
    }

    #[test]
    fn a_path_in_front_stays() {
        for text in ["https://[::1]:9000/ca", "https://[::1]:9000/ca/"] {
            assert_eq!(Endpoint::parse(text).unwrap().url(&["health"]), "https://[::1]:9000/ca/health");
        }
    }

    #[test]
    fn only_plain_https_is_accepted() {
        for text in
            ["http://ca", "ca:9000", "", "https://u@ca", "https://u:p@ca", "https://ca/?x=1", "https://"]
        {
            assert!(Endpoint::parse(text).is_err(), "{text}");
        }
    }
}
