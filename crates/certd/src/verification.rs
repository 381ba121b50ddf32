//! Looks at consumers: what they serve, whom they let in, what a command says.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use phoenix_core::facts::{LeafFacts, Served};
use phoenix_core::lifecycle::{Verification, verify_digest};
use phoenix_core::manifest::Verify;
use phoenix_core::name::CertName;
use phoenix_core::reason::{Reason, RetryClass, Trouble};
use phoenix_core::schedule::Patience;
use phoenix_probe::{Accepted, Address, Check, HandshakeSigner, Http, Identity, Report, Subject, Tls};
use phoenix_protocol::executor::{Answer, EntryRef, Operation, SignatureScheme};
use phoenix_x509::{Chain, Roots};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

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
    /// How long its entry can do without anything else.
    pub patience: Patience,
    /// How many looks are under way at the same time.
    pub turns: Arc<Semaphore>,
}

/// How the consumers of an entry are before a change of its certificate, as far as they are looked at over the network.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Before {
    /// All of them can be reached; none where there is none, or where too many others are being looked at.
    pub reachable: Option<bool>,
    /// What is wrong already, with the certificate that is in place.
    pub ailing: Option<Reason>,
}

/// Looks at the consumers before a change. With `looks`, which know the pair in place, each of them is looked at as it
/// will be afterwards; otherwise only whether it can be reached.
pub(crate) async fn before(verify: &[Verify], looks: Option<&Looks>, turns: &Semaphore) -> Before {
    let mut seen = Before::default();
    if verify.is_empty() {
        return seen;
    }
    // The semaphore is never closed.
    let Ok(_permit) = timeout(BEFORE, turns.acquire()).await else { return seen };
    for (index, check) in verify.iter().enumerate() {
        let (Verify::Tls { address, server_name, .. } | Verify::AcceptedBy { address, server_name, .. }) =
            check
        else {
            continue;
        };
        let Ok(address) = address.parse::<Address>() else { continue };
        let trouble = match looks {
            Some(looks) => looks.one(index, check, BEFORE).await.and_then(|report| report.result).err(),
            None if phoenix_probe::can_be_reached(&address, server_name.as_deref(), BEFORE).await => None,
            None => return Before { reachable: Some(false), ailing: None },
        };
        seen.reachable = Some(true);
        if let Some(Trouble { reason, .. }) = trouble {
            return Before { reachable: Some(reason != Reason::Unreachable), ailing: Some(reason) };
        }
    }
    seen
}

impl Looks {
    /// Carries out every verification of the entry, until one does not pass or the renewal can wait no longer.
    pub(crate) async fn run(&self) -> Verification {
        let Patience { turn, look } = self.patience;
        // The semaphore is never closed.
        let Ok(_permit) = timeout(turn, self.turns.acquire()).await else {
            return put_off(format!(
                "the consumers could not be looked at within {} s, since looks at other consumers, which do not \
                 answer, took every turn",
                turn.as_secs()
            ));
        };
        // The verifications themselves end before, so that what they saw can be told.
        match timeout(look, self.all(Instant::now() + look / 10 * 9)).await {
            Ok(seen) => seen,
            Err(_) => put_off(format!("the look at the consumers had not ended after {} s", look.as_secs())),
        }
    }

    async fn all(&self, end: Instant) -> Verification {
        let mut seen = Verification {
            of: verify_digest(&self.verify),
            served: None,
            takes: false,
            remarks: Vec::new(),
            result: Ok(()),
        };
        for (index, verify) in self.verify.iter().enumerate() {
            let left = end.saturating_duration_since(Instant::now());
            let report = match self.one(index, verify, left.min(verify.deadline())).await {
                Ok(report) => report,
                Err(trouble) => Report { served: None, remarks: Vec::new(), result: Err(trouble) },
            };
            if let Err(trouble) = &report.result
                && left < verify.deadline()
                && trouble.reason.class() != RetryClass::Blocked
                && trouble.reason != Reason::Stale
            {
                return ended_early(left, verify.deadline(), trouble);
            }
            seen.remarks.extend(report.remarks);
            seen.served = seen.served.or_else(|| report.served.as_ref().map(served));
            if let Err(trouble) = &report.result {
                seen.takes = self.is_in_use(verify, report.served.as_ref(), trouble.reason);
                // Another consumer that serves the certificate vouches for itself only.
                if !seen.takes {
                    seen.served = report.served.as_ref().map(served);
                }
                seen.result = report.result;
                return seen;
            }
        }
        // What accepts our certificate, or what a command vouches for, was not seen to serve it.
        seen.served.get_or_insert_with(|| served(&self.ours));
        seen
    }

    /// What fails with `reason` fails although the consumer uses the certificate.
    fn is_in_use(&self, verify: &Verify, served: Option<&LeafFacts>, reason: Reason) -> bool {
        match verify {
            Verify::Tls { .. } => served.is_some_and(|leaf| leaf.fingerprint == self.ours.fingerprint),
            // Whoever answers with a status that is no refusal has let the client in.
            Verify::AcceptedBy { .. } => reason == Reason::WrongStatus,
            Verify::Command { .. } => false,
        }
    }

    async fn one(&self, index: usize, verify: &Verify, deadline: Duration) -> Result<Report, Trouble> {
        match verify {
            Verify::Tls {
                address,
                server_name,
                client,
                refuse_without_client,
                http_get,
                expect_status,
                deadline: _,
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
                Ok(phoenix_probe::look(&check, &self.subject(), deadline).await)
            }
            Verify::AcceptedBy { address, server_name, http_get, expect_status, deadline: _ } => {
                let check = Check::Accepted(Accepted {
                    address: parsed(address)?,
                    server_name: server_name.clone(),
                    client: self.identity(&self.entry).await?,
                    http: http(http_get.as_ref(), *expect_status),
                });
                Ok(phoenix_probe::look(&check, &self.subject(), deadline).await)
            }
            Verify::Command { .. } => {
                let result = self.run_check(index, deadline).await;
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

/// A look that proves nothing, since it was not carried out or not to its end.
fn put_off(why: String) -> Verification {
    let trouble = Trouble::new(Reason::LookPutOff, why);
    Verification { of: None, served: None, takes: false, remarks: Vec::new(), result: Err(trouble) }
}

fn ended_early(after: Duration, deadline: Duration, seen: &Trouble) -> Verification {
    put_off(format!(
        "the look at the consumers was ended after {} s instead of the {} s of its `deadline`, so that the renewal is \
         not held up. Until then: {}",
        after.as_secs(),
        deadline.as_secs(),
        seen.message
    ))
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
