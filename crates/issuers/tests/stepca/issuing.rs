//! Certificates are issued.

use phoenix_core::manifest::Usage;
use phoenix_core::settings::ProvisionerSettings;
use phoenix_core::time::Timestamp;
use phoenix_devca::{DevCa, Fault};
use phoenix_issuers::{Issuer, clock_warning};
use phoenix_x509::{Chain, Roots};

use crate::support::{Bench, NAME, PASSWORD, PROVISIONER, builder, client, settings, with};

fn within(chain: &Chain) -> Timestamp {
    chain.leaf_facts().not_after
}

#[tokio::test]
async fn a_certificate_comes_with_its_chain_and_without_the_root() {
    let ca = builder().start().await.unwrap();
    let bench = Bench::new(&ca).lasting(600);
    let issued = client(&ca).issue(&bench.order, &bench.minter).await.unwrap();
    let chain = Chain::from_pem(&issued.chain_pem).unwrap();
    assert_eq!(chain.certificates().len(), 2);
    assert_eq!(chain.leaf_facts().public_key, bench.key.public_key_sha256());
    assert_eq!(chain.leaf_facts().common_name.as_deref(), Some(NAME));
    assert_eq!(chain.leaf_facts().lifetime().as_secs(), 660);
    Roots::from_pem(ca.root_pem()).unwrap().trusts(&chain, within(&chain)).unwrap();
    assert!(issued.clock_skew.unwrap().abs() <= 5);
    assert_eq!(clock_warning("phoenix", issued.clock_skew), None);
    assert_eq!(bench.requests()[0].stage, "stage-1");
}

#[tokio::test]
async fn the_lifetime_is_the_cas_when_none_is_asked_for() {
    let ca = builder().start().await.unwrap();
    let bench = Bench::new(&ca);
    let issued = client(&ca).issue(&bench.order, &bench.minter).await.unwrap();
    assert_eq!(Chain::from_pem(&issued.chain_pem).unwrap().leaf_facts().lifetime().as_secs(), 86_460);
}

#[tokio::test]
async fn clients_go_to_their_own_provisioner() {
    let ca = builder().client_provisioner("mesh", PASSWORD).start().await.unwrap();
    let mut wanted = settings(&ca.url());
    wanted.client_provisioner = Some(ProvisionerSettings { name: "mesh".to_owned(), password: None });
    let issuer = with(&ca, wanted);
    for (usage, provisioner, server_auth) in
        [(Usage::Server, PROVISIONER, true), (Usage::Client, "mesh", false), (Usage::Peer, PROVISIONER, true)]
    {
        let mut bench = Bench::new(&ca);
        bench.order.usage = usage;
        let issued = issuer.issue(&bench.order, &bench.minter).await.unwrap();
        assert_eq!(bench.requests()[0].provisioner, provisioner);
        assert_eq!(Chain::from_pem(&issued.chain_pem).unwrap().leaf_facts().server_auth, server_auth);
    }
}

#[tokio::test]
async fn a_provisioner_is_found_beyond_the_first_page() {
    let mut builder = DevCa::builder().iterations(1);
    for number in 0..101 {
        builder = builder.client_provisioner(&format!("p{number}"), "x");
    }
    let ca = builder.iterations(100_000).provisioner(PROVISIONER, PASSWORD).start().await.unwrap();
    let bench = Bench::new(&ca);
    client(&ca).issue(&bench.order, &bench.minter).await.unwrap();
    assert_eq!(ca.counters().requests, 3, "two pages and the certificate");
}

#[tokio::test]
async fn provisioners_are_read_once_and_again_after_a_refusal() {
    let ca = builder().start().await.unwrap();
    let issuer = client(&ca);
    for requests in [2, 3, 4] {
        let bench = Bench::new(&ca);
        issuer.issue(&bench.order, &bench.minter).await.unwrap();
        assert_eq!(ca.counters().requests, requests);
    }
    ca.rotate_key(PROVISIONER).unwrap();
    let bench = Bench::new(&ca);
    issuer.issue(&bench.order, &bench.minter).await.unwrap();
    assert_eq!(ca.counters().requests, 7, "refused, list, certificate");
    let requests = bench.requests();
    assert_eq!(requests.len(), 2);
    assert_ne!(requests[0].kid, requests[1].kid);
}

#[tokio::test]
async fn a_provisioner_that_came_later_is_found() {
    let ca = builder().start().await.unwrap();
    let issuer = client(&ca);
    ca.remove_provisioner(PROVISIONER).unwrap();
    let bench = Bench::new(&ca);
    issuer.issue(&bench.order, &bench.minter).await.unwrap_err();
    ca.restore_provisioner(PROVISIONER).unwrap();
    issuer.issue(&bench.order, &bench.minter).await.unwrap();
}

#[tokio::test]
async fn one_refused_token_is_followed_by_a_fresh_one() {
    let ca = builder().start().await.unwrap();
    ca.fail_signing_times(Fault::Status(401), 1);
    let bench = Bench::new(&ca);
    client(&ca).issue(&bench.order, &bench.minter).await.unwrap();
    assert_eq!(bench.requests().len(), 2);
}

#[tokio::test]
async fn a_wrong_clock_of_the_ca_is_measured_passed_on_and_told() {
    for skew in [7200, -7200] {
        let ca = builder().start().await.unwrap();
        ca.set_clock_skew(skew);
        let bench = Bench::new(&ca);
        let issued = client(&ca).issue(&bench.order, &bench.minter).await.unwrap();
        let measured = issued.clock_skew.unwrap();
        assert!((measured - skew).abs() <= 5, "{measured}");
        let direction = if skew > 0 { "ahead of" } else { "behind" };
        let warning = clock_warning("phoenix", issued.clock_skew).unwrap();
        assert!(warning.contains(direction), "{warning}");
    }
}

#[tokio::test]
async fn many_orders_share_one_issuer() {
    let ca = builder().start().await.unwrap();
    let issuer = client(&ca);
    let benches: Vec<_> = (0..8).map(|_| Bench::new(&ca)).collect();
    let orders = benches.iter().map(|bench| issuer.issue(&bench.order, &bench.minter));
    for issued in futures::future::join_all(orders).await {
        issued.unwrap();
    }
    assert_eq!(ca.counters().requests, 9, "one listing and eight certificates");
}
