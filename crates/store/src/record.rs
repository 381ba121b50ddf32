//! A whole pair in one file of the state: one line of JSON, one with the SHA-256 of the first, then its parts as
//! they are. The JSON holds the sums of the parts, so that no damage goes unnoticed: a path that a single bit has
//! changed would tear a pair.
//!
//! One file, because one fsync(2) makes it durable and one rename(2) moves it. The parts are PEM, which may have
//! other text before it, so that programs that read PEM can read such a file as it stands.

use std::mem;

use phoenix_core::reason::{Reason, Trouble};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::intent::Intent;
use crate::pair::sha256_hex;
use crate::parts::{Meta, Parts};
use crate::state::StateDir;

/// A file as it was read.
pub(crate) struct Record {
    head: Head,
    bytes: Zeroizing<Vec<u8>>,
    /// Where the parts begin.
    body: usize,
}

/// The first line.
#[derive(Serialize, Deserialize)]
struct Head {
    /// The commit that the pair came with; none for a pair that was there already.
    plan: Option<Intent>,
    meta: Meta,
    lengths: Lengths,
}

/// Bytes of the parts, in their order.
#[derive(Serialize, Deserialize)]
struct Lengths {
    key: usize,
    cert: usize,
    chain: usize,
    ca: Option<usize>,
}

impl Record {
    /// The bytes of such a file.
    pub(crate) fn encode(
        plan: Option<&Intent>,
        meta: &Meta,
        parts: &Parts,
    ) -> Result<Zeroizing<Vec<u8>>, Trouble> {
        let ca = parts.ca.as_deref();
        let lengths = Lengths {
            key: parts.key.len(),
            cert: parts.cert.len(),
            chain: parts.chain.len(),
            ca: ca.map(<[u8]>::len),
        };
        let head = Head { plan: plan.cloned(), meta: meta.clone(), lengths };
        let head = serde_json::to_vec(&head).map_err(|error| {
            Trouble::new(Reason::Internal, format!("cannot encode a state record: {error}"))
        })?;
        let sum = sha256_hex(&head);
        let all = [
            &head,
            &b"\n"[..],
            sum.as_bytes(),
            b"\n",
            &parts.key,
            &parts.cert,
            &parts.chain,
            ca.unwrap_or_default(),
        ];
        // One allocation of the final size: a growing vector would leave copies of the key behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(all.iter().map(|part| part.len()).sum()));
        for part in all {
            bytes.extend_from_slice(part);
        }
        Ok(bytes)
    }

    /// Reads the file `name`; none when there is none. A damaged one is set aside and treated as absent.
    pub(crate) fn read(dir: &StateDir, name: &str) -> Result<Option<Self>, Trouble> {
        let Some(bytes) = dir.read(name)? else { return Ok(None) };
        let record = Self::decode(bytes);
        if record.is_none() {
            tracing::warn!(path = %dir.path().join(name).display(), "a damaged record is set aside");
            dir.set_aside(name);
        }
        Ok(record)
    }

    fn decode(bytes: Zeroizing<Vec<u8>>) -> Option<Self> {
        let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
        let (head, sum) = (lines.next()?, lines.next()?);
        if sha256_hex(head).as_bytes() != sum {
            return None;
        }
        let body = head.len() + sum.len() + 2;
        let head = serde_json::from_slice(head).ok()?;
        Some(Self { head, bytes, body })
    }

    pub(crate) fn plan(&self) -> Option<&Intent> {
        self.head.plan.as_ref()
    }

    pub(crate) fn meta(&self) -> &Meta {
        &self.head.meta
    }

    pub(crate) fn into_meta(self) -> Meta {
        self.head.meta
    }

    /// The pair; none when a byte of it is not as it was written.
    pub(crate) fn parts(&self) -> Option<Parts> {
        let Lengths { key, cert, chain, ca } = &self.head.lengths;
        let mut rest = self.bytes.get(self.body..)?;
        let parts = Parts {
            key: Zeroizing::new(cut(&mut rest, *key)?),
            cert: cut(&mut rest, *cert)?,
            chain: cut(&mut rest, *chain)?,
            ca: match ca {
                Some(length) => Some(cut(&mut rest, *length)?),
                None => None,
            },
        };
        (rest.is_empty() && parts.sums() == self.head.meta.sums).then_some(parts)
    }
}

/// Takes so many bytes from the front.
fn cut(rest: &mut &[u8], length: usize) -> Option<Vec<u8>> {
    let (part, after) = mem::take(rest).split_at_checked(length)?;
    *rest = after;
    Some(part.to_vec())
}

#[cfg(test)]
mod tests {
    use phoenix_core::facts::Baseline;
    use phoenix_core::time::Timestamp;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn meta(parts: &Parts) -> Meta {
        let leaf = serde_json::json!({
            "serial": "1", "fingerprint": "f", "common_name": null, "sans": [], "not_before": "1970-01-01T00:00:00Z",
            "not_after": "2030-01-01T00:00:00Z", "client_auth": false, "server_auth": true, "other_eku": false, "key_type": null, "public_key": "p",
            "issuer": "i"
        });
        let access = Baseline { cert: (0, 0, 0o644), key: (0, 0, 0o600) };
        Meta {
            leaf: serde_json::from_value(leaf).unwrap(),
            adopted: false,
            installed_at: Timestamp::from_unix(0),
            sums: parts.sums(),
            wanted: access.clone(),
            baseline: access,
            instead_of: None,
            vouched: None,
        }
    }

    /// Any bytes as key, certificate, chain and roots.
    type Any = (Vec<u8>, Vec<u8>, Vec<u8>, Option<Vec<u8>>);

    fn parts((key, cert, chain, ca): Any) -> Parts {
        Parts { key: Zeroizing::new(key), cert, chain, ca }
    }

    fn decode(bytes: &[u8]) -> Option<Record> {
        Record::decode(Zeroizing::new(bytes.to_vec()))
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_and_what_was_cut_or_changed_is_not(
            any in (vec(any::<u8>(), 0..40), vec(any::<u8>(), 0..40), vec(any::<u8>(), 0..40),
                proptest::option::of(vec(any::<u8>(), 0..40))),
            end in any::<prop::sample::Index>(),
            flip in any::<prop::sample::Index>(),
        ) {
            let parts = parts(any);
            let bytes = Record::encode(None, &meta(&parts), &parts).unwrap();
            prop_assert_eq!(decode(&bytes).unwrap().parts().unwrap().sums(), parts.sums());
            let torn = decode(&bytes[..end.index(bytes.len())]);
            prop_assert!(torn.is_none_or(|record| record.parts().is_none()));
            let mut changed = bytes.to_vec();
            changed[flip.index(bytes.len())] ^= 1;
            prop_assert!(decode(&changed).is_none_or(|record| record.parts().is_none()));
        }
    }
}
