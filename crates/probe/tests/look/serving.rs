//! Which certificate is served: the installed one, another one, one without its chain.

use phoenix_core::reason::Reason;
use phoenix_probe::{Accepted, Check, Tls, can_be_reached, look};

use crate::bed::{
    AMPLE, BOTH, Ca, Clients, NAME, OK, SHORT, config, http, only_by_name, reason, seen, serve, serve_on, tls,
};

#[tokio::test]
async fn the_installed_leaf_passes_in_every_version_whether_or_not_clients_are_asked() {
    let ca = Ca::new();
    let leaf = ca.leaf(|_| {});
    for versions in [&BOTH[..1], &BOTH[1..]] {
        for clients in [Clients::Anyone, Clients::Demanded] {
            let address = serve(config(&leaf, &ca, clients, versions), None).await;
            let report = seen(tls(&address), &leaf.subject(&ca)).await;
            assert_eq!((reason(&report), &report.remarks), (None, &vec![]));
            assert_eq!(report.served.as_ref(), Some(leaf.chain.leaf_facts()));
        }
    }
}

#[tokio::test]
async fn a_server_on_ipv6_is_looked_at_like_any_other() {
    let ca = Ca::new();
    let (ours, other) = (ca.leaf(|_| {}), ca.leaf(|_| {}));
    let address = serve_on("[::1]:0", config(&ours, &ca, Clients::Demanded, BOTH), Some(OK)).await;
    assert!(address.starts_with("[::1]:"), "{address}");
    let check = Tls { client: Some(ours.identity()), http: Some(http(Some(200))), ..tls(&address) };
    let check = Tls { refuse_without_client: true, ..check };
    for server_name in [Some(NAME.into()), None] {
        let check = Tls { server_name, ..check.clone() };
        let report = seen(check.clone(), &ours.subject(&ca)).await;
        assert_eq!(reason(&report), None);
        assert_eq!(report.served.as_ref(), Some(ours.chain.leaf_facts()));
        assert_eq!(reason(&seen(check, &other.subject(&ca)).await), Some(Reason::ServesOther));
    }
    assert!(can_be_reached(&address.parse().unwrap(), None, AMPLE).await);
}

#[tokio::test]
async fn what_is_served_instead_is_told_apart_with_advice() {
    let ca = Ca::new();
    let ours = ca.leaf(|_| {});
    let other = ca.leaf(|_| {});
    let expired = ca.leaf(|params| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    });
    let traefik = ca.leaf(|params| {
        params.distinguished_name.push(rcgen::DnType::CommonName, "TRAEFIK DEFAULT CERT");
    });
    for (served, wanted, words) in [
        (&other, Reason::ServesOther, "the previous one"),
        (&expired, Reason::ServesExpired, "expired at 2002-01-01"),
        (&traefik, Reason::ServesDefault, "made for itself"),
    ] {
        let address = serve(config(served, &ca, Clients::Anyone, BOTH), None).await;
        let mut subject = ours.subject(&ca);
        subject.previous = Some(other.chain.leaf_facts().fingerprint.clone());
        let report = seen(tls(&address), &subject).await;
        let trouble = report.result.unwrap_err();
        assert_eq!(trouble.reason, wanted);
        assert!(trouble.message.contains(words), "{}", trouble.message);
        assert!(trouble.message.contains(&served.chain.leaf_facts().serial), "{}", trouble.message);
        assert_eq!(report.served.as_ref(), Some(served.chain.leaf_facts()));
    }
}

#[tokio::test]
async fn a_leaf_without_its_chain_passes_with_a_remark() {
    let ca = Ca::new();
    let leaf = ca.leaf(|_| {});
    let address = serve(config(&leaf, &ca, Clients::Anyone, BOTH), None).await;
    let report = seen(tls(&address), &leaf.subject(&Ca::new())).await;
    assert_eq!(reason(&report), None);
    assert!(report.remarks[0].contains("without the intermediates"), "{:?}", report.remarks);
}

#[tokio::test]
async fn a_peer_of_tls_1_2_shows_its_certificate_and_gets_no_signature() {
    let ca = Ca::new();
    let leaf = ca.leaf(|_| {});
    let address = serve(config(&leaf, &ca, Clients::Demanded, &BOTH[1..]), Some(OK)).await;
    let check = Tls { client: Some(leaf.identity()), ..tls(&address) };
    let report = seen(check.clone(), &leaf.subject(&ca)).await;
    assert_eq!(reason(&report), Some(Reason::ManifestError));
    assert!(report.result.unwrap_err().message.contains("TLS 1.3"));
    let report = seen(check, &ca.leaf(|_| {}).subject(&ca)).await;
    assert_eq!(reason(&report), Some(Reason::ServesOther), "what is served is told all the same");
}

#[tokio::test]
async fn every_connection_of_a_look_asks_for_the_server_name() {
    let ca = Ca::new();
    let leaf = ca.leaf(|_| {});
    let subject = leaf.subject(&ca);
    for (clients, client, wanted) in [
        (Clients::Anyone, None, None),
        (Clients::Demanded, Some(leaf.identity()), None),
        // A refusal for want of a name would look like one for want of a certificate.
        (Clients::Optional, Some(leaf.identity()), Some(Reason::AcceptsAnyone)),
    ] {
        let address = serve(only_by_name(config(&leaf, &ca, clients, BOTH)), Some(OK)).await;
        let refuse_without_client = client.is_some();
        let check = Tls { client: client.clone(), refuse_without_client, ..tls(&address) };
        assert_eq!(reason(&seen(check.clone(), &subject).await), wanted, "{clients:?}");
        let nameless = seen(Tls { server_name: None, ..check }, &subject).await;
        assert_eq!(reason(&nameless), Some(Reason::Unreachable), "{clients:?}");
        let Some(client) = client else { continue };
        let (address, server_name) = (address.parse().unwrap(), Some(NAME.into()));
        let check = Check::Accepted(Accepted { address, server_name, client, http: Some(http(Some(200))) });
        assert_eq!(reason(&look(&check, &subject, SHORT).await), None, "{clients:?}");
    }
}
