//! Serial numbers in decimal, as some consumers show them.

/// The decimal form of a hexadecimal number of any length; none for any other text.
pub(super) fn from_hex(hex: &str) -> Option<String> {
    // Least significant digit first.
    let mut digits: Vec<u8> = vec![0];
    for c in hex.chars() {
        let mut carry = c.to_digit(16)?;
        for digit in &mut digits {
            let value = u32::from(*digit) * 16 + carry;
            *digit = (value % 10) as u8;
            carry = value / 10;
        }
        while carry > 0 {
            digits.push((carry % 10) as u8);
            carry /= 10;
        }
    }
    Some(digits.iter().rev().map(|digit| char::from(b'0' + digit)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_of_any_length_are_converted() {
        for (hex, decimal) in [
            ("0", "0"),
            ("00ff", "255"),
            ("a", "10"),
            ("ffffffffffffffff", "18446744073709551615"),
            ("ffffffffffffffffffffffffffffffffffffffff", "1461501637330902918203684832716283019655932542975"),
        ] {
            assert_eq!(from_hex(hex).as_deref(), Some(decimal));
        }
    }

    #[test]
    fn what_is_no_hexadecimal_number_is_refused() {
        assert_eq!(from_hex("0x1"), None);
        assert_eq!(from_hex("a:b"), None);
    }
}
