//! Certificates of clients: signed elsewhere, accepted or refused, and servers that let anybody in.

use std::sync::Arc;

use phoenix_core::reason::Reason;
use phoenix_probe::{Accepted, Check, Identity, Tls, look};

use crate::bed::{
    BOTH, Ca, Clients, FAREWELL, Gone, NAME, OK, REFUSED, SHORT, config, http, reason, seen, serve, tls,
};

#[tokio::test]
async fn a_client_certificate_is_signed_elsewhere_and_accepted_or_refused() {
    let ca = Ca::new();
    let leaf = ca.leaf(|_| {});
    let stranger = Ca::new().leaf(|_| {});
    for (client, answer, request, wanted) in [
        (&leaf, Some(OK), Some(http(Some(200))), None),
        (&leaf, Some(OK), None, None),
        (&leaf, Some("SSH-2.0-x\r\n"), None, None),
        (&leaf, None, None, None),
        (&leaf, None, Some(http(Some(200))), Some(Reason::WrongStatus)),
        (&leaf, Some(FAREWELL), None, Some(Reason::RefusesClient)),
        (&leaf, Some(FAREWELL), Some(http(Some(200))), Some(Reason::RefusesClient)),
        (&leaf, Some(OK), Some(http(Some(204))), Some(Reason::WrongStatus)),
        (&leaf, Some("SSH-2.0-x\r\n"), Some(http(None)), Some(Reason::WrongStatus)),
        (&leaf, Some(REFUSED), Some(http(Some(200))), Some(Reason::RefusesClient)),
        (&leaf, Some(REFUSED), None, Some(Reason::RefusesClient)),
        (&stranger, Some(OK), Some(http(Some(200))), Some(Reason::RefusesClient)),
        (&stranger, Some(OK), None, Some(Reason::RefusesClient)),
    ] {
        let address = serve(config(&leaf, &ca, Clients::Demanded, BOTH), answer).await;
        let (subject, client) = (leaf.subject(&ca), Some(client.identity()));
        let check = Tls { client: client.clone(), http: request.clone(), ..tls(&address) };
        assert_eq!(reason(&seen(check, &subject).await), wanted, "{answer:?} {request:?}");
        let (address, client) = (address.parse().unwrap(), client.unwrap());
        let check =
            Check::Accepted(Accepted { address, server_name: Some(NAME.into()), client, http: request });
        assert_eq!(reason(&look(&check, &subject, SHORT).await), wanted, "{answer:?}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_ask_shows_nothing_about_a_client_certificate() {
    let ca = Ca::new();
    let leaf = ca.leaf(|_| {});
    let address = serve(config(&leaf, &ca, Clients::Anyone, BOTH), Some(OK)).await.parse().unwrap();
    let client = leaf.identity();
    let check = Check::Accepted(Accepted { address, server_name: None, client, http: Some(http(Some(200))) });
    assert_eq!(reason(&look(&check, &leaf.subject(&ca), SHORT).await), Some(Reason::AcceptsAnyone));
}

#[tokio::test]
async fn a_server_that_demands_a_client_certificate_which_none_is_configured_for_is_told_as_such() {
    let ca = Ca::new();
    let leaf = ca.leaf(|_| {});
    for (clients, answer) in [(Clients::Demanded, OK), (Clients::Optional, REFUSED)] {
        let address = serve(config(&leaf, &ca, clients, BOTH), Some(answer)).await;
        let check = Tls { http: Some(http(Some(200))), ..tls(&address) };
        let report = seen(check, &leaf.subject(&ca)).await;
        assert_eq!(reason(&report), Some(Reason::DemandsClient), "{clients:?}");
        assert_eq!(report.served.as_ref(), Some(leaf.chain.leaf_facts()), "{clients:?}");
    }
}

#[tokio::test]
async fn strangers_are_refused_by_alert_or_status_or_not_at_all() {
    let ca = Ca::new();
    let leaf = ca.leaf(|_| {});
    for (clients, answer, request, refuses) in [
        (Clients::Demanded, Some(OK), None, true),
        (Clients::Demanded, Some(OK), Some(http(Some(200))), true),
        (Clients::Optional, Some(OK), Some(http(Some(200))), false),
        (Clients::Anyone, Some(OK), None, false),
        // Without `http_get` an answer is an answer.
        (Clients::Anyone, Some(REFUSED), None, false),
    ] {
        for versions in [&BOTH[..1], BOTH] {
            let address = serve(config(&leaf, &ca, clients, versions), answer).await;
            let client = (clients != Clients::Anyone).then(|| leaf.identity());
            let check = Tls { client, http: request.clone(), refuse_without_client: true, ..tls(&address) };
            let found = reason(&seen(check, &leaf.subject(&ca)).await);
            assert_eq!(found, (!refuses).then_some(Reason::AcceptsAnyone), "{answer:?} {request:?}");
        }
    }
}

#[tokio::test]
async fn a_signer_that_fails_is_told_as_such() {
    let ca = Ca::new();
    let leaf = ca.leaf(|_| {});
    let address = serve(config(&leaf, &ca, Clients::Demanded, BOTH), Some(OK)).await;
    let client = Some(Identity { signer: Arc::new(Gone), ..leaf.identity() });
    let report = seen(Tls { client, ..tls(&address) }, &leaf.subject(&ca)).await;
    assert_eq!(reason(&report), Some(Reason::ExecutorGone));
}
