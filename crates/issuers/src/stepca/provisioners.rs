//! The provisioners of a Step-CA: listed page by page, kept for a while, read anew when something does not fit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use phoenix_core::reason::{Reason, Trouble};
use tokio::sync::Mutex;

use super::endpoint::Endpoint;
use super::wire::{EncryptedKeyAnswer, JwkEntry, ProvisionerHead, ProvisionerPage};
use crate::exchange::{Exchange, Reply};
use crate::transport::Attempt;

/// Most pages of a hundred provisioners each.
const MAX_PAGES: usize = 20;
/// Age at which a listing is read anew even if nothing is wrong with it.
const KEPT_FOR: Duration = Duration::from_secs(600);

/// A provisioner with a JSON web key.
#[derive(Clone, Debug, PartialEq, Eq)]
struct JwkProvisioner {
    name: String,
    kid: String,
    /// The private key as JWE; absent when the CA's configuration does not hold it.
    encrypted_key: Option<String>,
}

/// A provisioner with all that a token needs.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) name: String,
    pub(super) kid: String,
    pub(super) encrypted_key: String,
    /// Where it was found.
    pub(super) listing: Arc<Listing>,
}

/// All provisioners at one time.
#[derive(Debug)]
pub(super) struct Listing {
    jwk: Vec<JwkProvisioner>,
    /// Name and type of the others.
    other: Vec<(String, String)>,
    read_at: Instant,
}

impl Listing {
    /// The JWK provisioner called `name`. Several may share a name while keys are exchanged: the first with a
    /// private key is the one to use.
    fn find(&self, name: &str) -> Option<&JwkProvisioner> {
        let mut named = self.jwk.iter().filter(|provisioner| provisioner.name == name);
        let first = named.clone().next();
        named.find(|provisioner| provisioner.encrypted_key.is_some()).or(first)
    }

    /// Sorts one entry of the listing in; what is not understood is passed over.
    fn add(&mut self, entry: serde_json::Value) {
        let Ok(head) = serde_json::from_value::<ProvisionerHead>(entry.clone()) else { return };
        match serde_json::from_value::<JwkEntry>(entry) {
            Ok(jwk) if head.kind == "JWK" => self.jwk.push(JwkProvisioner {
                name: head.name,
                kid: jwk.key.kid,
                encrypted_key: jwk.encrypted_key.filter(|key| !key.is_empty()),
            }),
            _ => self.other.push((head.name, head.kind)),
        }
    }

    /// Why there is no JWK provisioner called `name`, and which there are.
    fn absence(&self, name: &str) -> String {
        let what = match self.other.iter().find(|(other, _)| other == name) {
            Some((_, kind)) => format!("provisioner `{name}` is of type {kind}, not JWK"),
            None => format!("the CA has no provisioner `{name}`"),
        };
        let names: Vec<_> = self.jwk.iter().map(|provisioner| format!("`{}`", provisioner.name)).collect();
        let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        format!(
            "{what}. Its JWK provisioners are: {there}. Correct `provisioner` of the issuer, or add it to the CA."
        )
    }
}

/// The listing of one CA, shared by all orders.
#[derive(Debug, Default)]
pub(super) struct Provisioners {
    kept: Mutex<Option<Arc<Listing>>>,
}

/// Where and for whom provisioners are asked for.
pub(super) struct Directory<'a> {
    pub(super) issuer: &'a str,
    pub(super) endpoint: &'a Endpoint,
    pub(super) http: &'a Exchange,
}

impl Provisioners {
    /// The provisioner called `name` with its private key. With `refused`, the listing whose key the CA did not
    /// accept, that listing is not used again.
    pub(super) async fn find(
        &self,
        directory: &Directory<'_>,
        name: &str,
        refused: Option<&Arc<Listing>>,
    ) -> Result<Chosen, Trouble> {
        let mut listing = self.listing(directory, refused).await?;
        if listing.find(name).is_none() {
            // It may have been added since; a listing read a moment ago is read once more, which is harmless.
            listing = self.listing(directory, Some(&listing)).await?;
        }
        let Some(found) = listing.find(name) else {
            let attempt = directory.attempt("find the provisioner", &["provisioners"]);
            return Err(attempt.trouble(Reason::UnknownProvisioner, listing.absence(name)));
        };
        let encrypted_key = match &found.encrypted_key {
            Some(key) => key.clone(),
            None => directory.encrypted_key(found).await?,
        };
        let JwkProvisioner { name, kid, .. } = found.clone();
        Ok(Chosen { name, kid, encrypted_key, listing })
    }

    /// The kept listing unless it is old or `refused`. Others wait meanwhile, so that many orders that fail
    /// together read it once.
    async fn listing(
        &self,
        directory: &Directory<'_>,
        refused: Option<&Arc<Listing>>,
    ) -> Result<Arc<Listing>, Trouble> {
        let mut kept = self.kept.lock().await;
        if let Some(listing) = kept.as_ref() {
            let good = refused.is_none_or(|refused| !Arc::ptr_eq(refused, listing));
            if good && listing.read_at.elapsed() < KEPT_FOR {
                return Ok(Arc::clone(listing));
            }
        }
        let listing = Arc::new(directory.read().await?);
        *kept = Some(Arc::clone(&listing));
        Ok(listing)
    }
}

impl Directory<'_> {
    /// Reads all pages.
    async fn read(&self) -> Result<Listing, Trouble> {
        let attempt = self.attempt("list the provisioners", &["provisioners"]);
        let mut listing = Listing { jwk: Vec::new(), other: Vec::new(), read_at: Instant::now() };
        let mut cursor = String::new();
        for _ in 0..MAX_PAGES {
            let page = self.page(&attempt, &cursor).await?;
            for entry in page.provisioners.unwrap_or_default() {
                listing.add(entry);
            }
            match page.next_cursor.filter(|next| !next.is_empty() && *next != cursor) {
                Some(next) => cursor = next,
                None => return Ok(listing),
            }
        }
        Err(attempt.trouble(
            Reason::CaAnswer,
            format_args!("the list does not end after {MAX_PAGES} pages. Check that `url` is a step-ca."),
        ))
    }

    async fn page(&self, attempt: &Attempt, cursor: &str) -> Result<ProvisionerPage, Trouble> {
        let url = self.endpoint.with_query(&["provisioners"], &[("limit", "100"), ("cursor", cursor)]);
        let reply = self.http.get(&url).await.map_err(|failure| attempt.no_reply(&failure))?;
        understand(attempt, &reply)
    }

    /// `GET /provisioners/{kid}/encrypted-key`, for CAs that list provisioners without it.
    async fn encrypted_key(&self, provisioner: &JwkProvisioner) -> Result<String, Trouble> {
        let path = ["provisioners", provisioner.kid.as_str(), "encrypted-key"];
        let attempt = self.attempt("get the provisioner's encrypted key", &path);
        let reply = self.http.get(&attempt.url).await.map_err(|failure| attempt.no_reply(&failure))?;
        if reply.status == 404 {
            return Err(attempt.trouble(
                Reason::UnknownProvisioner,
                format_args!(
                    "the CA keeps no encrypted private key for provisioner `{}`, so the password cannot open it. \
                     Add `encryptedKey` to the provisioner in the CA's ca.json, or use another provisioner.",
                    provisioner.name
                ),
            ));
        }
        understand::<EncryptedKeyAnswer>(&attempt, &reply).map(|answer| answer.key)
    }

    fn attempt(&self, what: &str, path: &[&str]) -> Attempt {
        Attempt { issuer: self.issuer.to_owned(), what: what.to_owned(), url: self.endpoint.url(path) }
    }
}

fn understand<T: serde::de::DeserializeOwned>(attempt: &Attempt, reply: &Reply) -> Result<T, Trouble> {
    if reply.status != 200 {
        return Err(super::refusal::of_reading(attempt, reply));
    }
    reply.json().map_err(|error| {
        let advice = "Check that `url` is a step-ca.";
        attempt.trouble(Reason::CaAnswer, format_args!("the answer cannot be understood ({error}). {advice}"))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn listing(entries: Vec<serde_json::Value>) -> Listing {
        let mut listing = Listing { jwk: Vec::new(), other: Vec::new(), read_at: Instant::now() };
        for entry in entries {
            listing.add(entry);
        }
        listing
    }

    #[test]
    fn unknown_types_and_broken_entries_are_passed_over() {
        let listing = listing(vec![
            json!({"type": "X5C", "name": "x5c", "roots": "AA=="}),
            json!({"type": "Tomorrow", "name": "new", "key": 7}),
            json!({"name": "no type"}),
            json!("text"),
            json!({"type": "JWK", "name": "no key"}),
            json!({"type": "JWK", "name": "a", "key": {"kid": "-k", "kty": "EC"}, "encryptedKey": "E", "x": 1}),
        ]);
        assert_eq!(
            listing.jwk,
            [JwkProvisioner { name: "a".into(), kid: "-k".into(), encrypted_key: Some("E".into()) }]
        );
    }

    #[test]
    fn of_two_with_one_name_the_one_with_a_private_key_is_used() {
        let listing = listing(vec![
            json!({"type": "JWK", "name": "a", "key": {"kid": "1"}}),
            json!({"type": "JWK", "name": "a", "key": {"kid": "2"}, "encryptedKey": "E"}),
            json!({"type": "JWK", "name": "b", "key": {"kid": "3"}}),
        ]);
        assert_eq!(listing.find("a").unwrap().kid, "2");
        assert_eq!(listing.find("b").unwrap().kid, "3");
        assert_eq!(listing.find("c"), None);
    }

    #[test]
    fn absence_tells_what_there_is() {
        let some = listing(vec![
            json!({"type": "JWK", "name": "admin", "key": {"kid": "1"}}),
            json!({"type": "ACME", "name": "acme"}),
        ]);
        assert!(
            some.absence("x")
                .starts_with("the CA has no provisioner `x`. Its JWK provisioners are: `admin`.")
        );
        assert!(some.absence("acme").starts_with("provisioner `acme` is of type ACME, not JWK."));
        assert!(listing(vec![]).absence("x").contains("are: none."));
    }
}
