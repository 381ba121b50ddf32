//! The part of an output that is shown to people.

/// Longest excerpt, in characters.
const LIMIT: usize = 600;
/// Most lines of an excerpt.
const LINES: usize = 6;
/// Shortest piece of mixed letters and digits that is taken for encoded bytes. A line of a key has 64 characters,
/// with a slash in every other one or so; words, paths, hexadecimal numbers and the names that Docker gives are not
/// so long, or not so mixed.
const ENCODED: usize = 24;
/// Shortest run of letters that is left out beside such a piece.
const BESIDE: usize = 32;

/// The last lines of an output on one line, without control characters and without anything that could be key
/// material: PEM blocks are left out, whole or torn, and so is what looks like the inside of one.
pub fn excerpt(output: &str) -> String {
    let clean = without_secrets(output);
    let lines: Vec<&str> = clean.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default().join(" / ");
    let last: String = last.chars().filter(|character| !character.is_control()).collect();
    let excess = last.chars().count().saturating_sub(LIMIT);
    if excess == 0 { last } else { format!("…{}", last.chars().skip(excess).collect::<String>()) }
}

/// The last `limit` characters of a text, lines as they are, without other control characters and without key
/// material.
pub fn kept(text: &str, limit: usize) -> String {
    let clean: String = without_secrets(text)
        .chars()
        .filter(|character| matches!(character, '\n' | '\t') || !character.is_control())
        .collect();
    let excess = clean.trim_end().chars().count().saturating_sub(limit);
    let last: String = clean.trim_end().chars().skip(excess).collect();
    if excess == 0 { last } else { format!("…{last}") }
}

/// The text without anything that could be key material.
fn without_secrets(text: &str) -> String {
    without_encoded(&without_numbers(&without_pem(text)))
}

/// The text with every PEM block replaced. A block whose beginning or end is missing is taken to begin with the
/// text, or to end with it.
fn without_pem(text: &str) -> String {
    const BEGIN: &str = "-----BEGIN ";
    const END: &str = "-----END ";
    const NOTE: &str = "[PEM block left out]";
    let mut clean = String::new();
    let mut rest = text;
    loop {
        let (begin, end) = (rest.find(BEGIN), rest.find(END));
        match (begin, end) {
            (None, None) => return clean + rest,
            (Some(begin), None) => return clean + rest.get(..begin).unwrap_or_default() + NOTE,
            (begin, Some(end)) => {
                let torn = begin.is_none_or(|begin| begin > end);
                let before = begin.filter(|_| !torn).and_then(|begin| rest.get(..begin));
                clean.push_str(before.unwrap_or_default());
                clean.push_str(NOTE);
                let after = rest.get(end + END.len()..).unwrap_or_default();
                rest = after.split_once("-----").map_or("", |(_, rest)| rest);
            }
        }
    }
}

/// The text with everything replaced that looks like bytes in Base64 (RFC 4648): a key whose marks were cut off, a
/// key encoded once more, a token. Where one line of a key gives it away, the others go as well.
fn without_encoded(text: &str) -> String {
    const NOTE: &str = "[encoded text left out]";
    // Any piece that is long enough fills one of these blocks: most texts are not looked at letter by letter.
    let filled = |block: &[u8]| block.iter().all(|letter| in_base64(char::from(*letter)));
    let may_be = text.as_bytes().chunks_exact(ENCODED / 2).any(filled);
    if !may_be || !text.split(|letter| !in_base64(letter)).any(encoded) {
        return text.to_owned();
    }
    let mut clean = String::new();
    let mut rest = text;
    while let Some(begin) = rest.find(in_base64) {
        let (before, from) = rest.split_at(begin);
        let (run, after) = from.split_at(from.find(|letter| !in_base64(letter)).unwrap_or(from.len()));
        clean.push_str(before);
        clean.push_str(if encoded(run) || (run.len() >= BESIDE && !harmless(run)) { NOTE } else { run });
        rest = after;
    }
    clean + rest
}

/// Numbers, fingerprints and paths, which people need.
fn harmless(run: &str) -> bool {
    let is_path = |part: &str| part.starts_with('/') && !pieces(part).any(|piece| mixed(piece, ENCODED / 2));
    let is_number = |part: &str| part.bytes().all(|letter| letter.is_ascii_hexdigit());
    run.split('=').all(|part| part.len() < BESIDE || is_number(part) || is_path(part))
}

/// The text without the numbers of private keys as `openssl pkey -text` prints them.
fn without_numbers(text: &str) -> String {
    const LABELS: [&str; 7] =
        ["priv:", "privateExponent:", "prime1:", "prime2:", "exponent1:", "exponent2:", "coefficient:"];
    if !LABELS.iter().any(|label| text.contains(label)) {
        return text.to_owned();
    }
    let mut below = false;
    let mut clean: Vec<&str> = Vec::new();
    for line in text.split('\n') {
        let words = line.trim();
        below = LABELS.contains(&words) || (below && is_bytes(words));
        if !below || LABELS.contains(&words) {
            clean.push(line);
        }
    }
    clean.join("\n")
}

/// Pairs of hexadecimal digits with colons between.
fn is_bytes(words: &str) -> bool {
    let pair = |pair: &str| pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
    !words.is_empty() && words.trim_end_matches(':').split(':').all(pair)
}

fn in_base64(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "+/=-_".contains(letter)
}

fn encoded(run: &str) -> bool {
    pieces(run).any(|piece| mixed(piece, ENCODED))
}

fn pieces(run: &str) -> impl Iterator<Item = &str> {
    run.split(['/', '-', '_', '='])
}

/// At least so many letters, of both cases, and digits.
fn mixed(piece: &str, length: usize) -> bool {
    let has = |kind: fn(&u8) -> bool| piece.as_bytes().iter().any(kind);
    piece.len() >= length
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bytes without a pattern (xorshift).
    fn noise(seed: u64, length: usize) -> Vec<u8> {
        let mut state = seed | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes()[0]
        };
        (0..length + 16).map(|_| next()).skip(16).collect()
    }

    fn base64(bytes: &[u8]) -> String {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let bits: Vec<u8> =
            bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
        let letter = |six: &[u8]| {
            let value = (0..6).fold(0, |value, bit| value << 1 | six.get(bit).copied().unwrap_or_default());
            char::from(LETTERS[usize::from(value)])
        };
        bits.chunks(6).map(letter).collect()
    }

    #[test]
    fn the_last_lines_are_shown_on_one_line() {
        assert_eq!(excerpt("one\n\n  two\t\x1b[31m\n"), "one / two[31m");
        let many: Vec<String> = (0..50).map(|number| format!("line {number}")).collect();
        assert_eq!(excerpt(&many.join("\n")), "line 44 / line 45 / line 46 / line 47 / line 48 / line 49");
        assert_eq!(excerpt(&"x".repeat(5000)).chars().count(), LIMIT + 1);
        assert_eq!(excerpt(""), "");
    }

    #[test]
    fn what_is_kept_has_its_lines_and_neither_keys_nor_other_control_characters() {
        assert_eq!(kept("one\r\n\ttwo\x1b[31m\n\n", 100), "one\n\ttwo[31m");
        assert_eq!(kept("öäü", 2), "…äü");
        assert_eq!(kept("a -----BEGIN K-----\nSECRET\n-----END K-----\nb", 100), "a [PEM block left out]\nb");
    }

    #[test]
    fn key_material_is_left_out_whole_or_torn() {
        let block = "-----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----";
        let cases = [
            (format!("before\n{block}\nafter"), "before / [PEM block left out] / after"),
            (format!("{block}{block}"), "[PEM block left out][PEM block left out]"),
            ("x -----BEGIN PRIVATE KEY-----\nSECRET".to_owned(), "x [PEM block left out]"),
            ("SECRET\n-----END PRIVATE KEY-----\nafter".to_owned(), "[PEM block left out] / after"),
            ("SECRET\n-----END PRIVATE KEY".to_owned(), "[PEM block left out]"),
            (format!("SECRET\n-----END X-----\n{block}"), "[PEM block left out] / [PEM block left out]"),
        ];
        for (text, expected) in cases {
            assert_eq!(excerpt(&text), expected);
        }
    }

    #[test]
    fn what_looks_like_the_inside_of_a_key_is_left_out_and_nothing_else() {
        let note = "[encoded text left out]";
        for secret in [
            "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg0Yx1pN4j8H/QkZt8",
            "/IGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg0Yx1pN4j8H+QkZt8",
            "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCk1JR0hBZ0VBTUJNR0J5cUdTTTQ5",
            "eyJhbGciOiJFUzI1NiIsImtpZCI6IkhxQURhMUFtdjM3In0",
        ] {
            assert_eq!(kept(&format!("a {secret}\nb"), 100), format!("a {note}\nb"));
            assert_eq!(excerpt(&format!("key: {secret}==")), format!("key: {note}"));
        }
        for harmless in [
            "/mnt/pve/quickOS/lxc-persistent-data/102/certs/traefik-client.internal.thinkheads.ai.pem2",
            "317a2a330fdb35ad04046d0b509988795789cac7e26e257b2622da6f1ec64dcc",
            "923C980FC2F7E432DFC3F924706BBE7E is serial 195072118903741278398712389471209841",
            "q0bp6zzbs5x0wr0hqsdqyk5dx converged; nginx: [emerg] SSL_CTX_use_PrivateKey_file() failed",
            "error:0B080074:x509certificateroutines:X509CheckPrivateKey:keyValuesMismatch",
        ] {
            assert_eq!(kept(harmless, 200), harmless);
            // Nor beside something that is left out.
            let token = "eyJhbGciOiJFUzI1NiIsImtpZCI6IkhxQURhMUFtdjM3In0";
            let beside = format!("{harmless}\n{token}\n--file={harmless}");
            assert_eq!(kept(&beside, 600), format!("{harmless}\n{note}\n--file={harmless}"));
        }
    }

    #[test]
    fn the_numbers_of_a_private_key_are_left_out_and_those_of_its_certificate_are_not() {
        let text = "Private-Key: (256 bit)\npriv:\n    00:d1:8c:75\n    a4:de:23\npub:\n    04:1f:aa\nserial:\n  92:3c";
        assert_eq!(kept(text, 500), "Private-Key: (256 bit)\npriv:\npub:\n    04:1f:aa\nserial:\n  92:3c");
        assert_eq!(kept("prime1:\n  00:ff:\n  01:\nprime2:\n  02:03\n", 500), "prime1:\nprime2:");
    }

    proptest! {
        #[test]
        fn no_line_of_a_key_is_shown_whatever_is_cut_off(seed: u64, length in 138_usize..1200, cut in 0_usize..2) {
            let text = base64(&noise(seed, length));
            let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
            let shown = kept(&lines[cut..].join("\n"), 10_000);
            for line in lines.iter().filter(|line| line.len() >= BESIDE) {
                prop_assert!(!shown.contains(line), "{shown}");
            }
        }

        #[test]
        fn nothing_between_the_marks_is_ever_shown(
            before in "[a-z\n-]{0,20}", after in "[a-z\n-]{0,20}", twice: bool
        ) {
            let block = "-----BEGIN K-----\nSECRET\n-----END K-----";
            let text = format!("{before}{block}{after}{}", if twice { block } else { "" });
            prop_assert!(!excerpt(&text).contains("SECRET"));
            prop_assert!(!kept(&text, 100).contains("SECRET"));
        }
    }
}
