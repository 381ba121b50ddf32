//! What is wrong at a consumer, as a reason and a sentence with advice.

use phoenix_core::facts::LeafFacts;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::time::Timestamp;
use phoenix_x509::{CertificateDer, Chain, Roots};

use crate::conversation::End;
use crate::{Address, Http, ProbeError};

/// What should be seen.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Leaf of the installed pair.
    pub ours: LeafFacts,
    /// Fingerprint of the certificate that the consumer used before.
    pub previous: Option<String>,
    /// Roots that lead to the installed certificate.
    pub roots: Vec<Roots>,
    /// The time.
    pub at: Timestamp,
}

/// How a look ended.
#[derive(Clone, Debug)]
pub struct Report {
    /// Leaf that the consumer served, if one was seen.
    pub served: Option<LeafFacts>,
    /// What is odd although it passes, for people.
    pub remarks: Vec<String>,
    /// It is as it should be, or why not.
    pub result: Result<(), Trouble>,
}

impl Report {
    /// Nothing but a trouble.
    pub(crate) fn trouble(trouble: Trouble) -> Self {
        Self { served: None, remarks: Vec::new(), result: Err(trouble) }
    }
}

/// Name of the certificate that Traefik makes for itself where it is given none.
const TRAEFIK_DEFAULT: &str = "TRAEFIK DEFAULT CERT";

impl Subject {
    /// Compares the chain that a consumer served with the installed leaf.
    pub(crate) fn judge(&self, address: &Address, chain: Vec<CertificateDer<'static>>) -> Report {
        let chain = match Chain::from_der(chain) {
            Ok(chain) => chain,
            Err(error) => {
                let message = format!(
                    "{address} serves another certificate than the installed one: {error}. Look at its configuration"
                );
                return Report::trouble(Trouble::new(Reason::ServesOther, message));
            }
        };
        let served = chain.leaf_facts().clone();
        if served.fingerprint == self.ours.fingerprint {
            return Report { served: Some(served), remarks: self.doubts(address, &chain), result: Ok(()) };
        }
        let trouble = self.other(address, &served, chain.is_self_issued());
        Report { served: Some(served), remarks: Vec::new(), result: Err(trouble) }
    }

    /// The chain is not needed to see a leaf; clients need it.
    fn doubts(&self, address: &Address, chain: &Chain) -> Vec<String> {
        if self.roots.is_empty() || self.roots.iter().any(|roots| roots.trusts(chain, self.at).is_ok()) {
            return Vec::new();
        }
        vec![format!(
            "{address} serves this certificate without the intermediates that lead to its root: clients that know \
             only the root refuse it. Let it use `cert_path`, which holds the whole chain"
        )]
    }

    fn other(&self, address: &Address, served: &LeafFacts, self_issued: bool) -> Trouble {
        let name = served.common_name.as_deref().unwrap_or("without a name");
        let which = format!("serial {}, {name}, issued by {}", served.serial, served.issuer);
        if name == TRAEFIK_DEFAULT || (self_issued && served.not_after > self.at) {
            let message = format!(
                "{address} serves a certificate that it made for itself ({which}): it has none for the name that it \
                 was asked for. Give it `cert_path` and `key_path` in its configuration, and `server_name` here where \
                 it chooses by name"
            );
            return Trouble::new(Reason::ServesDefault, message);
        }
        if served.not_after <= self.at {
            let message = format!(
                "{address} serves a certificate that expired at {} ({which}); the installed one has serial {}. {}",
                served.not_after,
                self.ours.serial,
                self.advice(served)
            );
            return Trouble::new(Reason::ServesExpired, message);
        }
        let message = format!(
            "{address} serves another certificate than the installed one: {which}, valid until {}; the installed one \
             has serial {}. {}",
            served.not_after,
            self.ours.serial,
            self.advice(served)
        );
        Trouble::new(Reason::ServesOther, message)
    }

    fn advice(&self, served: &LeafFacts) -> &'static str {
        let earlier =
            served.common_name == self.ours.common_name && served.not_before <= self.ours.not_before;
        if self.previous.as_ref() == Some(&served.fingerprint) {
            "It is the previous one: the command did not make the consumer read the new files. Let the command reload \
             it, or restart it where it reads them only when it starts, as dockerd does"
        } else if earlier {
            "It is an earlier one of the same name: the consumer has not read the new files, or reads others"
        } else {
            "Look whether this is the right address and whether the consumer's configuration names these files"
        }
    }
}

/// No certificate was seen there.
pub(crate) fn unreachable(error: &ProbeError) -> Trouble {
    Trouble::new(
        Reason::Unreachable,
        format!("{error}. Is the consumer running, and may this host reach it?"),
    )
}

/// The connection was made, and ended before a certificate was seen.
pub(crate) fn nothing_seen(address: &Address, end: &End) -> Trouble {
    let message = match end {
        End::NotTls => format!("what answers on {address} does not speak TLS"),
        End::Alert(alert) => {
            format!("{address} ended the TLS handshake before it presented a certificate (alert {alert:?})")
        }
        End::OtherVersion => format!("{address} speaks neither TLS 1.3 nor TLS 1.2"),
        End::Stalled | End::Silent => {
            format!("{address} accepted a connection and did not present a certificate in time")
        }
        End::Broken(why) => format!("the TLS handshake with {address} failed: {why}"),
        End::Gone | End::Parted | End::Shaken | End::Spoke(_) => {
            format!("{address} closed the connection before it presented a certificate")
        }
    };
    Trouble::new(Reason::Unreachable, format!("{message}. Look at the consumer's log"))
}

/// The server signed with another key than its certificate's.
pub(crate) fn not_proven(address: &Address) -> Trouble {
    let message = format!("{address} presents a certificate without proving that it holds its private key");
    Trouble::new(Reason::ServesOther, message)
}

/// A client certificate is to be shown where TLS 1.3 is not spoken.
pub(crate) fn too_old(address: &Address) -> Trouble {
    let message = format!(
        "{address} does not speak TLS 1.3, and the executor signs no handshake of an earlier version: no client \
         certificate can be shown there. Allow TLS 1.3, or verify by `command`"
    );
    Trouble::new(Reason::ManifestError, message)
}

/// The client certificate was refused: `how` is a sentence's end.
pub(crate) fn refuses(address: &Address, client: &LeafFacts, how: &str) -> Trouble {
    let advice = match (client.client_auth, client.common_name.as_deref()) {
        (false, _) => "The certificate lacks clientAuth: ask for `\"cert_type\": \"client\"`",
        (true, _) => {
            "Look whether the server trusts the root of this certificate, and whether it was told of a new one"
        }
    };
    let message =
        format!("{address} refuses the client certificate with serial {}: {how}. {advice}", client.serial);
    Trouble::new(Reason::RefusesClient, message)
}

/// A client certificate is demanded, and none is configured.
pub(crate) fn demands_client(address: &Address, how: &str) -> Trouble {
    let message = format!(
        "{address} demands a client certificate: {how}. Name an entry as `client` in `verify`, so that the request can \
         be made"
    );
    Trouble::new(Reason::DemandsClient, message)
}

/// A client without a certificate gets in.
pub(crate) fn accepts_anyone(address: &Address, how: &str) -> Trouble {
    let message = format!(
        "{address} lets clients without a certificate in: {how}. Make it demand one (dockerd: `\"tlsverify\": true`, \
         nginx: `ssl_verify_client on`, Traefik: `RequireAndVerifyClientCert` in the default options)"
    );
    Trouble::new(Reason::AcceptsAnyone, message)
}

/// The answer was not the wanted one: `what` says what came.
pub(crate) fn wrong_status(address: &Address, http: &Http, what: &str) -> Trouble {
    let message = format!("GET {} on {address}: {what}, wanted is HTTP status {}", http.path, http.wanted());
    Trouble::new(Reason::WrongStatus, message)
}
