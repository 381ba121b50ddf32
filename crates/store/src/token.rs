//! Names that nobody can guess.

use std::fmt;
use std::str::FromStr;

use phoenix_core::reason::{Reason, Trouble};
use serde::{Deserialize, Serialize};

use crate::pair::hex;

/// 128 random bits as 32 lower-case hexadecimal digits: safe as a file name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Token(String);

/// The text is not a [`Token`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not 32 lower-case hexadecimal digits")]
pub struct NotAToken;

impl Token {
    /// A fresh one.
    pub(crate) fn random() -> Result<Self, Trouble> {
        let mut bytes = [0_u8; 16];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| {
            Trouble::new(Reason::Internal, "the system gives no random numbers; see that /dev/urandom works")
        })?;
        Ok(Self(hex(&bytes)))
    }
}

impl FromStr for Token {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Self, NotAToken> {
        let plain = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 32 && text.bytes().all(plain) { Ok(Self(text.to_owned())) } else { Err(NotAToken) }
    }
}

impl TryFrom<String> for Token {
    type Error = NotAToken;

    fn try_from(text: String) -> Result<Self, NotAToken> {
        text.parse()
    }
}

impl From<Token> for String {
    fn from(token: Token) -> Self {
        token.0
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hexadecimal_of_the_right_length_is_a_token() {
        let fresh = Token::random().unwrap();
        assert_eq!(fresh.to_string().parse(), Ok(fresh.clone()));
        assert_ne!(fresh, Token::random().unwrap());
        for bad in ["", "..", "../../etc", &"A".repeat(32), &"0".repeat(31), &format!("{}/", "0".repeat(31))]
        {
            assert_eq!(bad.parse::<Token>(), Err(NotAToken), "{bad}");
        }
    }
}
