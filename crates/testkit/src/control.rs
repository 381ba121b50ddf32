//! A small blocking HTTP/1.1 client for the control socket: one request for each connection.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use phoenix_protocol::control::StatusDocument;

const TIMEOUT: Duration = Duration::from_secs(30);
const MAX_ANSWER: u64 = 64 * 1024 * 1024;

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Body, chunks joined.
    pub body: Vec<u8>,
}

/// Sends one request over the socket; a body is sent as JSON.
pub fn request(socket: &Path, method: &str, route: &str, body: Option<&str>) -> Result<Answer> {
    let mut stream = UnixStream::connect(socket)
        .with_context(|| format!("nothing answers on the control socket {}", socket.display()))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let body = body.unwrap_or_default();
    write!(
        stream,
        "{method} {route} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut raw = Vec::new();
    stream
        .take(MAX_ANSWER)
        .read_to_end(&mut raw)
        .with_context(|| format!("{method} {route} was not answered"))?;
    parse(&raw).with_context(|| format!("the answer to {method} {route} is not HTTP"))
}

/// `GET /v1/status`.
pub fn status(socket: &Path) -> Result<StatusDocument> {
    let answer = request(socket, "GET", "/v1/status", None)?;
    ensure!(answer.status == 200, "GET /v1/status was answered with HTTP status {}", answer.status);
    serde_json::from_slice(&answer.body).context("the status document is not what the protocol says")
}

fn parse(raw: &[u8]) -> Result<Answer> {
    let split = find(raw, b"\r\n\r\n").context("the head does not end")?;
    let head = std::str::from_utf8(&raw[..split])?.to_ascii_lowercase();
    let rest = &raw[split + 4..];
    let status = head.split(' ').nth(1).context("there is no status line")?.parse()?;
    let body =
        if head.contains("\r\ntransfer-encoding: chunked") { join_chunks(rest)? } else { rest.to_vec() };
    Ok(Answer { status, body })
}

fn join_chunks(mut rest: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = find(rest, b"\r\n").context("a chunk has no length")?;
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..line])?.trim(), 16)?;
        if length == 0 {
            return Ok(body);
        }
        let Some(chunk) = rest.get(line + 2..line + 2 + length) else { bail!("a chunk is cut") };
        body.extend_from_slice(chunk);
        rest = rest.get(line + 4 + length..).context("a chunk does not end")?;
    }
}

fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    text.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_and_chunked_answers_are_understood() {
        let plain = parse(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno").unwrap();
        assert_eq!((plain.status, plain.body.as_slice()), (404, b"no".as_slice()));
        let chunked =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        assert_eq!(parse(chunked).unwrap().body, b"abcde");
    }

    #[test]
    fn cut_answers_are_errors() {
        for cut in
            [&b"HTTP/1.1 200 OK\r\n"[..], b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc"]
        {
            assert!(parse(cut).is_err());
        }
    }
}
