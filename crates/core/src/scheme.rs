//! Signature schemes of a TLS 1.3 client (RFC 8446 section 4.2.3).

use serde::{Deserialize, Serialize};

macro_rules! schemes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $code:literal;)*) => {
        /// How a handshake is signed. The text form is the name that rustls has for it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum SignatureScheme {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl SignatureScheme {
            /// All schemes with which a TLS 1.3 client may sign with a key that a manifest can ask for.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Number in the registry of TLS.
            pub const fn code(self) -> u16 {
                match self { $(Self::$variant => $code,)* }
            }

            /// Name, as rustls writes it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

schemes! {
    /// ECDSA on P-256 with SHA-256.
    EcdsaP256 = "ECDSA_NISTP256_SHA256", 0x0403;
    /// ECDSA on P-384 with SHA-384.
    EcdsaP384 = "ECDSA_NISTP384_SHA384", 0x0503;
    /// Ed25519.
    Ed25519 = "ED25519", 0x0807;
    /// RSA-PSS with SHA-256.
    RsaPss256 = "RSA_PSS_SHA256", 0x0804;
    /// RSA-PSS with SHA-384.
    RsaPss384 = "RSA_PSS_SHA384", 0x0805;
    /// RSA-PSS with SHA-512.
    RsaPss512 = "RSA_PSS_SHA512", 0x0806;
}

impl SignatureScheme {
    /// The scheme of this number; none for one that is not in [`SignatureScheme::ALL`].
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|scheme| scheme.code() == code)
    }

    /// The schemes that fit a type of key, in order of preference.
    pub fn of(kind: crate::manifest::KeyType) -> &'static [Self] {
        use crate::manifest::KeyType;
        match kind {
            KeyType::EcP256 => &[Self::EcdsaP256],
            KeyType::EcP384 => &[Self::EcdsaP384],
            KeyType::Ed25519 => &[Self::Ed25519],
            KeyType::Rsa2048 | KeyType::Rsa3072 | KeyType::Rsa4096 => {
                &[Self::RsaPss256, Self::RsaPss384, Self::RsaPss512]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back_to_the_scheme() {
        for scheme in SignatureScheme::ALL {
            assert_eq!(SignatureScheme::from_code(scheme.code()), Some(*scheme));
            let json = serde_json::to_string(scheme).unwrap();
            assert_eq!(json, format!("\"{}\"", scheme.name()));
            assert_eq!(serde_json::from_str::<SignatureScheme>(&json).unwrap(), *scheme);
        }
        // PKCS#1 v1.5 is for certificates only in TLS 1.3.
        assert_eq!(SignatureScheme::from_code(0x0401), None);
    }
}
