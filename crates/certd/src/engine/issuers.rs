//! What happens at the issuers, and what it means for the entries that wait for them.

use phoenix_core::lifecycle::Event;
use phoenix_core::name::IssuerName;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::time::Timestamp;
use phoenix_issuers::Health;
use phoenix_protocol::executor::{Answer, IssuerFacts, Operation};
use tokio::sync::mpsc;
use tracing::{error, warn};

use super::{Engine, Message};
use crate::authorities::{Informed, Look};
use crate::clock::now;
use crate::executor::Executor;
use crate::jobs::IssuerNews;

impl Engine {
    pub(super) fn note(&mut self, news: Vec<IssuerNews>) {
        for piece in news {
            match piece {
                IssuerNews::Answered { name, skew } => {
                    // A request that was under way when another one failed may be the first to get through.
                    if self.authorities.answered(&name, skew) {
                        self.issuer_back(&name);
                    }
                }
                IssuerNews::Unreachable { name, trouble } => {
                    warn!("issuer {name}: {trouble}");
                    self.authorities.unreachable(&name, trouble, now());
                }
                IssuerNews::ClockAgrees { name } => {
                    if self.authorities.clock_agrees(&name) {
                        self.issuer_back(&name);
                    }
                }
                IssuerNews::ClockDiffers { name, trouble } => {
                    warn!("issuer {name}: {trouble}");
                    let at = now();
                    let soonest = self.entries.first_to_expire(&name, at).map(|(until, _)| until);
                    self.authorities.clock_differs(&name, &trouble, soonest, at);
                }
            }
        }
    }

    pub(super) fn remember_answer(&mut self, name: &IssuerName) {
        if let Err(error) = self.journal.remember_answer(name) {
            error!("cannot write the journal: {error}");
        }
    }

    pub(super) fn issuer_back(&mut self, name: &IssuerName) {
        self.remember_answer(name);
        for key in self.entries.keys() {
            self.send(&key, Event::IssuerBack);
        }
    }

    pub(super) fn informed(&mut self, facts: &[IssuerFacts]) {
        let Informed { better, changed } = self.authorities.inform(facts);
        if better {
            for key in self.entries.keys() {
                self.send(&key, Event::IssuerBack);
                // A pair that could not be judged without a root can be judged now.
                self.send(&key, Event::Look);
            }
        }
        if !changed.is_empty() {
            for key in self.entries.of_any(&changed) {
                self.send(&key, Event::IssuerChanged);
            }
        }
        self.look_at_issuers(now());
    }

    pub(super) fn look_at_issuers(&mut self, at: Timestamp) {
        for (name, look) in self.authorities.due_looks(at) {
            let (executor, messages) = (self.executor.clone(), self.messages.clone());
            tokio::spawn(async move {
                let result = match look {
                    Look::Health(client) => client.availability().await,
                    Look::Root { url, fingerprint } => {
                        bootstrap(&executor, &name, &url, &fingerprint, &messages).await
                    }
                };
                let _ = messages.send(Message::Looked { name, result }).await;
            });
        }
    }
}

/// Fetches a root by its fingerprint and hands it to the executor, which checks it once more.
async fn bootstrap(
    executor: &Executor,
    name: &IssuerName,
    url: &str,
    fingerprint: &str,
    messages: &mpsc::Sender<Message>,
) -> Result<Health, Trouble> {
    let root = phoenix_issuers::fetch_root(name, url, fingerprint).await?;
    match executor.ask(Operation::Trust { issuer: name.clone(), root }).await? {
        Answer::Issuers { issuers } => {
            let _ = messages.send(Message::Trusted(issuers)).await;
            Ok(Health { clock_skew: None, version: None, warnings: Vec::new() })
        }
        _ => {
            Err(Trouble::new(Reason::Internal, "the executor's answer to a root certificate makes no sense"))
        }
    }
}
