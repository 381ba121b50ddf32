//! The two messages between caller and supervisor: a length, a JSON header, raw bytes.
//!
//! Input and output travel as raw bytes behind the header, so that a secret is never part of a text that is
//! copied around while it is encoded.

use std::io::{self, Error, ErrorKind, Read, Write};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::measure::Confinement;
use crate::outcome::{Ended, Finished, Output};
use crate::profile::Profile;
use crate::spec::CommandSpec;

/// Bound on a header. More than execve(2) takes: arguments and environment are at most 6 MiB there.
const HEADER_LIMIT: u32 = 32 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
struct OrderHeader {
    argv: Vec<String>,
    env: Vec<(String, String)>,
    stdin_length: Option<usize>,
    timeout: Duration,
    grace: Duration,
    output_limit: usize,
    profile: Profile,
}

#[derive(Serialize, Deserialize)]
struct StreamHeader {
    kept: usize,
    total: u64,
    cut: Option<usize>,
}

#[derive(Serialize, Deserialize)]
struct ReportHeader {
    ended: Ended,
    stdout: StreamHeader,
    stderr: StreamHeader,
    duration: Duration,
    survivors_killed: u32,
    survivors_left: u32,
    confinement: Confinement,
}

/// The bytes of an order.
pub(crate) fn encode_order(spec: &CommandSpec) -> io::Result<Zeroizing<Vec<u8>>> {
    let header = frame(&OrderHeader {
        argv: spec.argv.clone(),
        env: spec.env.clone(),
        stdin_length: spec.stdin.as_ref().map(|bytes| bytes.len()),
        timeout: spec.timeout,
        grace: spec.grace,
        output_limit: spec.output_limit,
        profile: spec.profile.clone(),
    })?;
    let input = spec.stdin.as_deref().map_or(&[][..], Vec::as_slice);
    // Room for everything at once: growing would leave copies of the input behind.
    let mut order = Zeroizing::new(Vec::with_capacity(header.len() + input.len()));
    order.extend_from_slice(&header);
    order.extend_from_slice(input);
    Ok(order)
}

/// Reads an order.
pub(crate) fn read_order(from: &mut impl Read) -> io::Result<CommandSpec> {
    let header: OrderHeader = read_header(from)?;
    let stdin = match header.stdin_length {
        Some(length) => Some(Zeroizing::new(read_exactly(from, length)?)),
        None => None,
    };
    Ok(CommandSpec {
        argv: header.argv,
        env: header.env,
        stdin,
        timeout: header.timeout,
        grace: header.grace,
        output_limit: header.output_limit,
        profile: header.profile,
    })
}

/// Writes a report.
pub(crate) fn write_report(to: &mut impl Write, finished: &Finished) -> io::Result<()> {
    let stream =
        |output: &Output| StreamHeader { kept: output.bytes.len(), total: output.total, cut: output.cut };
    let header = frame(&ReportHeader {
        ended: finished.ended.clone(),
        stdout: stream(&finished.stdout),
        stderr: stream(&finished.stderr),
        duration: finished.duration,
        survivors_killed: finished.survivors_killed,
        survivors_left: finished.survivors_left,
        confinement: finished.confinement.clone(),
    })?;
    to.write_all(&header)?;
    to.write_all(&finished.stdout.bytes)?;
    to.write_all(&finished.stderr.bytes)?;
    to.flush()
}

/// The longest report that a supervisor of this command can send.
pub(crate) fn report_limit(spec: &CommandSpec) -> u64 {
    const HEADER: u64 = 64 * 1024;
    HEADER.saturating_add(2 * spec.output_limit as u64)
}

/// Reads a report.
pub(crate) fn read_report(from: &mut impl Read) -> io::Result<Finished> {
    let header: ReportHeader = read_header(from)?;
    let mut stream = |stream: StreamHeader| -> io::Result<Output> {
        Ok(Output { bytes: read_exactly(from, stream.kept)?, total: stream.total, cut: stream.cut })
    };
    Ok(Finished {
        ended: header.ended,
        stdout: stream(header.stdout)?,
        stderr: stream(header.stderr)?,
        duration: header.duration,
        survivors_killed: header.survivors_killed,
        survivors_left: header.survivors_left,
        confinement: header.confinement,
    })
}

fn frame(header: &impl Serialize) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(header)?;
    let length = u32::try_from(json.len()).ok().filter(|length| *length <= HEADER_LIMIT);
    let length =
        length.ok_or_else(|| Error::new(ErrorKind::ArgumentListTooLong, "the command is too long"))?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend_from_slice(&json);
    Ok(frame)
}

fn read_header<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > HEADER_LIMIT {
        return Err(Error::new(ErrorKind::InvalidData, "the header is too long"));
    }
    Ok(serde_json::from_slice(&read_exactly(from, length as usize)?)?)
}

/// Reads `length` bytes into a buffer that is never larger than what really came, twice over.
fn read_exactly(from: &mut impl Read, length: usize) -> io::Result<Vec<u8>> {
    const FIRST: usize = 4 * 1024 * 1024;
    let mut bytes = Vec::with_capacity(length.min(FIRST));
    from.take(length as u64).read_to_end(&mut bytes)?;
    if bytes.len() == length { Ok(bytes) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Measure, Missing};
    use crate::profile::Strict;

    #[test]
    fn an_order_arrives_as_it_was_sent() {
        let spec = CommandSpec::new(["/bin/sh", "", "a\nb\u{1}ü\"'"])
            .env("NAME", "va=lue")
            .timeout(Duration::from_millis(1500))
            .output_limit(7)
            .profile(Profile::Strict(Strict { signals: true, ..Strict::default().read("/a b").hide("/c") }));
        for spec in [spec.clone(), spec.clone().stdin(vec![0, 255, b'\n']), spec.stdin(vec![])] {
            let order = encode_order(&spec).unwrap();
            assert_eq!(read_order(&mut order.as_slice()).unwrap(), spec);
        }
    }

    #[test]
    fn a_report_arrives_as_it_was_sent_and_a_cut_one_is_an_error() {
        let finished = Finished {
            ended: Ended::NotStarted { errno: 2, text: "No such file".into() },
            stdout: Output { bytes: vec![255, 0], total: 99, cut: Some(1) },
            stderr: Output::whole(*b"oops"),
            duration: Duration::new(3, 4),
            survivors_killed: 5,
            survivors_left: 6,
            confinement: Confinement {
                profile: "strict".into(),
                in_force: vec![Measure::Signals],
                missing: vec![Missing { measure: Measure::FileRules, why: "old".into() }],
            },
        };
        let mut bytes = Vec::new();
        write_report(&mut bytes, &finished).unwrap();
        assert_eq!(read_report(&mut bytes.as_slice()).unwrap(), finished);
        for end in 0..bytes.len() {
            assert!(read_report(&mut &bytes[..end]).is_err(), "{end} of {} bytes", bytes.len());
        }
    }

    #[test]
    fn a_lying_length_is_refused_without_memory_for_it() {
        assert!(read_report(&mut &[255, 255, 255, 255, b'{'][..]).is_err());
        assert!(read_order(&mut &[0, 0, 0, 2, b'{', b'}'][..]).is_err());
    }
}
