//! Why a command could not do its work.

use std::io;

use phoenix_core::diagnostic::suggest::closest;

use crate::client::{RequestError, Unreachable};
use crate::exit::Exit;
use crate::plain::plain;

/// Why a command could not do its work; its text is a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The daemon cannot be reached, or went away.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// A name that no entry has.
    #[error("{0}")]
    NoSuchName(String),
    /// The daemon refuses.
    #[error("the daemon refuses: {0}")]
    Refused(String),
    /// Something that was to be read, or seen on the network, cannot be.
    #[error("{0}")]
    Unreadable(String),
    /// Standard output cannot be written.
    #[error("cannot write to standard output: {0}")]
    Output(#[source] io::Error),
}

impl Failure {
    /// How the program ends for it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Unreachable(_) => Exit::Unreachable,
            Self::NoSuchName(_) => Exit::NoSuchName,
            Self::Refused(_) | Self::Unreadable(_) | Self::Output(_) => Exit::NotDone,
        }
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Unreachable(error) => Self::Unreachable(error),
            RequestError::Refused(error) => Self::Refused(plain(&error.message).into_owned()),
        }
    }
}

/// The sentence for a name that is not among `known`.
pub fn no_such_name<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    match closest(name, known) {
        Some(near) => format!("no entry is called `{name}`: did you mean `{near}`?"),
        None => format!("no entry is called `{name}`: `phoenix-certctl status` lists them"),
    }
}
