//! Peers that are out of reach, are no TLS servers, or take a while.

use std::sync::Arc;

use phoenix_core::reason::Reason;
use phoenix_probe::{Accepted, Check, can_be_reached, look};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::bed::{AMPLE, BOTH, Ca, Clients, REFUSED, SHORT, config, peer, reason, seen, tls};

#[tokio::test]
async fn peers_that_are_no_tls_servers_are_out_of_reach() {
    let ca = Ca::new();
    let leaf = ca.leaf(|_| {});
    let hangs = peer(|stream| async move {
        tokio::time::sleep(AMPLE).await;
        drop(stream);
    });
    let resets = peer(|stream| async move { stream.set_zero_linger().unwrap() });
    let garbage = peer(|mut stream| async move { drop(stream.write_all(&[0x5a; 4096]).await) });
    let plain = peer(|mut stream| async move { drop(stream.write_all(REFUSED.as_bytes()).await) });
    let drips = peer(|mut stream| async move {
        for byte in [22_u8, 3, 3, 0, 122, 2, 0, 0, 118] {
            tokio::time::sleep(SHORT / 2).await;
            if stream.write_all(&[byte]).await.is_err() {
                return;
            }
        }
    });
    let (hangs, resets, garbage, plain, drips) = tokio::join!(hangs, resets, garbage, plain, drips);
    let nobody = { TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string() };
    for address in [hangs, resets, garbage, plain, drips, nobody] {
        let subject = leaf.subject(&ca);
        assert_eq!(reason(&seen(tls(&address), &subject).await), Some(Reason::Unreachable), "{address}");
        let check = Check::Accepted(Accepted {
            address: address.parse().unwrap(),
            server_name: None,
            client: leaf.identity(),
            http: None,
        });
        assert_eq!(reason(&look(&check, &subject, SHORT).await), Some(Reason::Unreachable), "{address}");
        assert!(!can_be_reached(&address.parse().unwrap(), None, SHORT).await);
    }
}

#[tokio::test]
async fn a_consumer_that_takes_a_while_is_waited_for() {
    let ca = Ca::new();
    let leaf = ca.leaf(|_| {});
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let check = Check::Tls(tls(&address.to_string()));
    let subject = leaf.subject(&ca);
    let late = async {
        // It comes up after the first attempt has found nobody.
        while can_be_reached(&address.to_string().parse().unwrap(), None, SHORT).await {}
        let listener = TcpListener::bind(address).await.unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config(&leaf, &ca, Clients::Anyone, BOTH)));
        let (stream, _) = listener.accept().await.unwrap();
        drop(acceptor.accept(stream).await);
    };
    let (report, ()) = tokio::join!(look(&check, &subject, AMPLE), late);
    assert_eq!(reason(&report), None);
}
