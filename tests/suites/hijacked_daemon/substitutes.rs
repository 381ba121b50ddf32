//! Chains, requests and tokens that are not what they should be.

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use phoenix_testkit::peers::StepCaVersion;
use phoenix_testkit::snapshot::Snapshot;
use phoenix_testkit::stepca::{Options, StepCa};
use serde_json::{Value, json};

use crate::rig::{Prey, merge, signed_by};

#[test]
fn foreign_chains_and_swapped_requests_are_not_installed() -> Result<()> {
    let prey = Prey::new()?;
    let foreign =
        StepCa::start_in(&prey.scratch.join("foreign"), StepCaVersion::V0_30_2, &Options::default())?;
    let mut session = prey.session()?;
    session.issue("web")?;
    let (web, plain) = (session.entry("web")?, session.entry("plain")?);
    let before = Snapshot::of(&prey.target("web"))?;

    let of_web = session.granted(json!({"op": "prepare", "entry": web}))?;
    let of_plain = session.granted(json!({"op": "prepare", "entry": plain}))?;
    let purpose = |prepared: &Value| json!({"purpose": "sign", "stage": prepared["stage"]});
    let install = |stage: &Value, chain: &str| json!({"op": "install", "entry": web, "stage": stage, "issuer": "phoenix", "chain": chain});

    // The stage of another entry, with the certificate that belongs to it.
    let token = session.granted(prey.token(&plain, &purpose(&of_plain)))?["token"].clone();
    let plain_chain = signed_by(&prey.ca, &of_plain["csr"], &token)?;
    ensure!(session.refused(install(&of_plain["stage"], &plain_chain))? == "stale");
    // The key of this entry, with the certificate of another.
    ensure!(session.refused(install(&of_web["stage"], &plain_chain))? == "wrong-answer");
    // What a CA in its place makes of the very request.
    let theirs = jwk_token(&foreign, "web.internal.example")?;
    let foreign_chain = signed_by(&foreign, &of_web["csr"], &json!(theirs))?;
    ensure!(session.refused(install(&of_web["stage"], &foreign_chain))? == "wrong-answer");
    let with_root = foreign_chain.clone() + &std::fs::read_to_string(&foreign.root)?;
    ensure!(session.refused(install(&of_web["stage"], &with_root))? == "wrong-answer");
    // Our intermediate below their leaf.
    let (leaf, _) = foreign_chain.split_once("-----END CERTIFICATE-----").context("no leaf")?;
    let mixed =
        format!("{leaf}-----END CERTIFICATE-----\n{}", std::fs::read_to_string(prey.ca.intermediate())?);
    ensure!(session.refused(install(&of_web["stage"], &mixed))? == "wrong-answer");
    // A certificate for other names, on this key: the provisioner's password is the CA's, not the daemon's, so that
    // only whoever has it gets this far.
    let evil = jwk_token(&prey.ca, "evil.example")?;
    let evil_chain = signed_by(&prey.ca, &bare_csr(&prey)?, &json!(evil))?;
    ensure!(session.refused(install(&of_web["stage"], &evil_chain))? == "wrong-answer");

    Snapshot::of(&prey.target("web"))?.same_as(&before)?;
    // The stage is still good for the right answer.
    let token = session.granted(prey.token(&web, &purpose(&of_web)))?["token"].clone();
    let chain = signed_by(&prey.ca, &of_web["csr"], &token)?;
    session.granted(install(&of_web["stage"], &chain))?;
    ensure!(session.refused(install(&of_web["stage"], &chain))? == "stale", "a stage is good once");
    prey.told_no_secret()
}

/// A token that somebody with the password of this CA makes.
fn jwk_token(ca: &StepCa, name: &str) -> Result<String> {
    let settings: Value = serde_json::from_slice(&std::fs::read(ca.dir.join("config/ca.json"))?)?;
    let jwk = &settings["authority"]["provisioners"][0];
    let encrypted = jwk["encryptedKey"].as_str().context("no key")?;
    let key = phoenix_jose::ProvisionerKey::decrypt(encrypted, ca.password()?.trim().as_bytes())?;
    let audience = format!("{}/1.0/sign", ca.url);
    let token = phoenix_jose::OneTimeToken::new(audience, &ca.provisioner, name, i64::from(u32::MAX));
    Ok(token.sign(&key, jwk["key"]["kid"].as_str().context("no key id")?)?)
}

/// A request without names, by openssl.
fn bare_csr(prey: &Prey) -> Result<Value> {
    let key = prey.scratch.join("evil.key").display().to_string();
    let arguments = [
        "req",
        "-new",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/",
        "-keyout",
    ];
    let made = phoenix_testkit::process::run("openssl", arguments.into_iter().chain([key.as_str()]))?;
    Ok(json!(String::from_utf8(made.stdout)?))
}

fn claims(token: &Value) -> Result<Value> {
    let payload = token.as_str().and_then(|token| token.split('.').nth(1)).context("no token")?;
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload)?)?)
}

#[test]
fn tokens_say_what_manifest_and_configuration_say() -> Result<()> {
    let prey = Prey::new()?;
    let mut session = prey.session()?;
    let observed = session.issue("web")?;
    let entry = session.entry("web")?;
    let prepared = session.granted(json!({"op": "prepare", "entry": entry}))?;
    // Fields that the protocol does not have change nothing.
    let mut sign = prey.token(
        &entry,
        &json!({
            "purpose": "sign", "stage": prepared["stage"], "ca_time": "2999-01-01T00:00:00Z",
            "sans": ["evil.example"], "sub": "evil.example", "aud": "https://evil.example", "audience": "x",
            "provisioner": "root", "cnf": {}, "names": ["evil.example"], "serial": "00",
        }),
    );
    let said = claims(&session.granted(sign.clone())?["token"])?;
    ensure!(said["aud"] == format!("{}/1.0/sign", prey.ca.url), "{said}");
    ensure!(
        said["sub"] == "web.internal.example" && said["sans"] == json!(["web.internal.example"]),
        "{said}"
    );
    ensure!(said["iss"] == prey.ca.provisioner && said["cnf"]["x5rt#S256"].is_string(), "{said}");
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed()?.as_secs())?;
    ensure!(said["exp"].as_i64().context("no end")? < now + 86_400 + 700, "{said}");

    for issuer in ["other", "", "../phoenix", "acme"] {
        merge(&mut sign, &json!({"issuer": issuer}));
        let mut session = prey.session()?;
        session.send(sign.clone())?;
        let answer = session.receive()?;
        ensure!(answer.is_none_or(|answer| answer["result"].get("Err").is_some()), "{issuer}");
    }
    // Serials that are not kept for this entry, another entry's among them.
    let other = session.issue("plain")?["live"]["leaf"]["serial"].clone();
    for serial in [other, json!("01"), json!(""), json!("web.internal.example"), json!("-1")] {
        let revoke = prey.token(&entry, &json!({"purpose": "revoke", "serial": serial}));
        ensure!(session.refused(revoke)? == "bad-request", "{serial}");
    }
    let own = &observed["live"]["leaf"]["serial"];
    let revoke = prey.token(&entry, &json!({"purpose": "revoke", "serial": own, "stage": prepared["stage"]}));
    let said = claims(&session.granted(revoke)?["token"])?;
    ensure!(said["aud"] == format!("{}/1.0/revoke", prey.ca.url) && said["sans"].is_null(), "{said}");
    // The issuer has a password, and no X5C provisioner.
    for purpose in ["renew", "x5c"] {
        let token = prey.token(&entry, &json!({"purpose": purpose, "stage": prepared["stage"]}));
        ensure!(session.refused(token)? == "bad-request", "{purpose}");
    }
    prey.told_no_secret()
}

#[test]
fn the_password_cannot_be_guessed_with_keys_of_its_own() -> Result<()> {
    let prey = Prey::new()?;
    let mut session = prey.session()?;
    let entry = session.entry("web")?;
    let prepared = session.granted(json!({"op": "prepare", "entry": entry}))?;
    let with = |key: &str| {
        let purpose = json!({"purpose": "sign", "stage": prepared["stage"], "encrypted_key": key});
        prey.token(&entry, &purpose)
    };
    // The iterations that make guessing dear are looked at before the password is.
    let (header, rest) = prey.encrypted_key.split_once('.').context("no JWE")?;
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header)?)?;
    for change in
        [json!({"p2c": 1}), json!({"p2c": 99_999}), json!({"p2c": 4_000_000_000_u32}), json!({"alg": "dir"})]
    {
        let mut header = header.clone();
        merge(&mut header, &change);
        let weak = format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header.to_string()));
        for _ in 0..5 {
            ensure!(session.refused(with(&weak))? == "unknown-provisioner", "{change}");
        }
    }
    let real = session.granted(with(&prey.encrypted_key))?;
    ensure!(real["token"].is_string(), "{real}");
    let guess = |password: &str| -> Result<String> {
        Ok(phoenix_jose::ProvisionerKey::generate_p256()?.encrypt(password.as_bytes(), 100_000)?)
    };
    for number in 0..3 {
        ensure!(session.refused(with(&guess(&format!("guess {number}"))?))? == "wrong-password");
    }
    // Even the right guess learns nothing now.
    let right = guess(prey.ca.password()?.trim())?;
    ensure!(session.refused(with(&right))? == "password-locked");
    // Whoever is served already is not locked out by it.
    session.granted(with(&prey.encrypted_key))?;
    session.issue("web")?;
    prey.told_no_secret()
}
