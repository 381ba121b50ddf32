//! The audit trail of one request: every program that was run for it.

use std::sync::{Mutex, PoisonError};

use phoenix_core::time::Timestamp;
use phoenix_guests::excerpt::kept;
use phoenix_protocol::executor::Run;
use phoenix_sandbox::{CommandSpec, Ended, Finished, SandboxError};

/// Most runs that are told of one request; a command in a virtual machine may be asked about every second. Beyond
/// it the ones in the middle are left out.
const RUNS: usize = 32;
/// Most characters of a command line, of a profile and of an output. Together with [`RUNS`] and the four bytes that
/// a character may take it stays below half a frame.
const ARGV: usize = 4096;
const PROFILE: usize = 1024;
const OUTPUT: usize = 1536;

/// Programs that were run for a request, in order.
#[derive(Debug, Default)]
pub(crate) struct Trail(Mutex<Vec<Run>>);

impl Trail {
    /// Adds a run that began at `at`.
    pub(super) fn add(&self, at: Timestamp, spec: &CommandSpec, outcome: Result<&Finished, &SandboxError>) {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if runs.len() >= RUNS {
            runs.remove(RUNS / 2);
        }
        runs.push(run(at, spec, outcome));
    }

    /// All runs.
    pub(crate) fn into_runs(self) -> Vec<Run> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

fn run(at: Timestamp, spec: &CommandSpec, outcome: Result<&Finished, &SandboxError>) -> Run {
    let run = Run {
        at,
        argv: argv(&spec.argv),
        profile: spec.profile.name().to_owned(),
        milliseconds: 0,
        ended: String::new(),
        exit_code: None,
        survivors_killed: 0,
        stdout: String::new(),
        stderr: String::new(),
    };
    match outcome {
        Err(error) => Run { ended: kept(&error.to_string(), PROFILE), ..run },
        Ok(finished) => Run {
            profile: match finished.confinement.profile.as_str() {
                "" => run.profile,
                _ => kept(&finished.confinement.to_string(), PROFILE),
            },
            milliseconds: u64::try_from(finished.duration.as_millis()).unwrap_or(u64::MAX),
            ended: ended(&finished.ended),
            exit_code: match finished.ended {
                Ended::Exited(code) => Some(code),
                _ => None,
            },
            survivors_killed: finished.survivors_killed,
            stdout: kept(&finished.stdout.text(), OUTPUT),
            stderr: kept(&finished.stderr.text(), OUTPUT),
            ..run
        },
    }
}

/// The command line, its last words left out where it is too long.
fn argv(words: &[String]) -> Vec<String> {
    let mut room = ARGV;
    let mut shown = Vec::new();
    for word in words {
        if room == 0 {
            shown.push("…".to_owned());
            break;
        }
        let clean = kept(word, usize::MAX);
        let mut word: String = clean.chars().take(room).collect();
        if word.len() < clean.len() {
            word.push('…');
        }
        room = room.saturating_sub(word.chars().count().max(1));
        shown.push(word);
    }
    shown
}

fn ended(ended: &Ended) -> String {
    match ended {
        Ended::Exited(code) => format!("exit code {code}"),
        Ended::Signaled(signal) => format!("signal {signal}"),
        Ended::TimedOut { killed: false } => "time limit".to_owned(),
        Ended::TimedOut { killed: true } => "time limit, with SIGKILL".to_owned(),
        Ended::Cancelled { .. } => "ended because the service stops".to_owned(),
        Ended::NotStarted { text, .. } => format!("not started: {}", kept(text, PROFILE)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use phoenix_protocol::executor::{Answer, Response, SignedToken};
    use phoenix_protocol::frame::{self, MAX_RESPONSE};
    use phoenix_sandbox::{Confinement, Output};

    use super::*;

    fn finished(ended: Ended, output: &str) -> Finished {
        Finished {
            ended,
            stdout: Output::whole(output.as_bytes()),
            stderr: Output::whole(output.as_bytes()),
            duration: Duration::from_millis(1234),
            survivors_killed: 2,
            survivors_left: 0,
            confinement: Confinement { profile: "strict".into(), ..Confinement::default() },
        }
    }

    #[test]
    fn a_run_is_told_with_its_end_and_without_keys() {
        let key = "-----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----";
        let spec = CommandSpec::new(["/bin/echo", key, "x"]);
        let at = Timestamp::from_unix(7);
        let seen = run(at, &spec, Ok(&finished(Ended::Exited(3), &format!("one\n{key}\ntwo"))));
        assert!(!serde_json::to_string(&seen).unwrap().contains("SECRET"), "{seen:?}");
        assert_eq!((seen.stdout.as_str(), seen.exit_code), ("one\n[PEM block left out]\ntwo", Some(3)));
        assert_eq!((seen.at, seen.milliseconds, seen.survivors_killed), (at, 1234, 2));
        assert_eq!(seen.argv, ["/bin/echo", "[PEM block left out]", "x"]);
        for (end, words) in [
            (Ended::Signaled(9), "signal 9"),
            (Ended::TimedOut { killed: true }, "time limit, with SIGKILL"),
            (Ended::NotStarted { errno: 2, text: "No such file".into() }, "not started: No such file"),
        ] {
            let seen = run(at, &spec, Ok(&finished(end, "")));
            assert_eq!((seen.ended.as_str(), seen.exit_code), (words, None));
        }
        let lost = SandboxError::Hung { program: "/bin/echo".into() };
        assert!(run(at, &spec, Err(&lost)).ended.contains("did not report"));
    }

    #[test]
    fn the_trail_of_any_request_fits_half_a_frame() {
        let trail = Trail::default();
        let noise = "\u{7f}\"\\\u{feff}".repeat(40_000);
        let mut words = vec![noise.clone(); 100];
        words.extend(vec![String::new(); 10_000]);
        let spec = CommandSpec::new(words);
        for number in 0..100 {
            trail.add(Timestamp::from_unix(number), &spec, Ok(&finished(Ended::Exited(0), &noise)));
        }
        let runs = trail.into_runs();
        assert_eq!((runs.len(), runs[0].at.unix(), runs[RUNS - 1].at.unix()), (RUNS, 0, 99));
        let answer = Answer::Token { token: SignedToken::new(String::new()), provisioner: String::new() };
        let response = Response { id: 1, result: Ok(answer), runs };
        frame::encode(&response, MAX_RESPONSE / 2).unwrap();
    }
}
