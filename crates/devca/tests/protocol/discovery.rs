//! What can be learnt without a token.

use phoenix_devca::DevCa;

use crate::client::{Client, PASSWORD, PROVISIONER, ca};

#[tokio::test]
async fn health_version_and_roots_answer_on_both_paths() {
    let ca = ca().await;
    let client = Client::new(&ca).await;
    for prefix in ["", "/1.0"] {
        assert_eq!(client.get(&format!("{prefix}/health")).await, (200, serde_json::json!({"status": "ok"})));
        assert_eq!(client.get(&format!("{prefix}/version")).await.1["version"], "0.30.2");
        let (status, roots) = client.get(&format!("{prefix}/roots")).await;
        assert_eq!((status, &roots["crts"][0]), (201, &ca.root_pem().into()));
    }
    assert_eq!(client.get("/nothing").await.0, 404);
}

#[tokio::test]
async fn a_root_is_found_by_fingerprint_without_colons() {
    let ca = ca().await;
    let client = Client::new(&ca).await;
    let fingerprint = ca.root_fingerprint();
    let dashed: Vec<_> =
        fingerprint.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap()).collect();
    for (written, status) in [
        (fingerprint.clone(), 200),
        (fingerprint.to_uppercase(), 200),
        (dashed.join("-"), 200),
        (dashed.join(":"), 404),
        ("00".repeat(32), 404),
    ] {
        assert_eq!(client.get(&format!("/root/{written}")).await.0, status, "{written}");
    }
}

#[tokio::test]
async fn provisioners_come_in_pages() {
    let mut builder = DevCa::builder().provisioner(PROVISIONER, PASSWORD).iterations(1);
    for number in 0..22 {
        builder = builder.client_provisioner(&format!("p{number}"), PASSWORD);
    }
    let ca = builder.start().await.unwrap();
    let client = Client::new(&ca).await;
    let (mut names, mut pages, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let (status, page) = client.get(&format!("/provisioners?limit=10&cursor={cursor}")).await;
        assert_eq!(status, 200);
        names.extend(page["provisioners"].as_array().unwrap().iter().map(|entry| entry["name"].clone()));
        pages += 1;
        cursor = page["nextCursor"].as_str().unwrap().to_owned();
        if cursor.is_empty() {
            break;
        }
    }
    assert_eq!((pages, names.len()), (3, 23));
    assert_eq!(names[0], PROVISIONER);
    assert_eq!(client.get("/provisioners").await.1["provisioners"].as_array().unwrap().len(), 20);
    let (status, refusal) = client.get("/provisioners?limit=x").await;
    assert_eq!(status, 400);
    assert_eq!(refusal["message"], "The request could not be completed: limit 'x' is not an integer.");
}

#[tokio::test]
async fn the_encrypted_key_is_listed_and_had_by_its_id() {
    let ca = ca().await;
    let client = Client::new(&ca).await;
    let listed = client.get("/provisioners").await.1["provisioners"][0].clone();
    let kid = listed["key"]["kid"].as_str().unwrap();
    let (status, single) = client.get(&format!("/provisioners/{kid}/encrypted-key")).await;
    assert_eq!((status, &single["key"]), (200, &listed["encryptedKey"]));
    assert_eq!(client.get("/provisioners/nobody/encrypted-key").await.0, 404);
}

#[tokio::test]
async fn a_stopped_ca_is_gone_and_comes_back_at_the_same_place() {
    let ca = ca().await;
    let client = Client::new(&ca).await;
    let url = ca.url();
    ca.stop().await;
    let http = crate::client::http(&ca.root_pem());
    assert!(http.get(format!("{url}/health")).send().await.unwrap_err().is_connect());
    ca.restart().await.unwrap();
    assert_eq!(ca.url(), url);
    assert_eq!(client.get("/health").await.0, 200);
}
