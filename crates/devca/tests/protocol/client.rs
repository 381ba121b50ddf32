//! A raw client: requests as bytes and JSON, tokens made by hand.

use std::sync::Arc;

use aws_lc_rs::digest;
use phoenix_devca::DevCa;
use phoenix_jose::{OneTimeToken, ProvisionerKey};
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};

pub(crate) const PROVISIONER: &str = "admin@thinkheads.ai";
pub(crate) const PASSWORD: &str = "a password of the tests";

/// A CA with one provisioner and Step-CA's default limits.
pub(crate) async fn ca() -> DevCa {
    DevCa::builder().provisioner(PROVISIONER, PASSWORD).start().await.unwrap()
}

/// A signing request and the key in it.
pub(crate) struct Request {
    pub(crate) pem: String,
    pub(crate) der: Vec<u8>,
    pub(crate) public_key: Vec<u8>,
}

/// A request for these names; the first is the CN.
pub(crate) fn request(names: &[&str]) -> Request {
    let key = KeyPair::generate().unwrap();
    let mut params =
        CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, names[0]);
    let csr = params.serialize_request(&key).unwrap();
    Request {
        pem: csr.pem().unwrap(),
        der: csr.der().to_vec(),
        public_key: rcgen::PublicKeyData::subject_public_key_info(&key),
    }
}

/// A client that trusts the CA's root.
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    key: ProvisionerKey,
    kid: String,
}

impl Client {
    pub(crate) async fn new(ca: &DevCa) -> Self {
        let http = http(&ca.root_pem());
        let listing: Value =
            http.get(format!("{}/provisioners", ca.url())).send().await.unwrap().json().await.unwrap();
        let entry = &listing["provisioners"][0];
        let encrypted = entry["encryptedKey"].as_str().unwrap();
        Self {
            http,
            base: ca.url(),
            key: ProvisionerKey::decrypt(encrypted, PASSWORD.as_bytes()).unwrap(),
            kid: entry["key"]["kid"].as_str().unwrap().to_owned(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        split(self.http.get(format!("{}{path}", self.base)).send().await.unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> (u16, Value) {
        split(self.http.post(format!("{}{path}", self.base)).body(body.to_owned()).send().await.unwrap())
            .await
    }

    /// The answer as it comes, or the failure of the connection.
    pub(crate) async fn try_sign(&self, csr: &Request, token: &str) -> reqwest::Result<Vec<u8>> {
        let body = json!({ "csr": csr.pem, "ott": token }).to_string();
        let response = self.http.post(format!("{}/1.0/sign", self.base)).body(body).send().await?;
        Ok(response.bytes().await?.to_vec())
    }

    pub(crate) async fn sign(&self, csr: &Request, token: &str) -> (u16, Value) {
        self.post("/1.0/sign", &json!({ "csr": csr.pem, "ott": token }).to_string()).await
    }

    /// A good token for the request.
    pub(crate) fn token(&self, names: &[&str], csr: &Request) -> String {
        self.sealed(&self.plain(names).for_csr(sha256(&csr.der)))
    }

    /// A good token before it is signed.
    pub(crate) fn plain(&self, names: &[&str]) -> OneTimeToken {
        self.expiring(names, chrono::Utc::now().timestamp() + 300)
    }

    pub(crate) fn expiring(&self, names: &[&str], expires: i64) -> OneTimeToken {
        let audience = format!("{}/1.0/sign", self.base);
        OneTimeToken::new(audience, PROVISIONER, names[0], expires).sans(names.iter().copied())
    }

    pub(crate) fn sealed(&self, token: &OneTimeToken) -> String {
        token.sign(&self.key, &self.kid).unwrap()
    }

    pub(crate) fn sealed_as(&self, token: &OneTimeToken, kid: &str) -> String {
        token.sign(&self.key, kid).unwrap()
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest::digest(&digest::SHA256, bytes).as_ref().try_into().unwrap()
}

async fn split(response: reqwest::Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let body = response.bytes().await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

pub(crate) fn http(root: &str) -> reqwest::Client {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder().tls_backend_preconfigured(config).no_proxy().build().unwrap()
}
