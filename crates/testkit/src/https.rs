//! One request to a CA, made with openssl: an independent client that sends exactly what it is given.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::stepca::StepCa;

/// Sends `body` to `path` with these further header lines; gives status and the body of the answer, null when it is
/// no JSON.
pub fn post(ca: &StepCa, path: &str, headers: &[String], body: &Value) -> Result<(u16, Value)> {
    let body = body.to_string();
    let address = ca.url.trim_start_matches("https://");
    // HTTP/1.0: the answer comes in one piece and ends with the connection.
    let start = [format!("POST {path} HTTP/1.0"), format!("Host: {address}")];
    let end = [format!("Content-Length: {}", body.len()), String::new(), body];
    let request = [&start, headers, &end[..]].concat().join("\r\n");
    let mut client = Command::new("/usr/bin/openssl")
        .args(["s_client", "-quiet", "-verify_return_error", "-connect", address, "-servername", "localhost"])
        .arg("-CAfile")
        .arg(&ca.root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    client.stdin.as_mut().context("openssl has no input")?.write_all(request.as_bytes())?;
    let answer = String::from_utf8(client.wait_with_output()?.stdout)?;
    let (head, body) = answer.split_once("\r\n\r\n").with_context(|| format!("no answer: {answer:?}"))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    ensure!(head.starts_with("HTTP/1."), "not HTTP: {head:?}");
    Ok((status.context("the answer has no status")?, serde_json::from_str(body).unwrap_or_default()))
}
