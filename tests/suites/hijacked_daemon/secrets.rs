//! Keys: having things signed with them, and reading them back.

use std::fs;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::rig::{Prey, Session};

fn handshake(context: &str, hash: usize) -> Vec<u8> {
    [&[b' '; 64][..], context.as_bytes(), &[0], &vec![7; hash]].concat()
}

const CLIENT: &str = "TLS 1.3, client CertificateVerify";

fn sign(entry: &Value, fingerprint: &Value, message: &[u8]) -> Value {
    json!({
        "op": "sign", "entry": entry, "fingerprint": fingerprint, "scheme": "ECDSA_NISTP256_SHA256",
        "message": STANDARD.encode(message),
    })
}

#[test]
fn only_handshakes_of_a_client_are_signed_and_only_for_who_may_be_one() -> Result<()> {
    let prey = Prey::new()?;
    let mut session = prey.session()?;
    let fingerprint = |session: &mut Session<'_>, name: &str| -> Result<Value> {
        Ok(session.issue(name)?["live"]["leaf"]["fingerprint"].clone())
    };
    let old = fingerprint(&mut session, "client")?;
    let present = fingerprint(&mut session, "client")?;
    let client = session.entry("client")?;
    session.granted(sign(&client, &present, &handshake(CLIENT, 32)))?;
    session.granted(sign(&client, &present, &handshake(CLIENT, 48)))?;

    for name in ["web", "plain"] {
        let fingerprint = fingerprint(&mut session, name)?;
        let entry = session.entry(name)?;
        ensure!(
            session.refused(sign(&entry, &fingerprint, &handshake(CLIENT, 32)))? == "bad-request",
            "{name}"
        );
        // Another entry's name with its own certificate.
        ensure!(session.refused(sign(&client, &fingerprint, &handshake(CLIENT, 32)))? == "stale", "{name}");
    }
    ensure!(session.refused(sign(&client, &old, &handshake(CLIENT, 32)))? == "stale");
    let token = b"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJldmlsIn0".to_vec();
    let tls12 = [&[0; 32][..], &[1; 32], &[3, 0, 23, 65], &[4; 65]].concat();
    let to_be_signed = fs::read(prey.target("client").join("cert.pem"))?;
    for message in [
        Vec::new(),
        token,
        tls12,
        to_be_signed,
        handshake("TLS 1.3, server CertificateVerify", 32),
        handshake("TLS 1.3, client CertificateVerifY", 32),
        handshake(CLIENT, 0),
        handshake(CLIENT, 20),
        handshake(CLIENT, 64),
        handshake(CLIENT, 33),
        [b" ".to_vec(), handshake(CLIENT, 32)].concat(),
        handshake(CLIENT, 32)[1..].to_vec(),
        [handshake(CLIENT, 32), handshake(CLIENT, 32)].concat(),
    ] {
        let refused = session.refused(sign(&client, &present, &message))?;
        ensure!(refused == "bad-request", "{:?}", String::from_utf8_lossy(&message));
    }
    let mut unfit = sign(&client, &present, &handshake(CLIENT, 32));
    for scheme in ["RSA_PSS_SHA256", "ED25519", "ECDSA_NISTP384_SHA384"] {
        unfit["scheme"] = json!(scheme);
        ensure!(session.refused(unfit.clone())? == "bad-request", "{scheme}");
    }
    prey.told_no_secret()
}

#[test]
fn no_answer_and_no_log_line_ever_has_a_key_in_it() -> Result<()> {
    let prey = Prey::new()?;
    let mut session = prey.session()?;
    for name in ["web", "client", "plain"] {
        session.issue(name)?;
        session.issue(name)?;
    }
    let entry = session.entry("web")?;
    let key = fs::read_to_string(prey.target("web").join("key.pem"))?;

    // The command and the check print the key on both streams, and fail as well.
    fs::write(prey.scratch.join("gate/go"), "")?;
    let done = session.ask(json!({"op": "activate", "entries": [entry]}))?;
    let runs = done["runs"].as_array().context("no trail")?;
    ensure!(!runs.is_empty(), "the command left no trail: {done}");
    let checked = session.granted(json!({"op": "run_check", "entry": entry, "check": 1}))?;
    ensure!(checked["passed"] == false, "{checked}");

    // The key as certificate, chain, root, stage; a directory of keys as live file; then everything that answers.
    fs::write(prey.target("web").join("cert.pem"), &key)?;
    let prepared = session.granted(json!({"op": "prepare", "entry": entry}))?;
    for operation in [
        json!({"op": "observe", "entry": entry}),
        json!({"op": "adopt", "entry": entry}),
        json!({"op": "install_roots", "entry": entry}),
        json!({"op": "install", "entry": entry, "stage": prepared["stage"], "issuer": "phoenix", "chain": "x"}),
        json!({"op": "token", "entry": entry, "issuer": "phoenix", "purpose": "sign", "stage": prepared["stage"],
               "kid": "k", "encrypted_key": "x", "ca_time": null}),
        json!({"op": "rollback", "entry": entry}),
        json!({"op": "rollback", "entry": entry, "to": "newer"}),
        json!({"op": "restore", "entry": entry}),
        json!({"op": "recheck", "entry": entry}),
        json!({"op": "snapshot", "refresh": true, "offset": 0}),
    ] {
        session.ask(operation)?;
    }
    fs::write(prey.target("web").join("key.pem"), &key)?;
    prey.told_no_secret()
}
