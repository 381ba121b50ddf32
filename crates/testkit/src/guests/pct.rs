//! `pct` (pct(1)): `status`, `exec`, `push`.

use std::collections::BTreeMap;

use super::answer::Answer;
use super::root::{GuestRoot, hung_up};
use super::server::Asked;
use super::{Fault, Kind, Shared, no_such};

/// What the stand-in is told; none when it is never answered.
pub(super) fn answer(asked: &Asked, shared: &Shared) -> Option<Answer> {
    let argv = &asked.call.argv;
    let (Some(verb), Some(id)) = (argv.first(), argv.get(1).and_then(|word| word.parse::<u32>().ok())) else {
        return Some(Answer::fail(255, "400 not enough arguments\n"));
    };
    let known = {
        let state = shared.state();
        let guest = state.guests.get(&id).filter(|guest| guest.kind == Kind::Lxc);
        guest.map(|guest| (guest.root.clone(), guest.fault.clone()))
    };
    let Some((root, fault)) = known else { return Some(Answer::fail(2, no_such(Kind::Lxc, id))) };
    let off = matches!(fault, Some((Fault::Off | Fault::Locked, _)));
    let lock = if matches!(fault, Some((Fault::Locked, _))) { "lock: backup\n" } else { "" };
    match verb.as_str() {
        "status" => Some(Answer::say(format!("{lock}status: {}\n", if off { "stopped" } else { "running" }))),
        "exec" if off => Some(Answer::fail(255, format!("container '{id}' not running!\n"))),
        "exec" => exec(asked, shared, &root, fault),
        "push" if off => Some(Answer::fail(255, "can only push files to a running CT\n")),
        "push" => Some(push(asked, &root)),
        _ => Some(Answer::fail(255, format!("ERROR: unknown command 'pct {verb}'\n"))),
    }
}

fn exec(asked: &Asked, shared: &Shared, root: &GuestRoot, fault: Option<(Fault, String)>) -> Option<Answer> {
    let words = &asked.call.argv[2..];
    let keeps = |pair: &[String]| pair[0].trim_start_matches('-') == "keep-env" && pair[1] == "0";
    let clear = words.windows(2).take(1).any(keeps);
    let command = words.iter().position(|word| word == "--").map_or(words, |at| &words[at + 1..]);
    if command.is_empty() {
        return Some(Answer::fail(255, "400 not enough arguments\n"));
    }
    match fault.filter(|(_, only)| command.join(" ").contains(only)).map(|(fault, _)| fault) {
        Some(Fault::Exit(exit)) => return Some(Answer { exit, good: exit == 0, ..Answer::default() }),
        Some(Fault::Signal(signal)) => return Some(Answer { signal, ..Answer::default() }),
        Some(Fault::Hang) => {
            while !hung_up(&asked.caller) && !shared.state().closed {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            return None;
        }
        _ => {}
    }
    let env = if clear { BTreeMap::new() } else { asked.call.env.clone() };
    match root.run(command, &env, &asked.stdin, &shared.running, Some(&asked.caller)) {
        Ok(ended) => ended.map(|ended| Answer {
            good: ended.code == Some(0),
            exit: ended.code.unwrap_or_else(|| 128 + ended.signal.unwrap_or_default()),
            stdout: ended.stdout,
            stderr: ended.stderr,
            signal: 0,
        }),
        Err(error) => Some(Answer::fail(255, format!("{error:#}\n"))),
    }
}

fn push(asked: &Asked, root: &GuestRoot) -> Answer {
    let (mut mode, mut user, mut group) = (0o644, None, None);
    let mut paths = Vec::new();
    let mut words = asked.call.argv[2..].iter().map(String::as_str);
    while let Some(word) = words.next() {
        let Some(option) = word.strip_prefix('-') else {
            paths.push(word);
            continue;
        };
        let (name, inline) = option.trim_start_matches('-').split_once('=').unzip();
        let Some(value) = inline.or_else(|| words.next()) else {
            return Answer::fail(255, "400 missing value\n");
        };
        match name.unwrap_or(option.trim_start_matches('-')) {
            "perms" => mode = u32::from_str_radix(value, 8).unwrap_or(mode),
            "user" => user = Some(value),
            "group" => group = Some(value),
            other => return Answer::fail(255, format!("400 unable to parse option {other}\n")),
        }
    }
    let (Some(content), [source, to]) = (&asked.file, paths.as_slice()) else {
        return Answer::fail(255, format!("failed to open source file: {paths:?}\n"));
    };
    match root.push(to, content, mode, (user, group)) {
        Ok(()) => Answer::say(""),
        Err(error) => Answer::fail(255, format!("failed to create file: {to} from {source}: {error:#}\n")),
    }
}
