//! A daemon that answers each connection with the next reply of a script.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread::JoinHandle;

use serde_json::Value;

/// An answer: the bytes that are written before the connection is closed.
pub(super) struct Reply(Vec<u8>);

/// What was asked.
#[derive(Debug, PartialEq)]
pub(super) struct Asked {
    pub(super) line: String,
    pub(super) body: Value,
}

/// The running daemon.
pub(super) struct FakeDaemon {
    thread: JoinHandle<Vec<Asked>>,
}

impl Reply {
    /// A whole document.
    pub(super) fn json(status: &str, document: &Value) -> Self {
        let body = document.to_string();
        let head =
            format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}", body.len());
        Self(format!("{head}\r\n\r\n{body}").into_bytes())
    }

    /// JSON lines, each a chunk of its own.
    pub(super) fn lines(lines: &[Value]) -> Self {
        let mut reply = Self::cut(lines);
        reply.0.extend_from_slice(b"0\r\n\r\n");
        reply
    }

    /// JSON lines whose end is missing: the daemon died.
    pub(super) fn cut(lines: &[Value]) -> Self {
        let mut bytes = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        for line in lines {
            let line = format!("{line}\n");
            write!(bytes, "{:x}\r\n{line}\r\n", line.len()).unwrap();
        }
        Self(bytes)
    }

    /// These very bytes.
    pub(super) fn raw(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl FakeDaemon {
    /// Listens on `socket` and gives one reply to each connection; then it is gone.
    pub(super) fn start(socket: &Path, replies: Vec<Reply>) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let answer = move |reply: Reply| {
            let (stream, _) = listener.accept().unwrap();
            serve(&stream, &reply)
        };
        Self { thread: std::thread::spawn(move || replies.into_iter().map(answer).collect()) }
    }

    /// What was asked, once every reply was given.
    pub(super) fn asked(self) -> Vec<Asked> {
        self.thread.join().unwrap()
    }
}

fn serve(stream: &UnixStream, reply: &Reply) -> Asked {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        match header.trim_end().split_once(": ") {
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().unwrap();
            }
            Some(_) => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    // The client may have gone away.
    let mut writer = stream;
    let _ = writer.write_all(&reply.0);
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
    Asked { line: line.trim_end().to_owned(), body }
}
