//! JWK provisioners.

use anyhow::Context;
use phoenix_jose::{ProvisionerKey, PublicJwk};
use rcgen::ExtendedKeyUsagePurpose;
use serde_json::{Value, json};

/// What a provisioner's certificates are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Step-CA's default template.
    ServerAndClient,
    /// A template with clientAuth alone.
    ClientOnly,
}

impl Extent {
    pub(crate) fn usages(self) -> Vec<ExtendedKeyUsagePurpose> {
        match self {
            Self::ServerAndClient => {
                vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]
            }
            Self::ClientOnly => vec![ExtendedKeyUsagePurpose::ClientAuth],
        }
    }
}

/// A provisioner as the CA knows it. The private key exists only encrypted.
#[derive(Clone)]
pub(crate) struct Provisioner {
    pub(crate) name: String,
    pub(crate) password: String,
    pub(crate) extent: Extent,
    pub(crate) enabled: bool,
    pub(crate) key: PublicJwk,
    pub(crate) kid: String,
    pub(crate) encrypted_key: String,
    iterations: u32,
}

impl Provisioner {
    /// A provisioner with a new P-256 key.
    pub(crate) fn new(name: &str, password: &str, extent: Extent, iterations: u32) -> anyhow::Result<Self> {
        let (key, kid, encrypted_key) = new_key(password, iterations)?;
        Ok(Self {
            name: name.to_owned(),
            password: password.to_owned(),
            extent,
            enabled: true,
            key,
            kid,
            encrypted_key,
            iterations,
        })
    }

    /// Exchanges the key, keeping the password.
    pub(crate) fn rotate(&mut self) -> anyhow::Result<()> {
        (self.key, self.kid, self.encrypted_key) = new_key(&self.password, self.iterations)?;
        Ok(())
    }

    /// Its place in `/provisioners`.
    pub(crate) fn listed(&self) -> Value {
        json!({
            "type": "JWK",
            "name": self.name,
            "key": self.key,
            "encryptedKey": self.encrypted_key,
        })
    }
}

fn new_key(password: &str, iterations: u32) -> anyhow::Result<(PublicJwk, String, String)> {
    let key = ProvisionerKey::generate_p256().context("making a provisioner key")?;
    let encrypted = key.encrypt(password.as_bytes(), iterations).context("encrypting the provisioner key")?;
    Ok((key.public_jwk().clone(), key.thumbprint(), encrypted))
}
