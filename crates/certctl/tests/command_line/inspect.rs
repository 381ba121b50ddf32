//! `inspect`

use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, Stream};
use serde_json::json;

use super::Scene;
use super::pki::{Ca, DAY, Pair};

const NAME: &str = "docker-daemon.internal.thinkheads.ai";

fn scene() -> (Scene, Ca, Pair) {
    let (scene, ca) = (Scene::new(), Ca::new());
    scene.configure(&ca);
    let pair = ca.pair(NAME, DAY / 2, DAY * 30);
    (scene, ca, pair)
}

#[test]
fn a_file_is_told_in_words() {
    let (scene, _, pair) = scene();
    let path = scene.path("chain.pem");
    std::fs::write(&path, &pair.chain).unwrap();
    let ended = scene.run(&["inspect", path.to_str().unwrap()]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    for said in [
        "certificate 1 of 2, leaf\n",
        "  subject      docker-daemon.internal.thinkheads.ai\n",
        "  names        docker-daemon.internal.thinkheads.ai\n",
        "  serial       0fff\n               4095 decimal\n",
        "  usage        serverAuth\n",
        "  key          ec-p256\n",
        "               expires in 29 d\n",
        "certificate 2 of 2, sent with it\n",
        "  subject      Test Intermediate\n",
        "\nprivate key  not checked: none could be read\n",
        "\nchain        complete to the root of the issuer `phoenix`\n",
    ] {
        assert!(ended.stdout.contains(said), "{said}\n{}", ended.stdout);
    }
}

#[test]
fn a_combined_file_tells_whether_its_key_fits() {
    let (scene, ca, pair) = scene();
    let other = ca.pair(NAME, DAY, DAY * 30);
    let path = scene.path("combined.pem");
    for (key, fits) in [(&pair.key, true), (&other.key, false)] {
        std::fs::write(&path, pair.chain.clone() + key).unwrap();
        let document = scene.run(&["inspect", "--json", path.to_str().unwrap()]).json();
        assert_eq!(document["key_matches"], fits);
        assert_eq!(document["certificates"].as_array().unwrap().len(), 2);
    }
}

#[test]
fn a_chain_of_another_ca_is_said_not_to_lead_to_the_root() {
    let (scene, _, _) = scene();
    let path = scene.path("foreign.pem");
    std::fs::write(&path, Ca::new().pair(NAME, DAY, DAY * 30).chain).unwrap();
    let ended = scene.run(&["inspect", path.to_str().unwrap()]);
    assert!(ended.stdout.contains("\nchain        does NOT lead to a configured root: "), "{}", ended.stdout);
}

#[test]
fn without_a_configuration_the_chain_is_shown_and_not_judged() {
    let scene = Scene::new();
    let path = scene.path("chain.pem");
    std::fs::write(&path, Ca::new().pair(NAME, DAY, DAY * 30).chain).unwrap();
    let document = scene.run(&["inspect", "--json", path.to_str().unwrap()]).json();
    assert_eq!(document["trusted"], json!(null));
    assert!(document["trust_problem"].as_str().unwrap().starts_with("cannot read the configuration"));
}

#[test]
fn an_entry_is_shown_with_its_key() {
    let (scene, _, pair) = scene();
    scene.manifest(&json!([scene.entry("docker-daemon")]));
    for name in ["docker-daemon", NAME] {
        let ended = scene.run(&["inspect", name]);
        assert_eq!(ended.code, Some(1));
        assert!(
            ended.stderr.contains("docker-daemon has no certificate yet: there is no file"),
            "{}",
            ended.stderr
        );
    }
    scene.install("docker-daemon", &pair);
    let ended = scene.run(&["inspect", "docker-daemon"]);
    assert_eq!(ended.code, Some(0));
    assert!(ended.stdout.contains("\nprivate key  belongs to the leaf\n"), "{}", ended.stdout);
}

#[test]
fn what_is_neither_an_entry_nor_a_file_nor_a_server_ends_with_4() {
    let (scene, _, _) = scene();
    scene.manifest(&json!([scene.entry("docker-daemon")]));
    let ended = scene.run(&["inspect", "docker-deamon"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(4), ""));
    assert_eq!(
        ended.stderr,
        "phoenix-certctl: `docker-deamon` is neither a file nor HOST:PORT, and no entry is called \
         `docker-deamon`: did you mean `docker-daemon`?\n"
    );
}

#[test]
fn an_invalid_entry_is_shown_with_its_problems() {
    let (scene, _, _) = scene();
    scene.manifest(&json!([{"name": "half", "common_name": NAME}]));
    let ended = scene.run(&["inspect", "half"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.starts_with("phoenix-certctl: the entry `half` is invalid ("), "{}", ended.stderr);
    assert!(ended.stderr.contains("cert_path"), "{}", ended.stderr);
}

#[test]
fn files_without_certificates_end_with_1() {
    let (scene, _, pair) = scene();
    let path = scene.path("key.pem");
    std::fs::write(&path, &pair.key).unwrap();
    for path in [path.as_path(), scene.path("absent.pem").as_path(), scene.dir.path()] {
        let ended = scene.run(&["inspect", path.to_str().unwrap()]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
        let said = format!("phoenix-certctl: cannot show {}: ", path.display());
        assert!(ended.stderr.starts_with(&said), "{}", ended.stderr);
        assert!(!ended.stderr.contains("PRIVATE"), "{}", ended.stderr);
    }
}

/// Serves one connection.
fn serve(pair: &Pair) -> String {
    let chain = CertificateDer::pem_slice_iter(pair.chain.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut tls = ServerConnection::new(Arc::new(config)).unwrap();
        // The client only looks at the certificate.
        let _ = Stream::new(&mut tls, &mut stream).write_all(b"hello");
    });
    address
}

#[test]
fn a_server_is_shown_by_what_it_presents() {
    let (scene, _, pair) = scene();
    let document = scene.run(&["inspect", "--json", "--server-name", NAME, &serve(&pair)]).json();
    assert_eq!(document["certificates"][0]["serial_decimal"], "4095");
    assert_eq!(document["trusted_by"], "phoenix");
    assert_eq!(document["key_matches"], json!(null));
}

#[test]
fn a_server_that_is_not_there_ends_with_1() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let ended = Scene::new().run(&["inspect", &address]);
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.starts_with(&format!("phoenix-certctl: cannot connect to {address}: ")),
        "{}",
        ended.stderr
    );
}
