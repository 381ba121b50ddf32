//! `POST /1.0/sign`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use rcgen::{CertificateSigningRequestParams, DnType, DnValue, ExtendedKeyUsagePurpose, KeyPair};
use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::authority::{Authority, Leaf, Signed};
use crate::ca::Shared;
use crate::fault::Fault;
use crate::names::{Names, list};
use crate::refusal::Refusal;
use crate::sabotage::Struck;
use crate::token::{self, Grant};
use crate::validity::{Validity, When};

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    csr: Option<String>,
    #[serde(default)]
    ott: Option<String>,
    #[serde(default, rename = "notBefore")]
    not_before: Option<String>,
    #[serde(default, rename = "notAfter")]
    not_after: Option<String>,
}

/// A request that could be read.
struct Wish {
    csr_der: CertificateSigningRequestDer<'static>,
    csr: CertificateSigningRequestParams,
    token: String,
    from: When,
    until: When,
}

/// Answers a request for a certificate.
pub(crate) async fn sign(
    State(shared): State<Arc<Shared>>,
    Extension(struck): Extension<Struck>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let wish = read(&body)?;
    let grant = token::authorize(&shared, &wish.token, &wish.csr_der)?;
    let leaf = leaf(&shared, &wish, &grant)?;
    let answer = certify(&shared, &wish, leaf, &struck).map_err(|_| Refusal::Internal)?;
    shared.count_issued(&grant.subject);
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// Trailing bytes after the JSON and unknown members are passed over, as Step-CA does.
fn read(body: &[u8]) -> Result<Wish, Refusal> {
    let bad = || Refusal::BadRequest("error decoding json".to_owned());
    let body = Body::deserialize(&mut serde_json::Deserializer::from_slice(body)).map_err(|_| bad())?;
    let when = |text: Option<String>| When::parse(&text.unwrap_or_default()).ok_or_else(bad);
    let (from, until) = (when(body.not_before)?, when(body.not_after)?);
    let pem = body.csr.filter(|csr| !csr.is_empty()).ok_or_else(|| missing("csr"))?;
    let csr_der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).map_err(|_| bad())?;
    let csr = CertificateSigningRequestParams::from_der(&csr_der)
        .map_err(|_| Refusal::BadRequest("invalid csr".to_owned()))?;
    let token = body.ott.filter(|ott| !ott.is_empty()).ok_or_else(|| missing("ott"))?;
    Ok(Wish { csr_der, csr, token, from, until })
}

fn missing(what: &str) -> Refusal {
    Refusal::BadRequest(format!("missing {what}"))
}

/// What will be certified: names from the token, lifetime within the limits.
fn leaf(shared: &Shared, wish: &Wish, grant: &Grant) -> Result<Leaf, Refusal> {
    let names = Names::from_token(&grant.names);
    check_common_name(&wish.csr, grant)?;
    Names::from_request(&wish.csr.params.subject_alt_names).check(&names)?;
    Ok(Leaf {
        common_name: grant.subject.clone(),
        sans: names.to_sans()?,
        usages: grant.extent.usages(),
        validity: shared.claims.validity(shared.clock.now(), wish.from, wish.until)?,
    })
}

/// The request's CN, if it has one, is the token's subject or one of its names.
fn check_common_name(csr: &CertificateSigningRequestParams, grant: &Grant) -> Result<(), Refusal> {
    let Some(asked) = csr.params.distinguished_name.get(&DnType::CommonName).map(text) else { return Ok(()) };
    if asked.is_empty() || asked == grant.subject || grant.names.contains(&asked) {
        return Ok(());
    }
    Err(Refusal::Forbidden(format!(
        "certificate request does not contain the valid common name - got {asked}, want {}",
        list(&grant.names)
    )))
}

fn text(value: &DnValue) -> String {
    match value {
        DnValue::Utf8String(text) => text.clone(),
        DnValue::PrintableString(text) => text.to_string(),
        DnValue::Ia5String(text) => text.to_string(),
        DnValue::TeletexString(text) => text.to_string(),
        _ => String::new(),
    }
}

/// Signs, lying where it was told to.
fn certify(shared: &Shared, wish: &Wish, mut leaf: Leaf, struck: &Struck) -> anyhow::Result<Value> {
    for fault in &struck.0 {
        distort(&mut leaf, fault, shared.clock.now())?;
    }
    let foreign = struck.has(&Fault::ForeignRoot).then(|| Authority::new(shared.clock.now())).transpose()?;
    let authority = foreign.as_ref().unwrap_or(&shared.authority);
    let signed = if struck.has(&Fault::OtherKey) {
        authority.sign(&leaf, &KeyPair::generate()?)?
    } else {
        authority.sign(&leaf, &wish.csr.public_key)?
    };
    Ok(answer(signed, struck.has(&Fault::NoIntermediate)))
}

fn distort(leaf: &mut Leaf, fault: &Fault, now: i64) -> anyhow::Result<()> {
    const HOUR: i64 = 3600;
    match fault {
        Fault::OtherNames => {
            let names = ["other.invalid".to_owned()];
            leaf.sans = Names::from_token(&names).to_sans()?;
            leaf.common_name = names.concat();
        }
        Fault::WrongEku => leaf.usages = vec![ExtendedKeyUsagePurpose::CodeSigning],
        Fault::Expired => {
            leaf.validity = Validity { not_before: now - 2 * HOUR, not_after: now - HOUR };
        }
        Fault::Future => {
            leaf.validity = Validity { not_before: now + 24 * HOUR, not_after: now + 48 * HOUR };
        }
        _ => {}
    }
    Ok(())
}

fn answer(signed: Signed, leaf_alone: bool) -> Value {
    let Signed { leaf, intermediate } = signed;
    let (ca, chain) = if leaf_alone {
        (String::new(), vec![leaf.clone()])
    } else {
        (intermediate.clone(), vec![leaf.clone(), intermediate])
    };
    json!({
        "crt": leaf,
        "ca": ca,
        "certChain": chain,
        "tlsOptions": {
            "cipherSuites": ["TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"],
            "minVersion": 1.2, "maxVersion": 1.3, "renegotiation": false,
        },
    })
}
