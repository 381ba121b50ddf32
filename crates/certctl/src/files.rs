//! Bounded, non-blocking reads of regular files.
//!
//! The paths lie in directories that guests write to: a FIFO there must not hang the report, a device must not
//! be touched, and a huge file must not fill the memory.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use zeroize::Zeroizing;

/// Reads at most `limit` bytes of the regular file `path`.
///
/// # Errors
/// As open(2) and read(2); `FileTooLarge` when there is more; `InvalidInput` for anything but a regular file.
pub fn read(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    // Opening a FIFO for reading would wait for a writer, opening a terminal could make it ours.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    bounded(file, metadata.len() as usize, limit)
}

/// As [`read`], for private keys: the bytes are wiped when they are dropped.
///
/// # Errors
/// As [`read`].
pub fn read_secret(path: &Path, limit: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    read(path, limit).map(Zeroizing::new)
}

fn bounded(file: File, size: usize, limit: usize) -> io::Result<Vec<u8>> {
    // One allocation, so that growing leaves no copies of a key behind.
    let mut bytes = Vec::with_capacity(size.min(limit) + 1);
    file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        let why = format!("it is larger than {limit} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_up_to_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, b"12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        let error = read(&path, 4).unwrap_err();
        assert_eq!(error.to_string(), "it is larger than 4 bytes");
    }

    #[test]
    fn neither_fifos_nor_directories_nor_devices_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        for path in [fifo.as_path(), dir.path(), Path::new("/dev/zero")] {
            let error = read(path, 10).unwrap_err();
            assert_eq!(error.to_string(), "it is not a regular file", "{}", path.display());
        }
    }
}
