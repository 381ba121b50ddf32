//! `qm` (qm(1)): `status`, `guest exec`, `guest exec-status`, `guest cmd ID ping`.
//!
//! `qm guest exec` ends with exit status 0 whatever the guest's command did; what happened is in the JSON that
//! it prints, with sorted keys and with 1 and 0 for true and false.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::answer::{Answer, Ended};
use super::root::{GuestRoot, hung_up};
use super::server::Asked;
use super::{Fault, Kind, Shared, no_such};

const MAX_STDIN: usize = 1 << 20;
const SOME_PID: u32 = 4711;
const FROZEN: &str = "Agent error: Command guest-exec has been disabled: the agent is in frozen state\n";

/// What the stand-in is told; none when it is never answered.
pub(super) fn answer(asked: &Asked, shared: &Shared) -> Option<Answer> {
    let argv: Vec<&str> = asked.call.argv.iter().map(String::as_str).collect();
    match argv.as_slice() {
        ["status", id, ..] => Some(match lookup(shared, id) {
            Ok((_, Some((Fault::Off, _)))) => Answer::say("status: stopped\n"),
            Ok((_, Some((Fault::Locked, _)))) => Answer::say("lock: backup\nstatus: running\n"),
            Ok(_) => Answer::say("status: running\n"),
            Err(answer) => answer,
        }),
        ["agent" | "guest", id, "ping"] | ["guest", "cmd", id, "ping"] => {
            Some(reach(shared, id).map_or_else(|answer| answer, |_| Answer::say("")))
        }
        ["guest", "exec-status", id, _pid] => {
            Some(reach(shared, id).map_or_else(|answer| answer, |_| Answer::say("{\n   \"exited\" : 0\n}\n")))
        }
        ["guest", "exec", rest @ ..] => exec(asked, shared, rest),
        _ => Some(Answer::fail(255, format!("ERROR: unknown command 'qm {}'\n", argv.join(" ")))),
    }
}

type Reached = (GuestRoot, Option<(Fault, String)>);

fn lookup(shared: &Shared, id: &str) -> Result<Reached, Answer> {
    let Ok(id) = id.parse::<u32>() else {
        return Err(Answer::fail(255, "400 Parameter verification failed.\nvmid: type check failed\n"));
    };
    let state = shared.state();
    let guest = state.guests.get(&id).filter(|guest| guest.kind == Kind::Vm);
    guest
        .map(|guest| (guest.root.clone(), guest.fault.clone()))
        .ok_or_else(|| Answer::fail(2, no_such(Kind::Vm, id)))
}

/// The guest, if its agent answers.
fn reach(shared: &Shared, id: &str) -> Result<Reached, Answer> {
    let (root, fault) = lookup(shared, id)?;
    match fault {
        Some((Fault::Off, _)) => Err(Answer::fail(255, format!("VM {id} is not running\n"))),
        Some((Fault::NoAgent, _)) => Err(Answer::fail(255, "QEMU guest agent is not running\n")),
        Some((Fault::Locked, _)) => Err(Answer::fail(255, FROZEN)),
        fault => Ok((root, fault)),
    }
}

/// Options and command of `qm guest exec`.
struct Wanted {
    id: String,
    command: Vec<String>,
    options: BTreeMap<String, String>,
}

impl Wanted {
    /// Options may stand before and after the VMID; everything after `--` is the command.
    fn parse(words: &[&str]) -> Option<Self> {
        let (mut plain, mut options) = (Vec::new(), BTreeMap::new());
        let mut words = words.iter().peekable();
        while let Some(word) = words.next() {
            if *word == "--" {
                plain.extend(words.by_ref().map(|word| (*word).to_owned()));
            } else if let Some(option) = word.strip_prefix('-').filter(|_| plain.len() < 2) {
                let option = option.trim_start_matches('-');
                let (name, inline) =
                    option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
                let number = words.next_if(|next| inline.is_none() && next.parse::<u32>().is_ok()).copied();
                options.insert(name.to_owned(), inline.or(number).unwrap_or("1").to_owned());
            } else {
                plain.push((*word).to_owned());
            }
        }
        let (id, command) = plain.split_first()?;
        Some(Self { id: id.clone(), command: command.to_vec(), options })
    }

    fn is(&self, option: &str) -> bool {
        self.options.get(option).is_some_and(|value| value == "1")
    }
}

fn exec(asked: &Asked, shared: &Shared, words: &[&str]) -> Option<Answer> {
    let Some(wanted) = Wanted::parse(words) else {
        return Some(Answer::fail(255, "400 not enough arguments\n"));
    };
    let (root, fault) = match reach(shared, &wanted.id) {
        Ok(reached) => reached,
        Err(answer) => return Some(answer),
    };
    let stdin = if wanted.is("pass-stdin") { asked.stdin.as_slice() } else { &[] };
    if stdin.len() > MAX_STDIN {
        return Some(Answer::fail(255, "'input-data' (STDIN) is limited to 1 MiB, aborting\n"));
    }
    match fault.filter(|(_, only)| wanted.command.join(" ").contains(only)).map(|(fault, _)| fault) {
        Some(Fault::Exit(code)) => return Some(tell(&Ended { code: Some(code), ..Ended::default() })),
        Some(Fault::Signal(signal)) => {
            return Some(tell(&Ended { signal: Some(signal), ..Ended::default() }));
        }
        Some(Fault::PidOnly) => return Some(pid_only()),
        Some(Fault::Hang) => {
            while !hung_up(&asked.caller) && !shared.state().closed {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            return None;
        }
        _ => {}
    }
    // The agent is not below the caller: a killed `qm` leaves its command running.
    match root.run(&wanted.command, &BTreeMap::new(), stdin, &shared.running, None) {
        Ok(Some(ended)) if ended.code == Some(127) && is_missing(&ended.stderr) => {
            let program = wanted.command.first().map_or("", String::as_str);
            let text = format!(
                "Agent error: Failed to execute child process “{program}” (No such file or directory)\n"
            );
            Some(Answer::fail(255, text))
        }
        Ok(ended) => ended.map(|ended| tell(&ended)),
        Err(error) => Some(Answer::fail(255, format!("{error:#}\n"))),
    }
}

/// The words of chroot(1) and env(1) for a program that is not there.
fn is_missing(stderr: &[u8]) -> bool {
    stderr.starts_with(b"chroot: failed to run command") || stderr.starts_with(b"env: ")
}

fn pid_only() -> Answer {
    let stdout = format!("{{\n   \"pid\" : {SOME_PID}\n}}\n").into_bytes();
    Answer { stdout, stderr: b"timeout reached, returning pid\n".to_vec(), ..Answer::default() }
}

/// Exit status 0 and the facts as JSON.
fn tell(ended: &Ended) -> Answer {
    let quote = |bytes: &[u8]| serde_json::Value::from(String::from_utf8_lossy(bytes)).to_string();
    let mut members = Vec::new();
    if !ended.stderr.is_empty() {
        members.push(("err-data", quote(&ended.stderr)));
    }
    if let Some(code) = ended.code {
        members.push(("exitcode", code.to_string()));
    }
    members.push(("exited", "1".to_owned()));
    if !ended.stdout.is_empty() {
        members.push(("out-data", quote(&ended.stdout)));
    }
    if let Some(signal) = ended.signal {
        members.push(("signal", signal.to_string()));
    }
    let mut text = String::from("{");
    for (place, (name, value)) in members.iter().enumerate() {
        let comma = if place == 0 { "" } else { "," };
        let _ = write!(text, "{comma}\n   \"{name}\" : {value}");
    }
    text.push_str("\n}\n");
    Answer { good: ended.code == Some(0), ..Answer::say(text) }
}
