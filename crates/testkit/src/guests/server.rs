//! The test's end of the stand-ins' socket: one thread for each call.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::json;

use super::answer::Answer;
use super::{Call, Shared, contents, pct, qm};

/// A call as the script sends it; byte strings in base64.
#[derive(Deserialize)]
pub(super) struct Request {
    pub(super) program: String,
    pub(super) argv: Vec<String>,
    pub(super) env: std::collections::BTreeMap<String, String>,
    stdin: String,
    file: Option<String>,
}

/// A call with its bytes decoded.
pub(super) struct Asked {
    pub(super) call: Request,
    pub(super) stdin: Vec<u8>,
    pub(super) file: Option<Vec<u8>>,
    /// The connection: it ends when the stand-in is killed.
    pub(super) caller: UnixStream,
}

/// Answers calls until the guests are dropped.
pub(super) fn start(listener: UnixListener, shared: Arc<Shared>) {
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            if shared.state().closed {
                return;
            }
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                if let Err(error) = serve(stream, &shared) {
                    eprintln!("a stand-in was not served: {error:#}");
                }
            });
        }
    });
}

fn serve(stream: UnixStream, shared: &Shared) -> Result<()> {
    let mut line = String::new();
    BufReader::new(stream.try_clone()?).read_line(&mut line)?;
    let call: Request = serde_json::from_str(&line).context("not a call")?;
    let stdin = base64(&call.stdin)?;
    let file = call.file.as_deref().map(base64).transpose()?;
    let asked = Asked { call, stdin, file, caller: stream.try_clone()? };
    let number = record(&asked, shared);
    let answer =
        if asked.call.program == "pct" { pct::answer(&asked, shared) } else { qm::answer(&asked, shared) };
    let Some(answer) = answer else { return Ok(()) };
    if let Some(call) = shared.state().calls.get_mut(number) {
        call.succeeded = Some(answer.good);
    }
    send(stream, &answer);
    Ok(())
}

fn record(asked: &Asked, shared: &Shared) -> usize {
    let mark = |bytes: &[u8]| bytes.windows(11).any(|window| window == b"PRIVATE KEY");
    let mut state = shared.state();
    let call = Call {
        program: asked.call.program.clone(),
        argv: asked.call.argv.clone(),
        env: asked.call.env.clone(),
        stdin_length: asked.stdin.len(),
        carries_key: mark(&asked.stdin) || asked.file.as_deref().is_some_and(mark),
        witnessed: contents(&state.witnesses),
        succeeded: None,
    };
    state.calls.push(call);
    state.calls.len() - 1
}

/// A stand-in that was killed meanwhile reads no answer, and that is no fault.
fn send(mut stream: UnixStream, answer: &Answer) {
    let text = json!({
        "stdout": to_base64(&answer.stdout), "stderr": to_base64(&answer.stderr),
        "exit": answer.exit, "signal": answer.signal,
    });
    let _ = stream.write_all(format!("{text}\n").as_bytes());
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn to_base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let symbol = ALPHABET[(word >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= chunk.len() { symbol as char } else { '=' });
        }
    }
    text
}

fn base64(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut word, mut bits) = (0_u32, 0);
    for symbol in text.bytes().filter(|symbol| *symbol != b'=') {
        let value = ALPHABET.iter().position(|known| *known == symbol).context("not base64")?;
        word = word << 6 | value as u32;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((word >> bits) as u8);
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (plain, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(to_base64(plain.as_bytes()), text);
            assert_eq!(base64(text).unwrap(), plain.as_bytes());
        }
    }
}
