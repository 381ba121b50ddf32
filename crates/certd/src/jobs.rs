//! Carries actions out: each is a task that ends in an event.

use std::sync::Arc;

use async_trait::async_trait;
use phoenix_core::facts::Observation;
use phoenix_core::lifecycle::{Action, Event, Offer, Stage, Verification};
use phoenix_core::manifest::Entry;
use phoenix_core::name::IssuerName;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_issuers::{Order, TokenMinter, TokenRequest};
use phoenix_protocol::executor::{Answer, EntryRef, Operation, RollbackTo, TokenPurpose};
use tokio::sync::Semaphore;

use crate::authorities::Door;
use crate::executor::Executor;
use crate::verification::{self, Before, Looks};

/// What an issuer did while a job asked it.
#[derive(Clone, Debug)]
pub(crate) enum IssuerNews {
    /// It answered.
    Answered {
        /// Which one.
        name: IssuerName,
        /// Its clock minus ours, in seconds.
        skew: Option<i64>,
    },
    /// It could not be reached.
    Unreachable {
        /// Which one.
        name: IssuerName,
        /// Why.
        trouble: Trouble,
    },
    /// A certificate that it gave is valid at our time.
    ClockAgrees {
        /// Which one.
        name: IssuerName,
    },
    /// A certificate that it gave is not.
    ClockDiffers {
        /// Which one.
        name: IssuerName,
        /// How.
        trouble: Trouble,
    },
}

impl IssuerNews {
    /// What the end of an installation tells of the issuer that gave the certificate.
    fn of_install<T>(name: IssuerName, result: &Result<T, Trouble>) -> Vec<Self> {
        match result {
            Err(trouble) if trouble.reason == Reason::ClockDiffers => {
                vec![Self::ClockDiffers { name, trouble: trouble.clone() }]
            }
            Err(trouble) if !trouble.reason.shows_that_clocks_agree() => Vec::new(),
            _ => vec![Self::ClockAgrees { name }],
        }
    }
}

/// A piece of work for one entry.
pub(crate) struct Job {
    /// The executor.
    pub executor: Executor,
    /// The entry, as the executor's manifest in force has it.
    pub entry: Arc<Entry>,
    /// How the executor is told which entry.
    pub reference: EntryRef,
    /// The entry's issuers.
    pub doors: Vec<Door>,
    /// How to look at its consumers; none while it has no certificate of ours.
    pub looks: Option<Looks>,
    /// How many consumers are looked at at the same time.
    pub turns: Arc<Semaphore>,
}

impl Job {
    /// Carries `action` out. None: the action is none of the edges' (a timer, the journal).
    pub(crate) async fn run(self, action: Action) -> Option<(Event, Vec<IssuerNews>)> {
        let entry = self.reference.clone();
        let event = match action {
            Action::WakeAt(_) | Action::Remember => return None,
            Action::Issue => {
                // The consumer is looked at before it can know of any change, and costs the renewal no time.
                // Only where a pair may be taken back, it matters what was wrong before.
                let looks = self.looks.as_ref().filter(|_| self.entry.rollback);
                let before = verification::before(&self.entry.verify, looks, &self.turns);
                let (Before { reachable, ailing }, (result, news)) = tokio::join!(before, self.issue());
                let result = result.map(|offer| Offer { reachable, ailing, ..offer });
                return Some((Event::Issued(result), news));
            }
            Action::Observe => Event::Observed(self.observed(Operation::Observe { entry }).await),
            Action::Adopt => Event::Adopted(self.observed(Operation::Adopt { entry }).await),
            Action::Restore => Event::Restored(self.observed(Operation::Restore { entry }).await),
            Action::Deliver => Event::Delivered(self.done(Operation::Deliver { entry }).await),
            Action::Activate => {
                let one = self.activate(vec![entry]).await;
                Event::Activated(one.and_then(|mut all| all.pop().ok_or_else(senseless)))
            }
            Action::Verify => Event::Verified(Box::new(self.verify().await)),
            Action::Recheck => Event::Rechecked(self.observed(Operation::Recheck { entry }).await),
            Action::Rollback => {
                let to = RollbackTo::Previous;
                Event::RolledBack(self.observed(Operation::Rollback { entry, to }).await)
            }
            Action::Reinstate => {
                let to = RollbackTo::Newer;
                Event::Reinstated(self.observed(Operation::Rollback { entry, to }).await)
            }
            Action::Install(offer) => {
                let issuer = offer.issuer.clone();
                let result = self.install(offer).await;
                let news = IssuerNews::of_install(issuer, &result);
                return Some((Event::Installed(result), news));
            }
        };
        Some((event, Vec::new()))
    }

    async fn observed(&self, operation: Operation) -> Result<Observation, Trouble> {
        match self.executor.ask(operation).await? {
            Answer::Observed(observation) => Ok(*observation),
            _ => Err(senseless()),
        }
    }

    /// Runs the command that `entries` share once; the facts of each afterwards, in the same order.
    pub(crate) async fn activate(&self, entries: Vec<EntryRef>) -> Result<Vec<Observation>, Trouble> {
        let count = entries.len();
        match self.executor.ask(Operation::Activate { entries }).await? {
            Answer::Done { observations } if observations.len() == count => Ok(observations),
            _ => Err(senseless()),
        }
    }

    async fn done(&self, operation: Operation) -> Result<Observation, Trouble> {
        match self.executor.ask(operation).await? {
            Answer::Done { mut observations } if observations.len() == 1 => {
                observations.pop().ok_or_else(senseless)
            }
            _ => Err(senseless()),
        }
    }

    async fn verify(&self) -> Verification {
        match &self.looks {
            Some(looks) => looks.run().await,
            None => unseen(senseless()),
        }
    }

    async fn install(&self, offer: Offer) -> Result<(Observation, Vec<String>), Trouble> {
        let operation = Operation::Install {
            entry: self.reference.clone(),
            stage: offer.stage,
            issuer: offer.issuer,
            chain: offer.chain,
        };
        match self.executor.ask(operation).await? {
            Answer::Installed { observation, warnings } => Ok((*observation, warnings)),
            _ => Err(senseless()),
        }
    }

    /// Stages a key and asks the issuers in order until one answers with a certificate.
    async fn issue(&self) -> (Result<Offer, (Stage, Trouble)>, Vec<IssuerNews>) {
        let mut news = Vec::new();
        let prepared = self.executor.ask(Operation::Prepare { entry: self.reference.clone() }).await;
        let (stage, csr_pem) = match prepared {
            Ok(Answer::Prepared { stage, csr }) => (stage, csr),
            Ok(_) => return (Err((Stage::Write, senseless())), news),
            Err(trouble) => return (Err((Stage::Write, trouble)), news),
        };
        let order = Order {
            name: self.entry.name.clone(),
            common_name: self.entry.common_name.clone(),
            csr_pem,
            stage: stage.clone(),
            usage: self.entry.usage,
            validity: self.entry.validity,
        };
        let mut first = None;
        for door in &self.doors {
            match self.ask(door, &order, &mut news).await {
                Ok(chain) => {
                    let issuer = door.name.clone();
                    return (Ok(Offer { stage, issuer, chain, reachable: None, ailing: None }), news);
                }
                Err(trouble) => {
                    first.get_or_insert(trouble);
                }
            }
        }
        let trouble = first.unwrap_or_else(|| {
            Trouble::new(Reason::IssuerNotReady, "no issuer of this entry can be asked: see `status`")
        });
        (Err((Stage::Issue, trouble)), news)
    }

    async fn ask(&self, door: &Door, order: &Order, news: &mut Vec<IssuerNews>) -> Result<String, Trouble> {
        // The semaphore is never closed.
        let _permit = door.permits.acquire().await;
        if door.closed_meanwhile() {
            return Err(Trouble::new(
                Reason::CaUnreachable,
                format!(
                    "issuer {} went out of reach, or its clock was found to differ, while this request waited for its \
                     turn",
                    door.name
                ),
            ));
        }
        let minter = Minter { job: self, issuer: door.name.clone() };
        let name = door.name.clone();
        match door.client.issue(order, &minter).await {
            Ok(issued) => {
                news.push(IssuerNews::Answered { name, skew: issued.clock_skew });
                Ok(issued.chain_pem)
            }
            Err(error) => {
                let outage = matches!(error.trouble.reason, Reason::CaUnreachable | Reason::WrongRoot);
                if outage {
                    news.push(IssuerNews::Unreachable { name, trouble: error.trouble.clone() });
                } else if error.answered {
                    news.push(IssuerNews::Answered { name, skew: error.clock_skew });
                }
                Err(error.trouble)
            }
        }
    }
}

/// The event that tells of the failure of `action`; none for what is not done by a job.
pub(crate) fn failure_of(action: &Action) -> fn(Trouble) -> Option<Event> {
    match action {
        Action::Observe => |trouble| Some(Event::Observed(Err(trouble))),
        Action::Issue => |trouble| Some(Event::Issued(Err((Stage::Issue, trouble)))),
        Action::Install(_) => |trouble| Some(Event::Installed(Err(trouble))),
        Action::Adopt => |trouble| Some(Event::Adopted(Err(trouble))),
        Action::Restore => |trouble| Some(Event::Restored(Err(trouble))),
        Action::Deliver => |trouble| Some(Event::Delivered(Err(trouble))),
        Action::Activate => |trouble| Some(Event::Activated(Err(trouble))),
        Action::Verify => |trouble| Some(Event::Verified(Box::new(unseen(trouble)))),
        Action::Recheck => |trouble| Some(Event::Rechecked(Err(trouble))),
        Action::Rollback => |trouble| Some(Event::RolledBack(Err(trouble))),
        Action::Reinstate => |trouble| Some(Event::Reinstated(Err(trouble))),
        Action::WakeAt(_) | Action::Remember => |_| None,
    }
}

/// A look that showed nothing.
fn unseen(trouble: Trouble) -> Verification {
    Verification { of: None, served: None, takes: false, remarks: Vec::new(), result: Err(trouble) }
}

fn senseless() -> Trouble {
    Trouble::new(
        Reason::Internal,
        "the executor's answer does not fit the request; install daemon and executor from the same release",
    )
}

/// Tokens from the executor for one entry and issuer.
struct Minter<'a> {
    job: &'a Job,
    issuer: IssuerName,
}

#[async_trait]
impl TokenMinter for Minter<'_> {
    async fn mint(&self, request: TokenRequest) -> Result<String, Trouble> {
        let operation = Operation::Token {
            entry: self.job.reference.clone(),
            issuer: self.issuer.clone(),
            purpose: TokenPurpose::Sign {
                stage: request.stage,
                kid: request.kid,
                encrypted_key: request.encrypted_key,
            },
            ca_time: request.ca_time,
        };
        match self.job.executor.ask(operation).await? {
            Answer::Token { token, .. } => Ok(token.expose().to_owned()),
            _ => Err(senseless()),
        }
    }
}
