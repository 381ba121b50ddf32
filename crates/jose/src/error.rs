//! What can go wrong.

/// Why a key could not be opened, or a token not be made or believed. Never contains secret material.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoseError {
    /// The input is longer than [`crate::MAX_INPUT`].
    #[error("the {what} is {size} bytes long; more than {limit} are not read", limit = crate::MAX_INPUT)]
    TooLarge {
        /// Which input.
        what: &'static str,
        /// Its length.
        size: usize,
    },
    /// The input does not have the expected outer form.
    #[error("the {what} is malformed: {why}")]
    Malformed {
        /// Which input.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Something legal that is not understood here.
    #[error("the {what} asks for {feature}, which is not supported: {advice}")]
    Unsupported {
        /// Which input.
        what: &'static str,
        /// What it asks for.
        feature: String,
        /// What to do.
        advice: &'static str,
    },
    /// `p2c` is below [`crate::ITERATIONS`].
    #[error(
        "the provisioner key is protected with only {0} password iterations: encrypt it again with at least \
         100000"
    )]
    WeakIterations(u64),
    /// `p2c` is above [`crate::ITERATIONS`].
    #[error("the provisioner key asks for {0} password iterations: more than 5000000 are refused")]
    ExcessiveIterations(u64),
    /// The password does not open the key.
    #[error(
        "the provisioner password does not open the provisioner key: check the password file and that it belongs \
         to this provisioner"
    )]
    WrongPassword,
    /// The password opened the outer layer, but the content has been altered.
    #[error("the encrypted provisioner key has been altered or damaged: its content does not fit its seal")]
    Damaged,
    /// The private key is no usable key.
    #[error("the provisioner key cannot be used: {0}")]
    BadKey(String),
    /// The signature does not belong to the token and the key.
    #[error("the token's signature is wrong: it was made with another key, or the token was altered")]
    BadSignature,
    /// The cryptographic library refused an operation that should always work.
    #[error("the cryptographic library failed to {0}")]
    Crypto(&'static str),
}
