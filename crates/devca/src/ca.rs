//! The running CA.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use tokio::task::JoinHandle;

use crate::authority::Authority;
use crate::builder::Builder;
use crate::clock::Clock;
use crate::fault::{Fault, Switchboard};
use crate::provisioner::Provisioner;
use crate::serve;
use crate::validity::Claims;

/// What the CA was asked and what it gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests of any kind.
    pub requests: u64,
    /// Requests for a certificate.
    pub sign_requests: u64,
    /// Certificates issued, also those spoilt by a fault.
    pub issued: u64,
}

/// What requests are answered from. Outlives a stop of the server, as a CA's disk does.
pub(crate) struct Shared {
    pub(crate) names: Vec<String>,
    pub(crate) claims: Claims,
    pub(crate) authority: Authority,
    pub(crate) clock: Clock,
    pub(crate) faults: Switchboard,
    provisioners: Mutex<Vec<Provisioner>>,
    spent: Mutex<HashSet<String>>,
    issued: Mutex<BTreeMap<String, u64>>,
    started_at: AtomicI64,
    requests: AtomicU64,
    sign_requests: AtomicU64,
}

impl Shared {
    pub(crate) fn new(
        names: Vec<String>,
        claims: Claims,
        provisioners: Vec<Provisioner>,
    ) -> anyhow::Result<Arc<Self>> {
        let clock = Clock::default();
        Ok(Arc::new(Self {
            authority: Authority::new(clock.now()).context("making the embedded CA's certificates")?,
            names,
            claims,
            clock,
            faults: Switchboard::default(),
            provisioners: Mutex::new(provisioners),
            spent: Mutex::default(),
            issued: Mutex::default(),
            started_at: AtomicI64::new(0),
            requests: AtomicU64::new(0),
            sign_requests: AtomicU64::new(0),
        }))
    }

    /// Notes that the server starts now.
    pub(crate) fn begin(&self) {
        self.started_at.store(self.clock.now(), Ordering::Relaxed);
    }

    /// When the server started last, in seconds since the Unix epoch.
    pub(crate) fn started_at(&self) -> i64 {
        self.started_at.load(Ordering::Relaxed)
    }

    /// The provisioners that are listed now.
    pub(crate) fn provisioners(&self) -> Vec<Provisioner> {
        lock(&self.provisioners).iter().filter(|provisioner| provisioner.enabled).cloned().collect()
    }

    /// Notes a token as spent; false when it was spent before.
    pub(crate) fn spend(&self, token_id: String) -> bool {
        lock(&self.spent).insert(token_id)
    }

    pub(crate) fn count_request(&self, sign: bool) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.sign_requests.fetch_add(u64::from(sign), Ordering::Relaxed);
    }

    pub(crate) fn count_issued(&self, subject: &str) {
        *lock(&self.issued).entry(subject.to_owned()).or_default() += 1;
    }

    fn change(
        &self,
        name: &str,
        change: impl FnOnce(&mut Provisioner) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut provisioners = lock(&self.provisioners);
        let found = provisioners.iter_mut().find(|provisioner| provisioner.name == name);
        change(found.with_context(|| format!("the embedded CA has no provisioner `{name}`"))?)
    }
}

/// A panic of another thread leaves these collections whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A CA that serves on loopback until it is stopped or dropped.
pub struct DevCa {
    shared: Arc<Shared>,
    address: SocketAddr,
    server: Mutex<Option<JoinHandle<()>>>,
}

impl DevCa {
    /// Begins to describe a CA.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) async fn start(shared: Arc<Shared>, port: u16) -> anyhow::Result<Self> {
        let (address, server) = serve::start(&shared, SocketAddr::from(([127, 0, 0, 1], port))).await?;
        Ok(Self { shared, address, server: Mutex::new(Some(server)) })
    }

    /// `https://127.0.0.1:PORT`. The same after [`Self::restart`].
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The root certificate, PEM.
    pub fn root_pem(&self) -> String {
        self.shared.authority.root_pem()
    }

    /// SHA-256 of the root certificate, lower-case hexadecimal.
    pub fn root_fingerprint(&self) -> String {
        self.shared.authority.root_fingerprint()
    }

    /// Writes the root certificate to a file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_root(&self, path: &Path) -> anyhow::Result<()> {
        std::fs::write(path, self.root_pem()).with_context(|| format!("writing {}", path.display()))
    }

    /// Password of a provisioner's key.
    pub fn provisioner_password(&self, name: &str) -> Option<String> {
        let provisioners = lock(&self.shared.provisioners);
        provisioners.iter().find(|provisioner| provisioner.name == name).map(|found| found.password.clone())
    }

    /// Closes the listener and all connections. Does nothing when stopped already.
    pub async fn stop(&self) {
        let server = lock(&self.server).take();
        if let Some(server) = server {
            server.abort();
            // The only outcome is that it was cancelled; what matters is that the port is free now.
            drop(server.await);
        }
    }

    /// Stops if running and serves again on the same port with a new server certificate. Tokens whose `iat` is
    /// older are refused from now on; spent tokens stay spent.
    ///
    /// # Errors
    /// When the port was taken in the meantime.
    pub async fn restart(&self) -> anyhow::Result<()> {
        self.stop().await;
        let (_, server) = serve::start(&self.shared, self.address).await?;
        *lock(&self.server) = Some(server);
        Ok(())
    }

    /// Every request for a certificate suffers this from now on. Several faults add up.
    pub fn fail_signing(&self, fault: Fault) {
        self.shared.faults.on_sign(fault, None);
    }

    /// The next `times` requests for a certificate suffer this.
    pub fn fail_signing_times(&self, fault: Fault, times: u32) {
        self.shared.faults.on_sign(fault, Some(times));
    }

    /// Every request suffers this from now on.
    pub fn fail_everywhere(&self, fault: Fault) {
        self.shared.faults.everywhere(fault);
    }

    /// Switches all faults off; clock and provisioners stay as they are.
    pub fn heal(&self) {
        self.shared.faults.clear();
    }

    /// Moves the CA's clock by so many seconds against the real one: `Date` headers, token checks and the
    /// validity of certificates.
    pub fn set_clock_skew(&self, seconds: i64) {
        self.shared.clock.set_skew(seconds);
    }

    /// Takes a provisioner out of the list, as if it were gone from `ca.json`.
    ///
    /// # Errors
    /// When there is no such provisioner.
    pub fn remove_provisioner(&self, name: &str) -> anyhow::Result<()> {
        self.shared.change(name, |provisioner| {
            provisioner.enabled = false;
            Ok(())
        })
    }

    /// Puts a removed provisioner back.
    ///
    /// # Errors
    /// When there is no such provisioner.
    pub fn restore_provisioner(&self, name: &str) -> anyhow::Result<()> {
        self.shared.change(name, |provisioner| {
            provisioner.enabled = true;
            Ok(())
        })
    }

    /// Gives a provisioner a new key, encrypted with the same password.
    ///
    /// # Errors
    /// When there is no such provisioner.
    pub fn rotate_key(&self, name: &str) -> anyhow::Result<()> {
        self.shared.change(name, Provisioner::rotate)
    }

    /// What was asked and given since the beginning.
    pub fn counters(&self) -> Counters {
        Counters {
            requests: self.shared.requests.load(Ordering::Relaxed),
            sign_requests: self.shared.sign_requests.load(Ordering::Relaxed),
            issued: lock(&self.shared.issued).values().sum(),
        }
    }

    /// How many certificates with this subject CN were issued.
    pub fn issued_for(&self, common_name: &str) -> u64 {
        lock(&self.shared.issued).get(common_name).copied().unwrap_or(0)
    }
}

impl Drop for DevCa {
    fn drop(&mut self) {
        if let Some(server) = lock(&self.server).take() {
            server.abort();
        }
    }
}
