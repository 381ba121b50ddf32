//! One attempt: which connections are made, and what follows from them.

use std::time::Duration;

use phoenix_core::facts::LeafFacts;
use phoenix_core::reason::Trouble;

use crate::conversation::{Encounter, End, Script, converse};
use crate::finding::{self, Report, Subject};
use crate::http::{self, REFUSALS};
use crate::recorder::Seen;
use crate::{Address, Http, Identity};

/// A server that neither answers nor refuses for so long has not refused.
const QUIET: Duration = Duration::from_secs(3);
/// Nothing on the wire tells the one from the other.
const UNANSWERED: &str =
    "it ended the connection without an answer, as a front also does when what is behind it is down";

/// Something that is looked at.
#[derive(Clone, Debug)]
pub enum Check {
    /// What a server serves.
    Tls(Tls),
    /// Whether a server accepts a client certificate.
    Accepted(Accepted),
}

/// What a server serves.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Where.
    pub address: Address,
    /// SNI; none means the host of the address when it is a name.
    pub server_name: Option<String>,
    /// Certificate to show as client.
    pub client: Option<Identity>,
    /// Without a client certificate the server must refuse.
    pub refuse_without_client: bool,
    /// Request after the handshake.
    pub http: Option<Http>,
}

/// Whether a server accepts a client certificate.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Where.
    pub address: Address,
    /// SNI; none means the host of the address when it is a name.
    pub server_name: Option<String>,
    /// The certificate.
    pub client: Identity,
    /// Request after the handshake.
    pub http: Option<Http>,
}

impl Check {
    /// Where it looks.
    pub fn address(&self) -> &Address {
        match self {
            Self::Tls(tls) => &tls.address,
            Self::Accepted(accepted) => &accepted.address,
        }
    }

    /// Looks once; no connection lasts longer than `deadline`.
    pub(crate) async fn attempt(&self, subject: &Subject, deadline: Duration) -> Report {
        match self {
            Self::Tls(tls) => tls.attempt(subject, deadline).await,
            Self::Accepted(accepted) => match accepted.attempt(deadline).await {
                Ok(()) => Report { served: None, remarks: Vec::new(), result: Ok(()) },
                Err(trouble) => Report::trouble(trouble),
            },
        }
    }
}

/// The path of a request that is made to see an answer, whatever it is.
fn path(http: Option<&Http>) -> String {
    http.map_or_else(|| "/".to_owned(), |http| http.path.clone())
}

fn patience(http: Option<&Http>, deadline: Duration) -> Duration {
    if http.is_some() { deadline } else { QUIET }
}

impl Tls {
    async fn attempt(&self, subject: &Subject, deadline: Duration) -> Report {
        let asks = self.client.is_some() || self.http.is_some();
        let request = asks.then(|| path(self.http.as_ref()));
        let met = match converse(self.script(self.client.clone(), request, deadline), deadline).await {
            Ok(met) => met,
            Err(error) => return Report::trouble(finding::unreachable(&error)),
        };
        let chain = match met.seen {
            Seen::Chain(ref chain) => chain.clone(),
            Seen::Forged => return Report::trouble(finding::not_proven(&self.address)),
            Seen::Nothing if self.client.is_some() && met.end == End::OtherVersion => {
                return self.without_tls13(subject, deadline).await;
            }
            Seen::Nothing => return Report::trouble(finding::nothing_seen(&self.address, &met.end)),
        };
        let mut report = subject.judge(&self.address, chain);
        if report.result.is_ok() {
            report.result = self.behaviour(&met, deadline).await;
        }
        report
    }

    fn script(&self, identity: Option<Identity>, request: Option<String>, deadline: Duration) -> Script {
        Script {
            address: self.address.clone(),
            server_name: self.server_name.clone(),
            identity,
            request,
            patience: patience(self.http.as_ref(), deadline),
        }
    }

    /// What is served can still be seen, without the client certificate.
    async fn without_tls13(&self, subject: &Subject, deadline: Duration) -> Report {
        let met = match converse(self.script(None, None, deadline), deadline).await {
            Ok(met) => met,
            Err(error) => return Report::trouble(finding::unreachable(&error)),
        };
        let Seen::Chain(chain) = met.seen else {
            return Report::trouble(finding::nothing_seen(&self.address, &met.end));
        };
        let mut report = subject.judge(&self.address, chain);
        report.result = report.result.and(Err(finding::too_old(&self.address)));
        report
    }

    /// The right certificate is served. Does the server do with clients what it should?
    async fn behaviour(&self, met: &Encounter, deadline: Duration) -> Result<(), Trouble> {
        match (&self.client, &self.http) {
            (Some(client), http) => {
                accepted(&self.address, client.chain.leaf_facts(), http.as_ref(), met)?;
            }
            (None, Some(http)) => answered(&self.address, http, met)?,
            (None, None) => {}
        }
        if self.refuse_without_client { self.refuses_anyone(deadline).await } else { Ok(()) }
    }

    /// Without a client certificate: an alert or the end of the connection before any byte of an answer, or a status
    /// that says so where one was asked for.
    async fn refuses_anyone(&self, deadline: Duration) -> Result<(), Trouble> {
        let script = self.script(None, Some(path(self.http.as_ref())), deadline);
        let met = converse(script, deadline).await.map_err(|error| finding::unreachable(&error))?;
        if !matches!(met.seen, Seen::Chain(_)) {
            return Err(finding::nothing_seen(&self.address, &met.end));
        }
        let line = match met.end {
            End::Alert(_) | End::Gone | End::Parted => return Ok(()),
            End::Spoke(line) => line,
            End::Stalled | End::NotTls | End::OtherVersion | End::Broken(_) => {
                return Err(finding::nothing_seen(&self.address, &met.end));
            }
            End::Silent | End::Shaken => {
                let asks = if met.asked { "" } else { ", and never asked for one" };
                return Err(finding::accepts_anyone(
                    &self.address,
                    &format!("it kept the connection open{asks}"),
                ));
            }
        };
        let how = match (http::status(&line), &self.http) {
            (Some(status), Some(_)) if REFUSALS.contains(&status) => return Ok(()),
            (Some(status @ (400 | 495 | 496)), None) => format!(
                "it answered with HTTP status {status}, which counts as a refusal only with `http_get` in `verify`"
            ),
            (Some(status), _) => format!("it answered with HTTP status {status}"),
            (None, _) => "it answered".to_owned(),
        };
        Err(finding::accepts_anyone(&self.address, &how))
    }
}

impl Accepted {
    async fn attempt(&self, deadline: Duration) -> Result<(), Trouble> {
        let script = Script {
            address: self.address.clone(),
            server_name: self.server_name.clone(),
            identity: Some(self.client.clone()),
            request: Some(path(self.http.as_ref())),
            patience: patience(self.http.as_ref(), deadline),
        };
        let met = converse(script, deadline).await.map_err(|error| finding::unreachable(&error))?;
        match met.seen {
            Seen::Nothing if met.end == End::OtherVersion => return Err(finding::too_old(&self.address)),
            Seen::Nothing => return Err(finding::nothing_seen(&self.address, &met.end)),
            Seen::Forged => return Err(finding::not_proven(&self.address)),
            Seen::Chain(_) => {}
        }
        accepted(&self.address, self.client.chain.leaf_facts(), self.http.as_ref(), &met)?;
        if met.asked {
            return Ok(());
        }
        Err(finding::accepts_anyone(&self.address, "it did not ask for a client certificate"))
    }
}

/// A client certificate was to be shown: was it accepted?
fn accepted(
    address: &Address,
    client: &LeafFacts,
    http: Option<&Http>,
    met: &Encounter,
) -> Result<(), Trouble> {
    if let Some(trouble) = &met.unsigned {
        return Err(trouble.clone());
    }
    let refuses = |how: &str| Err(finding::refuses(address, client, how));
    match (&met.end, http) {
        (End::Alert(alert), _) => refuses(&format!("it answered with the alert {alert:?}")),
        (End::Gone, _) => refuses(UNANSWERED),
        // nginx says farewell in due form when it holds a port for another program, as before dockerd. Whoever lets
        // a client in answers it, or waits for more.
        (End::Parted, _) if met.asked => refuses(UNANSWERED),
        (End::Spoke(line), _) => match (http::status(line), http) {
            (Some(status), Some(http)) if http.accepts(status) => Ok(()),
            (Some(status), Some(_)) if REFUSALS.contains(&status) => {
                refuses(&format!("it answered with HTTP status {status}"))
            }
            (Some(status @ (400 | 495 | 496)), None) => {
                refuses(&format!("it answered with HTTP status {status}"))
            }
            (_, None) => Ok(()),
            (_, Some(http)) => answered(address, http, met),
        },
        (End::Parted | End::Silent | End::Shaken, None) => Ok(()),
        (End::Parted | End::Silent | End::Shaken, Some(http)) => answered(address, http, met),
        (End::Stalled | End::NotTls | End::OtherVersion | End::Broken(_), _) => {
            Err(finding::nothing_seen(address, &met.end))
        }
    }
}

/// Was the request answered as it should be?
fn answered(address: &Address, http: &Http, met: &Encounter) -> Result<(), Trouble> {
    let wrong = |what: &str| Err(finding::wrong_status(address, http, what));
    match &met.end {
        End::Spoke(line) => match http::status(line) {
            Some(status) if http.accepts(status) => Ok(()),
            Some(status) if met.asked && matches!(status, 400 | 495 | 496) => {
                Err(finding::demands_client(address, &format!("it answered with HTTP status {status}")))
            }
            Some(status) => wrong(&format!("the answer has HTTP status {status}")),
            None => wrong("the answer is not HTTP"),
        },
        End::Alert(alert) if met.asked => {
            Err(finding::demands_client(address, &format!("it answered with the alert {alert:?}")))
        }
        End::Alert(alert) => wrong(&format!("the server answered with the alert {alert:?}")),
        End::Silent => wrong("no answer came in time"),
        End::Parted | End::Gone | End::Shaken => wrong("the connection was closed without an answer"),
        End::Stalled | End::NotTls | End::OtherVersion | End::Broken(_) => {
            Err(finding::nothing_seen(address, &met.end))
        }
    }
}
