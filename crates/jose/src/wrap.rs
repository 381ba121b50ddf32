//! AES key wrap (RFC 3394).

use aws_lc_rs::cipher::{AES_192, DecryptingKey, DecryptionContext, EncryptingKey, UnboundCipherKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::key_wrap::{AES_128, AES_256, AesKek, KeyWrap};
use zeroize::Zeroizing;

/// Bytes that wrapping adds.
const OVERHEAD: usize = 8;
const INITIAL_VALUE: [u8; 8] = [0xa6; 8];
/// Largest key that is wrapped here: that of A256GCM.
const MAX_KEY: usize = 32;

/// Wraps `key` under a key-encryption key of 16, 24 or 32 bytes. None when a length does not fit.
pub(crate) fn wrap(kek: &[u8], key: &[u8]) -> Option<Vec<u8>> {
    if !fits(key.len()) {
        return None;
    }
    let Some(library) = library_kek(kek) else {
        return wrap_192(kek, key);
    };
    let mut output = vec![0; key.len() + OVERHEAD];
    library.wrap(key, &mut output).ok()?;
    Some(output)
}

/// Unwraps what [`wrap`] made. None when the integrity check fails or a length does not fit.
pub(crate) fn unwrap(kek: &[u8], wrapped: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if !fits(wrapped.len().checked_sub(OVERHEAD)?) {
        return None;
    }
    let Some(library) = library_kek(kek) else {
        return unwrap_192(kek, wrapped);
    };
    let mut output = Zeroizing::new(vec![0; wrapped.len() - OVERHEAD]);
    library.unwrap(wrapped, &mut output).ok()?;
    Some(output)
}

fn fits(key: usize) -> bool {
    (16..=MAX_KEY).contains(&key) && key.is_multiple_of(8)
}

fn library_kek(kek: &[u8]) -> Option<AesKek> {
    match kek.len() {
        16 => AesKek::new(&AES_128, kek).ok(),
        32 => AesKek::new(&AES_256, kek).ok(),
        _ => None,
    }
}

/// RFC 3394 section 2.2.1, index-based form: the library has no wrapping with 192-bit keys.
fn wrap_192(kek: &[u8], key: &[u8]) -> Option<Vec<u8>> {
    let cipher = EncryptingKey::ecb(UnboundCipherKey::new(&AES_192, kek).ok()?).ok()?;
    let mut output = [&INITIAL_VALUE[..], key].concat();
    let (register, blocks) = output.split_at_mut(OVERHEAD);
    let mut step = 0_u64;
    for _ in 0..6 {
        for block in blocks.chunks_exact_mut(8) {
            step += 1;
            let mut pair = Zeroizing::new([&*register, &*block].concat());
            cipher.encrypt(&mut pair).ok()?;
            mix_step(&mut pair, step);
            register.copy_from_slice(pair.get(..8)?);
            block.copy_from_slice(pair.get(8..)?);
        }
    }
    Some(output)
}

/// RFC 3394 section 2.2.2, index-based form.
fn unwrap_192(kek: &[u8], wrapped: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let cipher = DecryptingKey::ecb(UnboundCipherKey::new(&AES_192, kek).ok()?).ok()?;
    let mut output = Zeroizing::new(wrapped.to_vec());
    let (register, blocks) = output.split_at_mut(OVERHEAD);
    let mut step = 6 * (blocks.len() / 8) as u64;
    for _ in 0..6 {
        for block in blocks.chunks_exact_mut(8).rev() {
            let mut pair = Zeroizing::new([&*register, &*block].concat());
            mix_step(&mut pair, step);
            step -= 1;
            cipher.decrypt(&mut pair, DecryptionContext::None).ok()?;
            register.copy_from_slice(pair.get(..8)?);
            block.copy_from_slice(pair.get(8..)?);
        }
    }
    verify_slices_are_equal(register, &INITIAL_VALUE).ok()?;
    Some(Zeroizing::new(blocks.to_vec()))
}

/// Mixes the step counter into the register half of `pair`.
fn mix_step(pair: &mut [u8], step: u64) {
    for (byte, counter) in pair.iter_mut().zip(step.to_be_bytes()) {
        *byte ^= counter;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    /// Sections 4.1 to 4.6 of RFC 3394.
    const VECTORS: [(&str, &str, &str); 6] = [
        (
            "000102030405060708090A0B0C0D0E0F",
            "00112233445566778899AABBCCDDEEFF",
            "1FA68B0A8112B447AEF34BD8FB5A7B829D3E862371D2CFE5",
        ),
        (
            "000102030405060708090A0B0C0D0E0F1011121314151617",
            "00112233445566778899AABBCCDDEEFF",
            "96778B25AE6CA435F92B5B97C050AED2468AB8A17AD84E5D",
        ),
        (
            "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F",
            "00112233445566778899AABBCCDDEEFF",
            "64E8C3F9CE0F5BA263E9777905818A2A93C8191E7D6E8AE7",
        ),
        (
            "000102030405060708090A0B0C0D0E0F1011121314151617",
            "00112233445566778899AABBCCDDEEFF0001020304050607",
            "031D33264E15D33268F24EC260743EDCE1C6C7DDEE725A936BA814915C6762D2",
        ),
        (
            "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F",
            "00112233445566778899AABBCCDDEEFF0001020304050607",
            "A8F9BC1612C68B3FF6E6F4FBE30E71E4769C8B80A32CB8958CD5D17D6B254DA1",
        ),
        (
            "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F",
            "00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F",
            "28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21",
        ),
    ];

    #[test]
    fn the_vectors_of_rfc_3394_hold() {
        for (kek, key, wrapped) in VECTORS {
            assert_eq!(wrap(&bytes(kek), &bytes(key)).unwrap(), bytes(wrapped));
            assert_eq!(*unwrap(&bytes(kek), &bytes(wrapped)).unwrap(), bytes(key));
        }
    }

    #[test]
    fn any_changed_bit_is_noticed() {
        for (kek, _, wrapped) in VECTORS {
            let wrapped = bytes(wrapped);
            for bit in 0..wrapped.len() * 8 {
                let mut altered = wrapped.clone();
                altered[bit / 8] ^= 1 << (bit % 8);
                assert!(unwrap(&bytes(kek), &altered).is_none());
            }
        }
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        for kek in [0, 15, 16, 17, 24, 32, 33] {
            for key in [0, 1, 8, 15, 17, 33, 40, 4096] {
                assert!(wrap(&vec![0; kek], &vec![0; key]).is_none());
                assert!(unwrap(&vec![0; kek], &vec![0; key]).is_none());
            }
        }
        assert!(wrap(&[0; 15], &[0; 32]).is_none());
    }
}
