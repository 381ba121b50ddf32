//! As much of HTTP/1.1 as it takes to see a status (RFC 9112).

use std::io::{self, Read, Write};

use crate::Address;

/// Most bytes that are read in search of the end of a status line.
const LONGEST_LINE: usize = 4096;

/// A request, and the answer that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Path to ask for.
    pub path: String,
    /// Status that must come back; none means any from 200 to 399.
    pub status: Option<u16>,
}

impl Http {
    /// The status is the wanted one.
    pub(crate) fn accepts(&self, status: u16) -> bool {
        self.status.map_or((200..400).contains(&status), |wanted| wanted == status)
    }

    /// What is wanted, in words.
    pub(crate) fn wanted(&self) -> String {
        self.status.map_or_else(|| "200 to 399".to_owned(), |status| status.to_string())
    }
}

/// With one of these a server refuses a client for want of a certificate (400, 495 and 496 are nginx's).
pub(crate) const REFUSALS: [u16; 5] = [400, 401, 403, 495, 496];

/// Sends a request for `path`.
pub(crate) fn request(
    stream: &mut impl Write,
    address: &Address,
    server_name: Option<&str>,
    path: &str,
) -> io::Result<()> {
    let host = server_name.map_or_else(|| address.to_string(), str::to_owned);
    // In one piece: a server that answers its beginning would close on the rest, and the answer would be lost.
    let text = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: phoenix-certd/{}\r\nAccept: */*\r\n\
         Connection: close\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    );
    stream.write_all(text.as_bytes())?;
    stream.flush()
}

/// The first line of what comes back, without its end. Empty when nothing came before the connection was closed.
pub(crate) fn first_line(stream: &mut impl Read) -> (Vec<u8>, io::Result<()>) {
    let mut line = Vec::new();
    let mut buffer = [0; 512];
    while line.len() < LONGEST_LINE {
        match stream.read(&mut buffer) {
            Ok(0) => return (line, Ok(())),
            Ok(length) => {
                let read = buffer.get(..length).unwrap_or_default();
                if let Some(end) = read.iter().position(|byte| *byte == b'\n') {
                    line.extend_from_slice(read.get(..end).unwrap_or_default());
                    return (line, Ok(()));
                }
                line.extend_from_slice(read);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (line, Err(error)),
        }
    }
    (line, Ok(()))
}

/// The status in the first line of an answer, if it is one of HTTP/1.
pub(crate) fn status(line: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(line).ok()?;
    let (version, rest) = line.split_once(' ')?;
    let code = rest.get(..3).filter(|code| code.bytes().all(|byte| byte.is_ascii_digit()))?;
    let ends =
        rest.get(3..).is_some_and(|rest| rest.trim_end_matches('\r').is_empty() || rest.starts_with(' '));
    (version.starts_with("HTTP/1.") && ends).then(|| code.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_status_line_has_a_status() {
        for (line, found) in [
            ("HTTP/1.1 200 OK\r", Some(200)),
            ("HTTP/1.0 403", Some(403)),
            ("HTTP/1.1 496 \r", Some(496)),
            ("HTTP/1.1 200\r", Some(200)),
            ("HTTP/1.1 2000 OK", None),
            ("HTTP/1.1 20", None),
            ("HTTP/2 200", None),
            ("SSH-2.0-OpenSSH_9.2", None),
            ("", None),
            ("HTTP/1.1", None),
            ("HTTP/1.1 \u{661}00", None),
        ] {
            assert_eq!(status(line.as_bytes()), found, "{line:?}");
        }
        assert_eq!(status(&[0xff, 0xfe, b' ']), None);
    }

    #[test]
    fn an_endless_line_is_cut() {
        let (line, end) = first_line(&mut io::repeat(b'a'));
        assert!(end.is_ok() && line.len() >= LONGEST_LINE && line.len() < LONGEST_LINE + 512);
    }

    #[test]
    fn the_request_names_the_host_as_clients_do() {
        let sent = |address: &str, name| {
            let mut text = Vec::new();
            request(&mut text, &address.parse().unwrap(), name, "/_ping").unwrap();
            String::from_utf8(text).unwrap()
        };
        assert!(sent("[::1]:443", None).starts_with("GET /_ping HTTP/1.1\r\nHost: [::1]:443\r\n"));
        assert!(sent("10.0.0.12:443", Some("a.internal")).contains("\r\nHost: a.internal\r\n"));
        assert!(sent("a:1", None).ends_with("\r\n\r\n"));
    }
}
