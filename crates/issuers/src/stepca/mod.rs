//! Step-CA with a JWK provisioner.
//!
//! | module | duty |
//! |---|---|
//! | `endpoint` | URLs |
//! | `provisioners` | which provisioner, which key |
//! | `refusal` | what an answer other than a certificate means |
//! | `version` | what is known about versions |
//! | `wire` | JSON |

mod endpoint;
mod provisioners;
mod refusal;
mod version;
mod wire;

use std::sync::Arc;

use async_trait::async_trait;
use phoenix_core::name::IssuerName;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::settings::StepCaSettings;
use phoenix_protocol::executor::uses_client_provisioner;
use phoenix_x509::{Chain, Roots};

use self::endpoint::Endpoint;
use self::provisioners::{Chosen, Directory, Listing, Provisioners};
use self::wire::{SignAnswer, SignRequest, VersionAnswer};
use crate::exchange::{Exchange, Reply};
use crate::issuer::{Health, IssueError, Issued, Issuer, Order, TokenMinter, TokenRequest};
use crate::transport::Attempt;
use crate::{clock, goduration, tls};

/// A Step-CA, reached over TLS that believes the pinned roots only.
#[derive(Debug)]
pub struct StepCa {
    name: String,
    settings: StepCaSettings,
    endpoint: Endpoint,
    http: Exchange,
    provisioners: Provisioners,
}

impl StepCa {
    /// A client for the CA called `name` in the configuration. `roots_pem` are the roots that the executor
    /// pinned; make a new client when they change.
    ///
    /// # Errors
    /// [`Reason::IssuerNotReady`] when roots or URL are unusable.
    pub fn new(name: &IssuerName, settings: StepCaSettings, roots_pem: &str) -> Result<Self, Trouble> {
        let unusable = |what: &str, why: String| {
            Trouble::new(Reason::IssuerNotReady, format!("Issuer `{name}` cannot be used: {what}: {why}"))
        };
        let roots = Roots::from_pem(roots_pem)
            .map_err(|error| unusable("its root certificates", error.to_string()))?;
        let client = tls::pinned(&roots).map_err(|error| unusable("its TLS client", error.to_string()))?;
        let endpoint = Endpoint::parse(&settings.url)
            .map_err(|why| unusable(&format!("url `{}`", settings.url), why))?;
        Ok(Self {
            name: name.to_string(),
            settings,
            endpoint,
            http: Exchange::new(client),
            provisioners: Provisioners::default(),
        })
    }

    fn provisioner_name(&self, order: &Order) -> &str {
        match &self.settings.client_provisioner {
            Some(clients) if uses_client_provisioner(order.usage, true) => &clients.name,
            _ => &self.settings.provisioner.name,
        }
    }

    async fn certificate(&self, order: &Order, minter: &dyn TokenMinter) -> Result<Issued, Trouble> {
        let attempt = self.attempt(&format!("get a certificate for `{}`", order.name), &["1.0", "sign"]);
        let (first, listing) = self.sign(&attempt, order, minter, None).await?;
        let reply = if first.status == 401 {
            tracing::debug!(issuer = self.name, entry = %order.name, "token refused; trying once more");
            self.sign(&attempt, order, minter, Some(&listing)).await?.0
        } else {
            first
        };
        match reply.status {
            200 | 201 => self.accept(&attempt, &reply),
            401 => {
                let audience = format!("{}/1.0/sign", self.settings.audience);
                Err(refusal::of_token(&attempt, &reply, &audience, self.http.skew()))
            }
            _ => Err(refusal::of_signing(&attempt, &reply)),
        }
    }

    /// One request with a token of its own. With `refused`, the provisioners are read anew first.
    async fn sign(
        &self,
        attempt: &Attempt,
        order: &Order,
        minter: &dyn TokenMinter,
        refused: Option<&Arc<Listing>>,
    ) -> Result<(Reply, Arc<Listing>), Trouble> {
        let directory = Directory { issuer: &self.name, endpoint: &self.endpoint, http: &self.http };
        let chosen = self.provisioners.find(&directory, self.provisioner_name(order), refused).await?;
        let listing = Arc::clone(&chosen.listing);
        let token = minter.mint(self.token_request(order, chosen)).await?;
        let request = SignRequest {
            csr: &order.csr_pem,
            ott: &token,
            not_after: order.validity.map(goduration::format),
        };
        let reply =
            self.http.post(&attempt.url, &request).await.map_err(|failure| attempt.no_reply(&failure))?;
        Ok((reply, listing))
    }

    fn token_request(&self, order: &Order, chosen: Chosen) -> TokenRequest {
        TokenRequest {
            stage: order.stage.clone(),
            provisioner: chosen.name,
            kid: chosen.kid,
            encrypted_key: chosen.encrypted_key,
            ca_time: self.http.skew().map(|skew| clock::theirs(skew, clock::now())),
        }
    }

    fn accept(&self, attempt: &Attempt, reply: &Reply) -> Result<Issued, Trouble> {
        let unreadable = |why: String| {
            attempt.trouble(
                Reason::CaAnswer,
                format_args!(
                    "the CA's answer cannot be understood ({why}). The next attempt follows by itself."
                ),
            )
        };
        let answer: SignAnswer = reply.json().map_err(|error| unreadable(error.to_string()))?;
        let chain = Chain::from_pem(answer.pem()).map_err(|error| unreadable(error.to_string()))?;
        Ok(Issued { chain_pem: chain.without_roots().pem(), clock_skew: self.http.skew() })
    }

    async fn version(&self) -> Option<String> {
        let reply = self.http.get(&self.endpoint.url(&["version"])).await.ok()?;
        reply.json::<VersionAnswer>().ok().map(|answer| answer.version.chars().take(64).collect())
    }

    fn attempt(&self, what: &str, path: &[&str]) -> Attempt {
        Attempt { issuer: self.name.clone(), what: what.to_owned(), url: self.endpoint.url(path) }
    }
}

#[async_trait]
impl Issuer for StepCa {
    async fn issue(&self, order: &Order, minter: &dyn TokenMinter) -> Result<Issued, IssueError> {
        self.certificate(order, minter).await.map_err(|trouble| IssueError {
            trouble,
            answered: self.http.answered(),
            clock_skew: self.http.skew(),
        })
    }

    async fn availability(&self) -> Result<Health, Trouble> {
        let attempt = self.attempt("check the health of the CA", &["health"]);
        let reply = self.http.get(&attempt.url).await.map_err(|failure| attempt.no_reply(&failure))?;
        if reply.status != 200 {
            return Err(refusal::of_reading(&attempt, &reply));
        }
        let version = self.version().await;
        let warnings = version.as_deref().map(version::warnings).unwrap_or_default();
        Ok(Health { clock_skew: self.http.skew(), version, warnings })
    }
}
