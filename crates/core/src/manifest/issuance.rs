//! What certificate is wanted, from whom, and when it is renewed.

use std::time::Duration;

use super::{Context, KeyPolicy, KeyType, RenewBefore, Usage};
use crate::diagnostic::fields::{Fields, boolean, duration, one_or_many, text, word, wrong_type};
use crate::diagnostic::report::{Problem, Reading, Reported};
use crate::diagnostic::suggest;
use crate::diagnostic::tree::{Kind, Value};
use crate::name::IssuerName;
use crate::settings::{BadDuration, parse_duration};

/// Words of `cert_type`.
pub(super) const USAGES: &[(&str, Usage)] =
    &[("server", Usage::Server), ("client", Usage::Client), ("peer", Usage::Peer)];
/// Words of `key_type`.
pub(super) const KEY_TYPES: &[(&str, KeyType)] = &[
    ("ec-p256", KeyType::EcP256),
    ("ec-p384", KeyType::EcP384),
    ("rsa-2048", KeyType::Rsa2048),
    ("rsa-3072", KeyType::Rsa3072),
    ("rsa-4096", KeyType::Rsa4096),
    ("ed25519", KeyType::Ed25519),
];
/// Words of `key_policy`.
pub(super) const KEY_POLICIES: &[(&str, KeyPolicy)] =
    &[("rotate", KeyPolicy::Rotate), ("reuse", KeyPolicy::Reuse)];

/// The largest share of the lifetime that `renew_before` may ask for, in percent.
const HALF: u8 = 50;
/// The two forms of `renew_before`.
const RENEW_BEFORE: &str = "write a duration such as \"8h\", or a share of the lifetime such as \"33%\"";

/// Everything about the certificate besides its names.
pub(super) struct Issuance {
    pub(super) usage: Usage,
    pub(super) strict_eku: bool,
    pub(super) validity: Option<Duration>,
    pub(super) renew_before: RenewBefore,
    pub(super) issuers: Vec<IssuerName>,
    pub(super) key_type: KeyType,
    pub(super) key_policy: KeyPolicy,
}

pub(super) fn read(fields: &mut Fields<'_, '_>, context: &Context<'_>) -> Result<Issuance, Reported> {
    let usage = fields.optional("cert_type", word(USAGES));
    let strict_eku = fields.optional("strict_eku", boolean);
    let validity = fields.optional("validity", duration);
    let renew_before = fields.optional("renew_before", renew_before);
    let issuers = issuers(fields, context);
    let key_type = fields.optional("key_type", word(KEY_TYPES));
    let key_policy = fields.optional("key_policy", word(KEY_POLICIES));
    let validity = validity?;
    Ok(Issuance {
        usage: usage?.unwrap_or_default(),
        strict_eku: strict_eku?.unwrap_or_default(),
        validity,
        renew_before: clamp(fields, renew_before?.unwrap_or_default(), validity),
        issuers: issuers?,
        key_type: key_type?.unwrap_or_default(),
        key_policy: key_policy?.unwrap_or_default(),
    })
}

fn renew_before(value: &Value) -> Reading<RenewBefore> {
    let Kind::Text(given) = &value.kind else {
        return Err(wrong_type(value, "a string", RENEW_BEFORE).into());
    };
    let Some(number) = given.strip_suffix('%') else {
        let time = parse_duration(given).map_err(|error| match error {
            BadDuration::Form(given) => {
                Problem::new(format!("`{given}` is neither a duration nor a percentage"), RENEW_BEFORE)
            }
            error => Problem::plain(error.to_string()),
        })?;
        return Ok(RenewBefore::Time(time));
    };
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    // However much it is, it is clamped to half.
    let percent = number.parse::<u32>().ok().filter(|percent| digits && *percent > 0);
    percent.and_then(|percent| u8::try_from(percent.min(100)).ok()).map(RenewBefore::Percent).ok_or_else(
        || {
            let help = "write a whole number of percent, from 1% to 50%";
            Problem::new(format!("`{given}` is no share of a lifetime"), help).into()
        },
    )
}

/// More than half of the lifetime would renew a fresh certificate almost at once.
fn clamp(fields: &mut Fields<'_, '_>, wanted: RenewBefore, validity: Option<Duration>) -> RenewBefore {
    let clamped = match (wanted, validity) {
        (RenewBefore::Percent(percent), _) if percent > HALF => RenewBefore::Percent(HALF),
        (RenewBefore::Time(time), Some(validity)) if time > validity / 2 => RenewBefore::Time(validity / 2),
        _ => return wanted,
    };
    let help = "it is clamped to half of the lifetime; write at most that";
    fields.warn("renew_before", "this is more than half of the certificate's lifetime", help);
    clamped
}

/// The issuers in order; the configuration's first one when the entry names none.
fn issuers(fields: &mut Fields<'_, '_>, context: &Context<'_>) -> Result<Vec<IssuerName>, Reported> {
    let Some(named) = fields.optional("issuer", one_or_many(|value| issuer(value, context)))? else {
        let Some(first) = context.issuers.first() else {
            fields.report("issuer", Problem::new("there is no issuer", "configure one in certd.toml"));
            return Err(Reported);
        };
        return Ok(vec![first.name.clone()]);
    };
    if named.is_empty() {
        fields.report("issuer", Problem::new("this list is empty", "name an issuer, or leave the field out"));
        return Err(Reported);
    }
    let mut seen = std::collections::HashSet::new();
    Ok(named.into_iter().filter(|name| seen.insert(name.clone())).collect())
}

fn issuer(value: &Value, context: &Context<'_>) -> Reading<IssuerName> {
    let given = text(value)?;
    let names = || context.issuers.iter().map(|issuer| issuer.name.as_str());
    let found = context.issuers.iter().find(|issuer| issuer.name.as_str() == given);
    found.map(|issuer| issuer.name.clone()).ok_or_else(|| {
        let known = format!("the configuration has: {}", names().collect::<Vec<_>>().join(", "));
        let help = suggest::advice(given, names(), known);
        Problem::new(format!("there is no issuer `{given}`"), help).into()
    })
}
