//! The bare rate of a CA: certificate requests that lie ready, tokens, and nothing else.

use std::collections::VecDeque;
use std::fs;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use async_trait::async_trait;
use phoenix_core::manifest::{KeyType, San, Usage};
use phoenix_core::name::IssuerName;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::settings::{ProvisionerSettings, StepCaSettings};
use phoenix_issuers::{Issuer, Order, StepCa as Client, TokenMinter, TokenRequest};
use phoenix_jose::{OneTimeToken, ProvisionerKey};
use phoenix_testkit::stepca::StepCa;
use phoenix_x509::KeyPair;

/// A request that lies ready.
struct Ready {
    order: Order,
    sha256: [u8; 32],
}

/// A client of one CA.
pub(super) struct Load {
    client: Client,
    minter: Minter,
}

struct Minter {
    audience: String,
    provisioner: String,
    password: String,
    key: OnceLock<ProvisionerKey>,
}

impl Load {
    /// A client that has got one certificate already: connection, provisioners and key are there.
    pub(super) async fn warmed_up(ca: &StepCa) -> Result<Self> {
        let name: IssuerName = "bare".parse()?;
        let provisioner = ProvisionerSettings { name: ca.provisioner.clone(), password: None };
        let settings = StepCaSettings {
            url: ca.url.clone(),
            audience: ca.url.clone(),
            provisioner,
            client_provisioner: None,
            x5c_provisioner: None,
        };
        let client = Client::new(&name, settings, &fs::read_to_string(&ca.root)?)?;
        let minter = Minter {
            audience: format!("{}/1.0/sign", ca.url),
            provisioner: ca.provisioner.clone(),
            password: ca.password()?.trim_end().to_owned(),
            key: OnceLock::new(),
        };
        let load = Self { client, minter };
        load.one(&ready("warm-up")?).await?;
        Ok(load)
    }

    /// How long the CA takes for so many certificates when so many are asked for at a time.
    pub(super) async fn time(self: &Arc<Self>, count: usize, concurrency: usize) -> Result<Duration> {
        let requests = (0..count).map(|number| ready(&format!("bare-{number}")));
        let queue = Arc::new(Mutex::new(requests.collect::<Result<VecDeque<_>>>()?));
        let start = Instant::now();
        let workers: Vec<_> = (0..concurrency)
            .map(|_| {
                let (load, queue) = (Arc::clone(self), Arc::clone(&queue));
                tokio::spawn(async move { load.work(&queue).await })
            })
            .collect();
        for worker in workers {
            worker.await??;
        }
        Ok(start.elapsed())
    }

    async fn work(&self, queue: &Mutex<VecDeque<Ready>>) -> Result<()> {
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        while let Some(request) = next() {
            self.one(&request).await?;
        }
        Ok(())
    }

    async fn one(&self, request: &Ready) -> Result<()> {
        let minter = Bound { minter: &self.minter, request };
        self.client
            .issue(&request.order, &minter)
            .await
            .map(drop)
            .context("the bare client got no certificate")
    }
}

fn ready(name: &str) -> Result<Ready> {
    let common_name = format!("{name}.internal.thinkheads.ai");
    let key = KeyPair::generate(KeyType::default())?;
    let csr = key.csr(&common_name, &[San::Dns(common_name.clone())])?;
    let order = Order {
        name: name.parse()?,
        common_name,
        csr_pem: csr.pem,
        stage: String::new(),
        usage: Usage::Server,
        validity: None,
    };
    Ok(Ready { order, sha256: csr.sha256 })
}

/// Makes the token of one request.
struct Bound<'a> {
    minter: &'a Minter,
    request: &'a Ready,
}

#[async_trait]
impl TokenMinter for Bound<'_> {
    async fn mint(&self, request: TokenRequest) -> Result<String, Trouble> {
        let Minter { audience, provisioner, password, key } = self.minter;
        let wrong = |error: phoenix_jose::JoseError| Trouble::new(Reason::WrongPassword, error.to_string());
        if key.get().is_none() {
            let opened =
                ProvisionerKey::decrypt(&request.encrypted_key, password.as_bytes()).map_err(wrong)?;
            // Another request may have been faster with the same key.
            drop(key.set(opened));
        }
        let Some(key) = key.get() else { return Err(Trouble::new(Reason::Internal, "there is no key")) };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
        let common_name = &self.request.order.common_name;
        OneTimeToken::new(audience, provisioner, common_name, now + 600)
            .sans([common_name.as_str()])
            .for_csr(self.request.sha256)
            .sign(key, &request.kid)
            .map_err(wrong)
    }
}
