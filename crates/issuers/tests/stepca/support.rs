//! A CA, a client of it, and a minter that does what the executor does.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use phoenix_core::manifest::{KeyType, San, Usage};
use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::settings::{ProvisionerSettings, StepCaSettings};
use phoenix_devca::{Builder, DevCa};
use phoenix_issuers::{Order, StepCa, TokenMinter, TokenRequest};
use phoenix_jose::{OneTimeToken, ProvisionerKey};
use phoenix_x509::{Csr, KeyPair};

pub(crate) const PROVISIONER: &str = "admin@thinkheads.ai";
pub(crate) const PASSWORD: &str = "a password of the tests";
pub(crate) const NAME: &str = "web.internal";

/// A CA with one provisioner and Step-CA's default limits.
pub(crate) fn builder() -> Builder {
    DevCa::builder().provisioner(PROVISIONER, PASSWORD)
}

pub(crate) fn settings(url: &str) -> StepCaSettings {
    StepCaSettings {
        url: url.to_owned(),
        audience: url.to_owned(),
        provisioner: ProvisionerSettings { name: PROVISIONER.to_owned(), password: None },
        client_provisioner: None,
        x5c_provisioner: None,
    }
}

/// A client that trusts the CA.
pub(crate) fn client(ca: &DevCa) -> StepCa {
    with(ca, settings(&ca.url()))
}

pub(crate) fn with(ca: &DevCa, settings: StepCaSettings) -> StepCa {
    StepCa::new(&"phoenix".parse().unwrap(), settings, &ca.root_pem()).unwrap()
}

/// A key, an order for it, and a minter for that order.
pub(crate) struct Bench {
    pub(crate) key: KeyPair,
    pub(crate) order: Order,
    pub(crate) minter: Minter,
}

impl Bench {
    pub(crate) fn new(ca: &DevCa) -> Self {
        let key = KeyPair::generate(KeyType::EcP256).unwrap();
        let csr = key.csr(NAME, &[San::Dns(NAME.to_owned())]).unwrap();
        let order = Order {
            name: "web".parse().unwrap(),
            common_name: NAME.to_owned(),
            csr_pem: csr.pem.clone(),
            stage: "stage-1".to_owned(),
            usage: Usage::Server,
            validity: None,
        };
        let minter = Minter {
            password: PASSWORD.to_owned(),
            audience: format!("{}/1.0/sign", ca.url()),
            sans: vec![NAME.to_owned()],
            csr,
            seen: Mutex::default(),
        };
        Self { key, order, minter }
    }

    pub(crate) fn lasting(mut self, seconds: u64) -> Self {
        self.order.validity = Some(Duration::from_secs(seconds));
        self
    }

    pub(crate) fn requests(&self) -> MutexGuard<'_, Vec<TokenRequest>> {
        self.minter.seen.lock().unwrap()
    }
}

/// Makes tokens as the executor does and remembers what it was asked.
pub(crate) struct Minter {
    pub(crate) password: String,
    pub(crate) audience: String,
    pub(crate) sans: Vec<String>,
    csr: Csr,
    seen: Mutex<Vec<TokenRequest>>,
}

#[async_trait]
impl TokenMinter for Minter {
    async fn mint(&self, request: TokenRequest) -> Result<String, Trouble> {
        let key = ProvisionerKey::decrypt(&request.encrypted_key, self.password.as_bytes())
            .map_err(|error| Trouble::new(Reason::WrongPassword, error.to_string()))?;
        let now = request.ca_time.unwrap().unix();
        let token = OneTimeToken::new(&self.audience, &request.provisioner, NAME, now + 600)
            .sans(&self.sans)
            .for_csr(self.csr.sha256)
            .sign(&key, &request.kid)
            .unwrap();
        self.seen.lock().unwrap().push(request);
        Ok(token)
    }
}
