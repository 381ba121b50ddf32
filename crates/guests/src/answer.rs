//! The JSON of `qm guest exec` and `qm guest exec-status`.
//!
//! Pretty-printed with sorted keys: `exited` (0 or 1), `exitcode` or `signal`, `out-data`, `err-data` (decoded),
//! `out-truncated`, `err-truncated`; only `pid` when the time limit was reached first. `qm` exits with 0 for all
//! of them. (qm(1); `guest-exec-status` in the QEMU guest agent protocol reference.)

use phoenix_sandbox::Output;
use serde_json::{Map, Value};

/// What became of the command in the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestEnded {
    /// It ended with this exit code.
    Exited(i64),
    /// This signal killed it.
    Signaled(i64),
    /// It was still running. The process id for `exec-status`, where the answer names it.
    Running(Option<i64>),
}

/// An answer that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestResult {
    /// How the command ended.
    pub ended: GuestEnded,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// Something of the output was left out on the way.
    pub truncated: bool,
}

/// Why an answer is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unclear {
    /// Nothing on standard output.
    #[error("it answered nothing")]
    Empty,
    /// Not a JSON object.
    #[error("its answer is not a JSON object")]
    NotJson,
    /// So long that the parts that count were left out.
    #[error("its answer is too long to be kept, and the exit code is in the part that was left out")]
    TooLong,
    /// A value of the wrong type.
    #[error("`{0}` in its answer is not a number")]
    NotANumber(&'static str),
    /// Values that contradict each other.
    #[error("its answer contradicts itself about how the command ended")]
    Contradiction,
    /// No value that tells how the command ended.
    #[error("its answer tells neither an exit code nor a signal nor a process id")]
    Untold,
}

/// What `qm` printed on standard output.
pub fn parse(stdout: &Output) -> Result<GuestResult, Unclear> {
    if stdout.bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Unclear::Empty);
    }
    let members = if stdout.truncated() { remains(stdout) } else { object(&stdout.bytes)? };
    let text = |name| members.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let cut = |name| members.get(name).is_some_and(is_true);
    match how_it_ended(&members) {
        Ok(ended) => Ok(GuestResult {
            ended,
            stdout: text("out-data"),
            stderr: text("err-data"),
            truncated: stdout.truncated() || cut("out-truncated") || cut("err-truncated"),
        }),
        Err(Unclear::Untold) if stdout.truncated() => Err(Unclear::TooLong),
        Err(unclear) => Err(unclear),
    }
}

/// The members of a JSON object. Bytes that are not UTF-8 are the guest's output and not worth a failure.
fn object(bytes: &[u8]) -> Result<Map<String, Value>, Unclear> {
    match serde_json::from_str(&String::from_utf8_lossy(bytes)) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) | Err(_) => Err(Unclear::NotJson),
    }
}

/// The members that survived in an answer of which the middle is missing. Each stands on a line of its own, and
/// no line of the guest's making can look like one, for a JSON string holds no line break.
fn remains(stdout: &Output) -> Map<String, Value> {
    let text = stdout.text();
    text.lines()
        .filter_map(|line| object(format!("{{{}}}", line.trim().trim_end_matches(',')).as_bytes()).ok())
        .flatten()
        .collect()
}

fn how_it_ended(members: &Map<String, Value>) -> Result<GuestEnded, Unclear> {
    let number = |name| match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => integer(value).map(Some).ok_or(Unclear::NotANumber(name)),
    };
    let running = members.get("exited").is_some_and(|value| !is_true(value));
    match (number("exitcode")?, number("signal")?, number("pid")?) {
        (None, None, Some(pid)) if !members.get("exited").is_some_and(is_true) => {
            Ok(GuestEnded::Running(Some(pid)))
        }
        (None, None, None) if running => Ok(GuestEnded::Running(None)),
        (Some(_), Some(_), _) => Err(Unclear::Contradiction),
        (Some(_), None, _) | (None, Some(_), _) if running => Err(Unclear::Contradiction),
        (Some(code), None, _) => Ok(GuestEnded::Exited(code)),
        (None, Some(signal), _) => Ok(GuestEnded::Signaled(signal)),
        (None, None, _) => Err(Unclear::Untold),
    }
}

/// Numbers may arrive as text: Perl does not tell them apart.
fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

fn is_true(value: &Value) -> bool {
    value.as_bool().unwrap_or_else(|| integer(value).is_some_and(|number| number != 0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ended(text: &str) -> Result<GuestEnded, Unclear> {
        parse(&Output::whole(text)).map(|result| result.ended)
    }

    #[test]
    fn every_way_to_end_is_told_from_every_other() {
        let cases = [
            (r#"{"exitcode" : 0, "exited" : 1}"#, Ok(GuestEnded::Exited(0))),
            (r#"{"exitcode" : 7, "exited" : true}"#, Ok(GuestEnded::Exited(7))),
            (r#"{"exitcode" : "7", "exited" : "1"}"#, Ok(GuestEnded::Exited(7))),
            (r#"{"exitcode" : 0}"#, Ok(GuestEnded::Exited(0))),
            (r#"{"exitcode" : -1073741510, "exited" : 1}"#, Ok(GuestEnded::Exited(-1_073_741_510))),
            (r#"{"exited" : 1, "signal" : 9}"#, Ok(GuestEnded::Signaled(9))),
            (r#"{"exitcode" : null, "exited" : 1, "signal" : 9}"#, Ok(GuestEnded::Signaled(9))),
            (r#"{"pid" : 4711}"#, Ok(GuestEnded::Running(Some(4711)))),
            (r#"{"exited" : 0}"#, Ok(GuestEnded::Running(None))),
            (r#"{"exited" : false, "pid" : 3}"#, Ok(GuestEnded::Running(Some(3)))),
            ("", Err(Unclear::Empty)),
            (" \n", Err(Unclear::Empty)),
            ("done", Err(Unclear::NotJson)),
            ("[]", Err(Unclear::NotJson)),
            (r#"{"exitcode" : 0"#, Err(Unclear::NotJson)),
            (r#"{"exitcode" : 0} x"#, Err(Unclear::NotJson)),
            ("{}", Err(Unclear::Untold)),
            (r#"{"exited" : 1}"#, Err(Unclear::Untold)),
            (r#"{"exited" : 1, "pid" : 5}"#, Err(Unclear::Untold)),
            (r#"{"out-data" : "exitcode 0"}"#, Err(Unclear::Untold)),
            (r#"{"exitcode" : 0, "exited" : 0}"#, Err(Unclear::Contradiction)),
            (r#"{"exitcode" : 0, "exited" : 1, "signal" : 9}"#, Err(Unclear::Contradiction)),
            (r#"{"exitcode" : "zero"}"#, Err(Unclear::NotANumber("exitcode"))),
            (r#"{"exitcode" : 0.5}"#, Err(Unclear::NotANumber("exitcode"))),
            (r#"{"exitcode" : {}, "exited" : 1}"#, Err(Unclear::NotANumber("exitcode"))),
        ];
        for (text, expected) in cases {
            assert_eq!(ended(text), expected, "{text}");
        }
    }

    #[test]
    fn output_and_its_truncation_are_passed_on() {
        let text =
            r#"{"err-data" : "e\n", "exitcode" : 1, "exited" : 1, "out-data" : "o", "out-truncated" : 1}"#;
        let result = parse(&Output::whole(text)).unwrap();
        assert_eq!((result.stdout.as_str(), result.stderr.as_str(), result.truncated), ("o", "e\n", true));
        let mut bytes = br#"{"exitcode" : 0, "out-data" : "a"#.to_vec();
        bytes.extend(b"\xff\"}");
        assert_eq!(parse(&Output::whole(bytes)).unwrap().stdout, "a\u{fffd}");
    }

    /// An answer as `qm` prints it, cut as the sandbox cuts a long one.
    fn cut(err: &str, out: &str, keep: usize) -> Output {
        let quote = |text: &str| Value::from(text).to_string();
        let (err, out) = (quote(err), quote(out));
        let whole = format!(
            "{{\n   \"err-data\" : {err},\n   \"exitcode\" : 3,\n   \"exited\" : 1,\n   \"out-data\" : {out}\n}}\n"
        );
        let (head, tail) = (&whole[..keep], &whole[whole.len() - keep..]);
        Output { bytes: [head, tail].concat().into(), total: whole.len() as u64, cut: Some(keep) }
    }

    #[test]
    fn an_answer_without_its_middle_is_still_understood_where_it_can_be() {
        let (long, lie) = ("x".repeat(5000), "\n   \"exitcode\" : 0,\n   \"exited\" : 1,\n".repeat(100));
        let (long, lie) = (long.as_str(), lie.as_str());
        for (err, out) in [("short", long), (long, "short"), ("", lie), (lie, "")] {
            let result = parse(&cut(err, out, 400)).unwrap();
            assert_eq!((result.ended, result.truncated), (GuestEnded::Exited(3), true));
        }
        assert_eq!(parse(&cut(long, long, 400)), Err(Unclear::TooLong));
        assert_eq!(parse(&cut(lie, lie, 400)), Err(Unclear::TooLong));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(
            bytes: Vec<u8>, total: u64, cut in proptest::option::of(0..100_usize)
        ) {
            let _ = parse(&Output { bytes, total, cut });
        }

        #[test]
        fn success_is_believed_only_when_the_exit_code_says_so(
            code in proptest::option::of(-2..3_i64), signal in proptest::option::of(0..3_i64),
            pid in proptest::option::of(0..3_i64), exited in proptest::option::of(any::<bool>()), out: String,
        ) {
            let text = serde_json::json!({
                "exitcode": code, "signal": signal, "pid": pid, "exited": exited, "out-data": out
            }).to_string();
            if ended(&text) == Ok(GuestEnded::Exited(0)) {
                prop_assert_eq!((code, signal), (Some(0), None));
                prop_assert_ne!(exited, Some(false));
            }
        }
    }
}
