use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use super::{Daemon, Duration, PATIENCE, RequestError, Unreachable};

const SHORT: Duration = Duration::from_millis(500);

/// A daemon that accepts connections in its backlog and never answers.
fn silent() -> (tempfile::TempDir, UnixListener, Daemon) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let listener = UnixListener::bind(&socket).unwrap();
    (dir, listener, Daemon::new(socket).patience(SHORT))
}

#[tokio::test]
async fn a_daemon_that_never_answers_is_given_up() {
    let (_dir, _listener, daemon) = silent();
    for result in
        [daemon.get("/v1/status").await.map(|_| ()), daemon.post("/v1/sync", &(), SHORT).await.map(|_| ())]
    {
        let error = result.unwrap_err();
        assert!(matches!(error, RequestError::Unreachable(Unreachable::Silent { .. })), "{error}");
        assert!(error.to_string().ends_with("does not answer: nothing came within 0.5 s"), "{error}");
    }
}

/// Reads the request, answers with these chunks and, where it is `whole`, the end. Keeps the connection.
fn answer(listener: &UnixListener, chunks: &[&str], whole: bool) -> UnixStream {
    let (mut stream, _) = listener.accept().unwrap();
    let asked = stream.read(&mut [0; 4096]).unwrap();
    assert!(asked > 0);
    stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
    for chunk in chunks {
        write!(stream, "{:x}\r\n{chunk}\r\n", chunk.len()).unwrap();
    }
    if whole {
        stream.write_all(b"0\r\n\r\n").unwrap();
    }
    stream
}

#[tokio::test]
async fn a_stream_that_stops_is_given_up() {
    let (_dir, listener, daemon) = silent();
    let server = tokio::task::spawn_blocking(move || answer(&listener, &["one\n"], false));
    let mut lines = daemon.post("/v1/sync", &(), SHORT).await.unwrap();
    assert_eq!(lines.next().await.unwrap().unwrap(), b"one");
    assert!(matches!(lines.next().await, Err(Unreachable::Silent { .. })));
    server.await.unwrap();
}

#[tokio::test]
async fn lines_are_found_wherever_chunks_are_cut() {
    let (_dir, listener, daemon) = silent();
    let chunks = ["o", "ne\n\ntw", "o\nthree\nrest"];
    let server = tokio::task::spawn_blocking(move || answer(&listener, &chunks, true));
    let mut lines = daemon.patience(PATIENCE).post("/v1/sync", &(), SHORT).await.unwrap();
    for expected in ["one", "", "two", "three"] {
        assert_eq!(lines.next().await.unwrap().unwrap(), expected.as_bytes());
    }
    assert_eq!(lines.next().await.unwrap(), None);
    server.await.unwrap();
}
