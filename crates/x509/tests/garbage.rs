//! No input makes the crate panic, and damage never passes for the original.

#![expect(clippy::unwrap_used, reason = "a broken fixture should fail the test")]

use phoenix_x509::{CertificateDer, Chain, KeyPair, Roots};
use proptest::prelude::*;

const FILES: [&[u8]; 6] = [
    include_bytes!("data/names.pem"),
    include_bytes!("data/other-names.pem"),
    include_bytes!("data/rsa2048.pem"),
    include_bytes!("data/root.pem"),
    include_bytes!("data/p256-key.pem"),
    include_bytes!("data/rsa2048-pkcs1-key.pem"),
];

fn read_all(bytes: &[u8]) {
    let _ = Roots::from_pem(bytes);
    if let Ok(key) = KeyPair::from_pem(bytes) {
        let _ = key.csr("a", &[]);
    }
    let _ = Chain::from_pem(bytes);
}

fn original(file: usize) -> Chain {
    Chain::from_pem(FILES[file]).unwrap()
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
        read_all(&bytes);
        prop_assert!(Chain::from_der(vec![CertificateDer::from(bytes)]).is_err());
    }

    #[test]
    fn any_content_of_a_section_is_read_without_panic(
        label in prop::sample::select(vec!["CERTIFICATE", "PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"]),
        content in "([A-Za-z0-9+/]{4}){0,60}",
    ) {
        read_all(format!("-----BEGIN {label}-----\n{content}\n-----END {label}-----\n").as_bytes());
    }

    #[test]
    fn cut_and_altered_files_are_read_without_panic(
        file in 0..FILES.len(),
        cut in 0_usize..2000,
        flips in prop::collection::vec((0_usize..2000, 0_u8..8), 0..4),
    ) {
        let mut bytes = FILES[file].to_vec();
        for (at, bit) in flips {
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
        }
        bytes.truncate(cut);
        read_all(&bytes);
    }

    #[test]
    fn a_flipped_bit_in_a_certificate_is_never_trusted(file in 0_usize..3, at in 0_usize..1500, bit in 0_u8..8) {
        let chain = original(file);
        let mut der = chain.certificates()[0].to_vec();
        let at = at % der.len();
        der[at] ^= 1 << bit;
        if let Ok(altered) = Chain::from_der(vec![der.into()]) {
            prop_assert_ne!(&altered.leaf_facts().fingerprint, &chain.leaf_facts().fingerprint);
            let issuer = Roots::from_pem(include_bytes!("data/intermediate.pem")).unwrap();
            prop_assert!(issuer.trusts(&altered, chain.leaf_facts().not_before).is_err());
            prop_assert!(issuer.trusts(&chain, chain.leaf_facts().not_before).is_ok());
        }
    }

    #[test]
    fn a_cut_certificate_is_refused(file in 0_usize..4, cut in 0_usize..1500) {
        let der = original(file).certificates()[0].to_vec();
        let cut = cut % der.len();
        prop_assert!(Chain::from_der(vec![der[..cut].to_vec().into()]).is_err());
    }
}
