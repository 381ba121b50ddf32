//! Tokens of every purpose, spent at real servers.

use std::fs;

use phoenix_core::facts::{LeafFacts, Observation};
use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::rules::{self, Pair, RENEW};
use phoenix_protocol::executor::{Answer, Operation, RollbackTo, TokenPurpose};
use phoenix_testkit::https::post;
use phoenix_testkit::peers::StepCaVersion;
use phoenix_testkit::stepca::{Options, StepCa};
use serde_json::{Value, json};

use crate::ca::Leaf;
use crate::rig::{Link, Place};

/// A real CA with a JWK and an X5C provisioner, and an executor's place that knows it under two names: `phoenix`
/// with the provisioner's password, `bare` without.
struct Real {
    ca: StepCa,
    place: Place,
    kid: String,
    encrypted_key: String,
}

impl Real {
    fn new(version: StepCaVersion) -> Self {
        let place = Place::new(&json!([]));
        let mut ca = StepCa::prepare(&place.path("ca"), version, &Options::default()).unwrap();
        let (kid, encrypted_key) = add_x5c(&ca);
        ca.start().unwrap();
        let real = Self { ca, place, kid, encrypted_key };
        real.place.write("certd.toml", &real.configuration(), 0o644);
        let more = json!({"issuer": ["phoenix", "bare"], "cert_type": "peer"});
        real.place.manifest(&json!([real.place.web(&more)]));
        real
    }

    fn configuration(&self) -> String {
        let common = fs::read_to_string(self.place.path("certd.toml")).unwrap();
        let (head, _) = common.split_once("[[issuer]]").unwrap();
        let StepCa { url, root, provisioner, password_file, .. } = &self.ca;
        let (root, password) = (root.display(), password_file.display());
        let issuer = |name: &str, more: &str| {
            format!(
                "[[issuer]]\nname = \"{name}\"\ntype = \"step-ca\"\nurl = \"{url}\"\nroot = \"{root}\"\n\
                 provisioner = \"{provisioner}\"\n{more}\n"
            )
        };
        let password = format!("password_file = \"{password}\"\nx5c_provisioner = \"by-certificate\"");
        format!("{head}{}{}", issuer("phoenix", &password), issuer("bare", ""))
    }

    fn sign(&self, stage: &str) -> TokenPurpose {
        let (kid, encrypted_key) = (self.kid.clone(), self.encrypted_key.clone());
        TokenPurpose::Sign { stage: stage.to_owned(), kid, encrypted_key }
    }

    fn revoke(&self, serial: &str) -> TokenPurpose {
        let (kid, encrypted_key) = (self.kid.clone(), self.encrypted_key.clone());
        TokenPurpose::Revoke { serial: serial.to_owned(), kid, encrypted_key }
    }

    /// Has a certificate issued with a token that `purpose` makes for the stage, and installs it.
    fn issue(&self, link: &mut Link, purpose: impl FnOnce(&str) -> TokenPurpose) -> LeafFacts {
        let (stage, csr) = link.prepare("web");
        let ott = link.token_for("phoenix", purpose(&stage)).unwrap();
        let (status, answer) = self.post("/1.0/sign", &[], &json!({"csr": csr, "ott": ott}));
        assert_eq!(status, 201, "{answer}: {}", self.ca.log());
        let chain: String =
            answer["certChain"].as_array().unwrap().iter().map(|pem| pem.as_str().unwrap()).collect();
        match link.install("web", &stage, &chain).unwrap() {
            Answer::Installed { observation, .. } => observation.live.leaf.unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn renew(&self, link: &mut Link) -> (u16, Value) {
        let token = link.token_for("bare", TokenPurpose::Renew).unwrap();
        self.post("/1.0/renew", &[format!("Authorization: Bearer {token}")], &Value::Null)
    }

    fn post(&self, path: &str, headers: &[String], body: &Value) -> (u16, Value) {
        post(&self.ca, path, headers, body).unwrap()
    }
}

/// Adds an X5C provisioner to a CA that does not run yet. Gives the JWK provisioner's key id and encrypted key.
fn add_x5c(ca: &StepCa) -> (String, String) {
    use base64::Engine as _;
    let path = ca.dir.join("config/ca.json");
    let mut settings: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let roots = base64::engine::general_purpose::STANDARD.encode(fs::read(&ca.root).unwrap());
    let provisioners = settings["authority"]["provisioners"].as_array_mut().unwrap();
    let jwk = provisioners[0].clone();
    provisioners.push(json!({"type": "X5C", "name": "by-certificate", "roots": roots}));
    fs::write(&path, settings.to_string()).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&jwk["key"]["kid"]), text(&jwk["encryptedKey"]))
}

fn refused(asked: Result<String, Trouble>) -> Reason {
    asked.unwrap_err().reason
}

#[test]
fn every_token_is_good_for_its_purpose_at_both_servers() {
    for version in StepCaVersion::ALL {
        let real = Real::new(version);
        let mut link = real.place.start();
        let first = real.issue(&mut link, |stage| real.sign(stage));

        let (status, renewed) = real.renew(&mut link);
        assert_eq!(status, 201, "{version}: {renewed}: {}", real.ca.log());

        let second = real.issue(&mut link, |stage| TokenPurpose::X5c { stage: stage.to_owned() });
        assert_ne!(first.serial, second.serial);
        assert_ne!(first.public_key, second.public_key);

        // The previous certificate is still kept, so it can be revoked, and then the present one.
        for leaf in [&first, &second] {
            let ott = link.token_for("phoenix", real.revoke(&leaf.serial)).unwrap();
            let serial = leaf.serial_decimal().unwrap();
            let body = json!({"serial": serial, "ott": ott, "reasonCode": 4, "passive": true});
            let (status, answer) = real.post("/1.0/revoke", &[], &body);
            assert_eq!((status, &answer["status"]), (200, &json!("ok")), "{version}: {answer}");
        }
        assert_eq!(real.renew(&mut link).0, 401, "{version}: it is revoked");
    }
}

#[test]
fn a_token_for_one_purpose_is_good_for_no_other() {
    let real = Real::new(StepCaVersion::V0_30_2);
    let mut link = real.place.start();
    let leaf = real.issue(&mut link, |stage| real.sign(stage));
    let (stage, csr) = link.prepare("web");
    let serial = leaf.serial_decimal().unwrap();
    let signing = link.token_for("phoenix", real.sign(&stage)).unwrap();
    let revoking = link.token_for("phoenix", real.revoke(&leaf.serial)).unwrap();
    let renewing = link.token_for("bare", TokenPurpose::Renew).unwrap();
    for ott in [&signing, &renewing] {
        let body = json!({"serial": serial, "ott": ott, "reasonCode": 4, "passive": true});
        assert_ne!(real.post("/1.0/revoke", &[], &body).0, 200);
    }
    for ott in [&revoking, &renewing] {
        assert_ne!(real.post("/1.0/sign", &[], &json!({"csr": csr, "ott": ott})).0, 201);
    }
    // It is bound to the staged request, whatever key another one of the same names is for.
    let signing = link.token_for("phoenix", real.sign(&stage)).unwrap();
    let (_, other) = link.prepare("web");
    let (status, answer) = real.post("/1.0/sign", &[], &json!({"csr": other, "ott": signing}));
    assert_eq!(status, 403, "{answer}");
}

#[test]
fn tokens_are_refused_where_manifest_and_configuration_do_not_provide_for_them() {
    let place = Place::new(&json!([]));
    place.manifest(&json!([place.web(&json!({"issuer": "phoenix"}))]));
    let mut link = place.start();
    assert_eq!(refused(link.token_for("phoenix", TokenPurpose::Renew)), Reason::Missing, "nothing to renew");
    let leaf = link.issue(&place.ca, "web", &Leaf::good()).live.leaf.unwrap();
    let (stage, _) = link.prepare("web");
    let (kid, encrypted_key) = ("k".to_owned(), place.encrypted_key.clone());
    let revoke = |serial: &str| TokenPurpose::Revoke {
        serial: serial.to_owned(),
        kid: kid.clone(),
        encrypted_key: encrypted_key.clone(),
    };
    for (what, issuer, purpose) in [
        ("the issuer has a password", "phoenix", TokenPurpose::Renew),
        ("no X5C provisioner", "phoenix", TokenPurpose::X5c { stage: stage.clone() }),
        ("not an issuer of the entry", "other", TokenPurpose::Renew),
        ("another serial", "phoenix", revoke("0a0b0c")),
        ("no serial", "phoenix", revoke("")),
        ("a decimal serial", "phoenix", revoke(&leaf.serial_decimal().unwrap())),
        ("text", "phoenix", revoke("evil.example")),
    ] {
        assert_eq!(refused(link.token_for(issuer, purpose)), Reason::BadRequest, "{what}");
    }
    let token = link.token_for("phoenix", revoke(&leaf.serial)).unwrap();
    let claims = phoenix_jose::verify(&token, place.provisioner.public_jwk()).unwrap();
    assert_eq!(claims.aud, ["https://ca.internal.example:9000/1.0/revoke"]);
    assert_eq!((claims.sub, claims.sans, claims.cnf), (leaf.serial_decimal(), Vec::new(), None));
}

/// What the daemon's rules say about the pair that the executor keeps.
fn finding(seen: &Observation, link: &mut Link) -> Option<Reason> {
    let entry =
        link.snapshot().entries.into_iter().find(|one| one.entry.name.as_str() == "web").unwrap().entry;
    let now = seen.own.as_ref().unwrap().leaf.not_before;
    let pair = Pair::own(&entry, seen, None, now).unwrap();
    rules::first(RENEW, &pair).map(|finding| finding.reason)
}

#[test]
fn what_a_token_to_revoke_was_given_out_for_counts_as_revoked_until_a_new_pair_is_installed() {
    let place = Place::new(&json!([]));
    place.manifest(&json!([place.web(&json!({"issuer": "phoenix"}))]));
    let mut link = place.start();
    let older = link.issue(&place.ca, "web", &Leaf { serial: 1, ..Leaf::good() });
    let revoke = |seen: &Observation, encrypted_key: &str| TokenPurpose::Revoke {
        serial: seen.live.leaf.as_ref().unwrap().serial.clone(),
        kid: "k".to_owned(),
        encrypted_key: encrypted_key.to_owned(),
    };
    // A token that is not given out revokes nothing.
    link.token_for("phoenix", revoke(&older, "no key")).unwrap_err();
    let seen = link.observe("web");
    assert_eq!((seen.ledger.revoked.len(), finding(&seen, &mut link)), (0, None));

    link.token_for("phoenix", revoke(&older, &place.encrypted_key)).unwrap();
    for _ in 0..2 {
        let seen = link.observe("web");
        assert_eq!(seen.ledger.revoked, [seen.live.leaf.as_ref().unwrap().serial.clone()]);
        assert_eq!(finding(&seen, &mut link), Some(Reason::Revoked));
        link.end();
        link = place.start();
    }

    let newer = link.issue(&place.ca, "web", &Leaf { serial: 2, ..Leaf::good() });
    assert_eq!(finding(&newer, &mut link), None);
    // The revoked pair is still kept, and not put back any more.
    let entry = link.entry("web");
    let back = link.ask(Operation::Rollback { entry, to: RollbackTo::Previous });
    assert_eq!(back.unwrap_err().reason, Reason::Revoked);
}

#[test]
fn an_answer_with_a_token_does_not_print_it() {
    let place = Place::new(&json!([]));
    place.manifest(&json!([place.web(&json!({}))]));
    let mut link = place.start();
    let (stage, _) = link.prepare("web");
    let (entry, issuer) = (link.entry("web"), "phoenix".parse().unwrap());
    let (kid, encrypted_key) = ("k".to_owned(), place.encrypted_key.clone());
    let purpose = TokenPurpose::Sign { stage, kid, encrypted_key };
    let operation = Operation::Token { entry, issuer, purpose, ca_time: None };
    let answer = link.ask(operation).unwrap();
    let Answer::Token { token, .. } = &answer else { panic!("{answer:?}") };
    let signature = token.expose().rsplit('.').next().unwrap();
    let printed = format!("{answer:?} {answer:#?}");
    assert!(signature.len() > 40 && !printed.contains(signature) && !printed.contains("eyJ"), "{printed}");
}
