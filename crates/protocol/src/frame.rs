//! Length-delimited JSON frames: four bytes of length, most significant first, then that many bytes of JSON.
//!
//! Both sides bound what they accept, so that a hijacked peer cannot make the other allocate without limit.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Largest frame that the executor accepts.
pub const MAX_REQUEST: usize = 256 * 1024;
/// Largest frame that the daemon accepts.
pub const MAX_RESPONSE: usize = 4 * 1024 * 1024;

/// Why a frame was refused.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The connection ended between two frames.
    #[error("the other side closed the connection")]
    Closed,
    /// The connection failed or ended inside a frame.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// The announced length is over the limit.
    #[error("a frame of {length} bytes is over the limit of {limit}")]
    TooLarge {
        /// Announced length.
        length: usize,
        /// Limit in force.
        limit: usize,
    },
    /// The content is not the expected JSON.
    #[error("a frame does not have the expected content: {0}")]
    Content(#[from] serde_json::Error),
}

/// The bytes of a frame with `value`.
pub fn encode<T: Serialize>(value: &T, limit: usize) -> Result<Vec<u8>, FrameError> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, value)?;
    let length = bytes.len() - 4;
    let Some(prefix) = u32::try_from(length).ok().filter(|_| length <= limit) else {
        return Err(FrameError::TooLarge { length, limit });
    };
    bytes[..4].copy_from_slice(&prefix.to_be_bytes());
    Ok(bytes)
}

/// The length announced by `prefix`, if it is within `limit`.
pub fn body_length(prefix: [u8; 4], limit: usize) -> Result<usize, FrameError> {
    let length = u32::from_be_bytes(prefix) as usize;
    if length > limit { Err(FrameError::TooLarge { length, limit }) } else { Ok(length) }
}

/// The value in the body of a frame.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    Ok(serde_json::from_slice(body)?)
}

/// Reads one frame, blocking.
pub fn read<T: DeserializeOwned>(from: &mut impl Read, limit: usize) -> Result<T, FrameError> {
    let mut prefix = [0; 4];
    let mut filled = 0;
    while filled < prefix.len() {
        match from.read(&mut prefix[filled..]) {
            Ok(0) if filled == 0 => return Err(FrameError::Closed),
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut body = vec![0; body_length(prefix, limit)?];
    from.read_exact(&mut body)?;
    decode(&body)
}

/// Writes one frame, blocking.
pub fn write<T: Serialize>(to: &mut impl Write, value: &T, limit: usize) -> Result<(), FrameError> {
    to.write_all(&encode(value, limit)?)?;
    to.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(texts: Vec<String>) {
            let mut stream = Vec::new();
            for text in &texts {
                write(&mut stream, text, MAX_REQUEST).unwrap();
            }
            let mut from = stream.as_slice();
            for text in &texts {
                prop_assert_eq!(&read::<String>(&mut from, MAX_REQUEST).unwrap(), text);
            }
            prop_assert!(matches!(read::<String>(&mut from, MAX_REQUEST), Err(FrameError::Closed)));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = read::<serde_json::Value>(&mut bytes.as_slice(), 1024);
        }
    }

    #[test]
    fn an_oversized_frame_is_refused_before_it_is_read() {
        let mut bytes = 300_000_000_u32.to_be_bytes().to_vec();
        bytes.extend_from_slice(b"\"x\"");
        let error = read::<String>(&mut bytes.as_slice(), MAX_REQUEST).unwrap_err();
        assert!(matches!(error, FrameError::TooLarge { length: 300_000_000, .. }));
    }

    #[test]
    fn a_cut_frame_is_an_error() {
        let whole = encode(&"hello", MAX_REQUEST).unwrap();
        for cut in 1..whole.len() {
            assert!(matches!(read::<String>(&mut &whole[..cut], MAX_REQUEST), Err(FrameError::Io(_))));
        }
    }
}
