//! Looks at consumers: what they serve, whom they let in, what a command says.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use phoenix_core::facts::{LeafFacts, Served};
use phoenix_core::lifecycle::Verification;
use phoenix_core::manifest::Verify;
use phoenix_core::name::CertName;
use phoenix_core::reason::{Reason, RetryClass, Trouble};
use phoenix_probe::{Accepted, Address, Check, HandshakeSigner, Http, Identity, Report, Subject, Tls};
use phoenix_protocol::executor::{Answer, EntryRef, Operation, SignatureScheme};
use phoenix_x509::{Chain, Roots};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use crate::clock::now;
use crate::executor::Executor;

/// How long a consumer is waited for before a change: whether it can be reached at all.
const BEFORE: Duration = Duration::from_secs(3);
/// Time between two runs of a verification command.
const PAUSE: Duration = Duration::from_secs(1);

/// What a look at the consumers of an entry needs to know of it.
#[derive(Clone)]
pub(crate) struct Looks {
    /// The executor.
    pub executor: Executor,
    /// The entry.
    pub entry: EntryRef,
    /// Its verifications.
    pub verify: Vec<Verify>,
    /// Leaf that is installed.
    pub ours: LeafFacts,
    /// Fingerprint of what the consumer was seen to use before.
    pub previous: Option<String>,
    /// PEM of the roots of the entry's issuers.
    pub roots: Vec<String>,
    /// Entries that are named as clients.
    pub clients: BTreeMap<CertName, EntryRef>,
}

/// Whether every consumer that is looked at over the network can be reached; none where there is none.
pub(crate) async fn can_be_reached(verify: &[Verify]) -> Option<bool> {
    let mut all = None;
    for check in verify {
        let (Verify::Tls { address, server_name, .. } | Verify::AcceptedBy { address, server_name, .. }) =
            check
        else {
            continue;
        };
        let Ok(address) = address.parse::<Address>() else { continue };
        let reached = phoenix_probe::can_be_reached(&address, server_name.as_deref(), BEFORE).await;
        all = Some(all.unwrap_or(true) && reached);
    }
    all
}

impl Looks {
    /// Carries out every verification of the entry, until one does not pass.
    pub(crate) async fn run(&self) -> Verification {
        let mut seen = Verification { served: None, remarks: Vec::new(), result: Ok(()) };
        for (index, verify) in self.verify.iter().enumerate() {
            let report = match self.one(index, verify).await {
                Ok(report) => report,
                Err(trouble) => Report { served: None, remarks: Vec::new(), result: Err(trouble) },
            };
            seen.remarks.extend(report.remarks);
            seen.served = seen.served.or_else(|| report.served.as_ref().map(served));
            if report.result.is_err() {
                seen.result = report.result;
                return seen;
            }
        }
        // What accepts our certificate, or what a command vouches for, was not seen to serve it.
        seen.served.get_or_insert_with(|| served(&self.ours));
        seen
    }

    async fn one(&self, index: usize, verify: &Verify) -> Result<Report, Trouble> {
        match verify {
            Verify::Tls {
                address,
                server_name,
                client,
                refuse_without_client,
                http_get,
                expect_status,
                deadline,
            } => {
                let client = match client {
                    Some(name) => Some(self.identity(self.client(name)?).await?),
                    None => None,
                };
                let check = Check::Tls(Tls {
                    address: parsed(address)?,
                    server_name: server_name.clone(),
                    client,
                    refuse_without_client: *refuse_without_client,
                    http: http(http_get.as_ref(), *expect_status),
                });
                Ok(phoenix_probe::look(&check, &self.subject(), *deadline).await)
            }
            Verify::AcceptedBy { address, server_name, http_get, expect_status, deadline } => {
                let check = Check::Accepted(Accepted {
                    address: parsed(address)?,
                    server_name: server_name.clone(),
                    client: self.identity(&self.entry).await?,
                    http: http(http_get.as_ref(), *expect_status),
                });
                Ok(phoenix_probe::look(&check, &self.subject(), *deadline).await)
            }
            Verify::Command { deadline, .. } => {
                let result = self.run_check(index, *deadline).await;
                Ok(Report { served: None, remarks: Vec::new(), result })
            }
        }
    }

    fn subject(&self) -> Subject {
        Subject {
            ours: self.ours.clone(),
            previous: self.previous.clone(),
            roots: self.roots.iter().filter_map(|pem| Roots::from_pem(pem).ok()).collect(),
            at: now(),
        }
    }

    fn client(&self, name: &CertName) -> Result<&EntryRef, Trouble> {
        self.clients.get(name).ok_or_else(|| {
            let message = format!(
                "`verify` names `{name}` as client, and the manifest in force has no such entry; name one that it has"
            );
            Trouble::new(Reason::ManifestError, message)
        })
    }

    /// The certificate of an entry, to be shown as client.
    async fn identity(&self, entry: &EntryRef) -> Result<Identity, Trouble> {
        let Answer::Chain { chain } = self.executor.ask(Operation::Chain { entry: entry.clone() }).await?
        else {
            return Err(senseless());
        };
        let chain = Chain::from_pem(chain).map_err(|error| {
            let message =
                format!("the executor's copy of the certificate of `{}` is damaged: {error}", entry.name);
            Trouble::new(Reason::Internal, message)
        })?;
        let signer = RemoteSigner {
            executor: self.executor.clone(),
            runtime: Handle::current(),
            entry: entry.clone(),
            fingerprint: chain.leaf_facts().fingerprint.clone(),
        };
        Ok(Identity { chain, signer: Arc::new(signer) })
    }

    /// Runs a verification command until it passes, at most for `deadline`.
    async fn run_check(&self, check: usize, deadline: Duration) -> Result<(), Trouble> {
        let until = Instant::now() + deadline;
        loop {
            let operation = Operation::RunCheck { entry: self.entry.clone(), check };
            let trouble = match self.executor.ask(operation).await {
                Ok(Answer::Checked { passed: true, .. }) => return Ok(()),
                Ok(Answer::Checked { message, .. }) => Trouble::new(Reason::CheckFailed, message),
                Ok(_) => senseless(),
                Err(trouble) => trouble,
            };
            let lasting = matches!(trouble.reason.class(), RetryClass::Blocked | RetryClass::Waiting)
                || trouble.reason == Reason::Stale;
            if lasting || Instant::now() + PAUSE >= until {
                return Err(trouble);
            }
            sleep(PAUSE).await;
        }
    }
}

fn parsed(address: &str) -> Result<Address, Trouble> {
    address.parse().map_err(|error| Trouble::new(Reason::ManifestError, format!("`verify`: {error}")))
}

fn http(path: Option<&String>, status: Option<u16>) -> Option<Http> {
    path.map(|path| Http { path: path.clone(), status })
}

fn served(leaf: &LeafFacts) -> Served {
    Served {
        fingerprint: leaf.fingerprint.clone(),
        serial: leaf.serial.clone(),
        not_after: leaf.not_after,
        at: now(),
    }
}

fn senseless() -> Trouble {
    Trouble::new(
        Reason::Internal,
        "the executor's answer does not fit the request; install daemon and executor from the same release",
    )
}

/// Has handshakes signed by the executor.
struct RemoteSigner {
    executor: Executor,
    runtime: Handle,
    entry: EntryRef,
    fingerprint: String,
}

impl HandshakeSigner for RemoteSigner {
    fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, Trouble> {
        let operation = Operation::Sign {
            entry: self.entry.clone(),
            fingerprint: self.fingerprint.clone(),
            scheme,
            message: STANDARD.encode(message),
        };
        let (tell, told) = mpsc::sync_channel(1);
        let executor = self.executor.clone();
        // Whoever shakes hands is a thread of its own and waits here. A runtime that ends drops the task, and with it
        // the other end of the channel.
        self.runtime.spawn(async move {
            let _ = tell.send(executor.ask(operation).await);
        });
        let gone = || Trouble::new(Reason::ExecutorGone, "the daemon stops");
        match told.recv().map_err(|_| gone())?? {
            Answer::Signed { signature } => STANDARD.decode(signature).map_err(|_| senseless()),
            _ => Err(senseless()),
        }
    }
}
