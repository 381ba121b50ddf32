//! strace(1) as the hand that kills: it counts the system calls of a thread, and at the n-th call of a name it
//! ends the process, or lets the call fail.
//!
//! strace keeps one counter for each thread and name. A point is therefore a thread, a name and a number, found
//! in a run that is only watched.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use phoenix_testkit::{patience, process};
use rustix::process::Signal;

/// Calls that can change a disk. The question mark is for those that a processor does not have.
const CHANGES: &str = "?open,openat,?creat,?mkdir,mkdirat,write,writev,pwrite64,pwritev,fsync,fdatasync,\
    ?chown,fchown,fchownat,?chmod,fchmod,fchmodat,?rename,?renameat,renameat2,?unlink,?rmdir,unlinkat,\
    truncate,ftruncate,fallocate,?link,linkat,?symlink,symlinkat,copy_file_range,sendfile,setxattr,fsetxattr,\
    utimensat";

/// How long strace may take to end.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Whom to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    /// These threads alone.
    Threads(Vec<u32>),
    /// All threads of this process, those that it makes later too.
    Process(u32),
}

/// What happens at the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The process is killed before the call.
    Killed,
    /// The call fails with this error, and changes nothing.
    Fails(&'static str),
    /// It and all later calls of its name fail.
    FailsFromNowOn(&'static str),
}

/// A system call of a kind that can change a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// Thread that made it; only meaningful in the run that was watched.
    pub(crate) thread: u32,
    /// Its name.
    pub(crate) name: String,
    /// Its number among the thread's calls of that name, from one.
    pub(crate) number: usize,
    /// It changes the executor's state or a live file: it is no reading, and no word on a socket or in a log.
    pub(crate) changes: bool,
    /// As strace shows it, without content.
    pub(crate) line: String,
}

/// A strace that is attached. Detaches when it is dropped.
pub(crate) struct Strace {
    child: Child,
    log: PathBuf,
    /// Kept open: strace ends when nobody hears it.
    _said: BufReader<ChildStderr>,
}

impl Strace {
    /// Watches only.
    pub(crate) fn watch(whom: Whom, log: &Path) -> Result<Self> {
        Self::attach(whom, log, &[])
    }

    /// Makes this happen at this call.
    pub(crate) fn strike(whom: Whom, log: &Path, call: &Call, fate: Fate) -> Result<Self> {
        let (how, more) = match fate {
            Fate::Killed => ("signal=KILL".to_owned(), ""),
            Fate::Fails(error) => (format!("error={error}"), ""),
            Fate::FailsFromNowOn(error) => (format!("error={error}"), "+"),
        };
        let inject = format!("inject={}:{how}:when={}{more}", call.name, call.number);
        Self::attach(whom, log, &["-e", &inject])
    }

    fn attach(whom: Whom, log: &Path, more: &[&str]) -> Result<Self> {
        let (follow, targets) = match whom {
            Whom::Threads(threads) => (None, threads),
            Whom::Process(process) => (Some("-f"), vec![process]),
        };
        let attached = targets.len();
        // What an earlier one has written says nothing.
        fs::write(log, "")?;
        let mut child = Command::new("strace")
            .args(follow)
            .args(["-y", "-s", "0", "-e", &format!("trace={CHANGES}")])
            .args(more)
            .args(targets.iter().map(|target| format!("-p{target}")))
            .arg("-o")
            .arg(log)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start strace: is its Debian package installed?")?;
        let mut said = BufReader::new(child.stderr.take().context("its words were asked for")?);
        for _ in 0..attached {
            let mut line = String::new();
            said.read_line(&mut line)?;
            ensure!(line.contains("attached"), "strace does not attach: {line}");
        }
        Ok(Self { child, log: log.to_path_buf(), _said: said })
    }

    /// Lets go, and tells the calls in their order.
    pub(crate) fn calls(mut self, place: &Path) -> Result<Vec<Call>> {
        self.detach();
        calls(&self.log, place)
    }

    /// Whether the call was ever made. `gone`: the process is dead or dying.
    pub(crate) fn has_struck(mut self, gone: bool) -> Result<bool> {
        if gone {
            // It ends with the last thread; told to end while threads are dying, it may wait for them for ever.
            patience::until_or(LAST_WORDS, || self.child.try_wait().ok().flatten());
        }
        self.detach();
        let text = fs::read_to_string(&self.log).context("strace has written nothing")?;
        Ok(text.contains("(INJECTED)") || text.contains("killed by SIGKILL"))
    }

    fn detach(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let _ = process::signal(self.child.id(), Signal::TERM);
        if patience::until_or(LAST_WORDS, || self.child.try_wait().ok().flatten()).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        self.detach();
    }
}

/// A command that runs a program, whose name and arguments are to follow, and watches its first thread alone: what
/// that does to `paths`. At the call `strike` the program is killed; calls that do nothing to `paths` do not count.
pub(crate) fn under(log: &Path, paths: &[PathBuf], strike: Option<&Call>) -> Command {
    let mut command = Command::new("strace");
    command.args(["-y", "-s", "0", "-e", &format!("trace={CHANGES}")]).arg("-o").arg(log);
    for path in paths {
        command.arg("-P").arg(path);
    }
    if let Some(call) = strike {
        command.args(["-e", &format!("inject={}:signal=KILL:when={}", call.name, call.number)]);
    }
    command.arg("--");
    command
}

/// The calls that a strace has written down, in their order.
pub(crate) fn calls(log: &Path, place: &Path) -> Result<Vec<Call>> {
    let text = fs::read_to_string(log).context("strace has written nothing")?;
    Ok(parse(&text, &place.display().to_string()))
}

fn parse(text: &str, place: &str) -> Vec<Call> {
    let mut counts: BTreeMap<(u32, String), usize> = BTreeMap::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        let (thread, rest) = match line.split_once(' ') {
            Some((first, rest)) if first.parse::<u32>().is_ok() => (first.parse().unwrap_or(0), rest.trim()),
            _ => (0, line),
        };
        let Some((name, arguments)) = rest.split_once('(') else { continue };
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            continue;
        }
        let number = counts.entry((thread, name.to_owned())).or_default();
        *number += 1;
        let opens = matches!(name, "open" | "openat");
        let durable =
            ["/state/", "/target/"].iter().any(|below| arguments.contains(&format!("{place}{below}")));
        let changes = durable && (!opens || arguments.contains("O_CREAT"));
        let line = rest.replace(place, "");
        calls.push(Call { thread, name: name.to_owned(), number: *number, changes, line });
    }
    calls
}

/// A strike on the whole process would hit another thread first, which gets to the same number of the same name
/// before.
pub(crate) fn is_shadowed(calls: &[Call], index: usize) -> bool {
    let Some(call) = calls.get(index) else { return false };
    calls
        .iter()
        .take(index)
        .any(|other| other.thread != call.thread && other.name == call.name && other.number == call.number)
}

#[test]
fn a_watched_run_is_understood() {
    let text = concat!(
        "71 openat(AT_FDCWD</>, \"/etc/hosts\", O_RDONLY) = 3</etc/hosts>\n",
        "72 openat(4</p/state/a>, \".new-1\", O_WRONLY|O_CREAT|O_EXCL, 0600) = 5</p/state/a/.new-1>\n",
        "71 openat(4</p/state/a>, \".new-2\", O_WRONLY|O_CREAT|O_EXCL, 0600) = 5</p/state/a/.new-2>\n",
        "71 write(6<socket:[9]>, \"\"..., 10) = 10\n",
        "71 write(5</p/state/a/.new-2>, \"\"..., 10 <unfinished ...>\n",
        "71 <... write resumed>) = 10\n",
        "72 write(5</p/state/a/.new-1>, \"\"..., 10) = 10\n",
        "72 write(5</p/state/a/.new-1>, \"\"..., 10) = 10\n",
        "71 +++ exited with 0 +++\n",
    );
    let calls = parse(text, "/p");
    let seen: Vec<_> =
        calls.iter().map(|call| (call.thread, call.name.as_str(), call.number, call.changes)).collect();
    let expected = [
        (71, "openat", 1, false),
        (72, "openat", 1, true),
        (71, "openat", 2, true),
        (71, "write", 1, false),
        (71, "write", 2, true),
        (72, "write", 1, true),
        (72, "write", 2, true),
    ];
    assert_eq!(seen, expected);
    let shadowed: Vec<usize> = (0..calls.len()).filter(|index| is_shadowed(&calls, *index)).collect();
    assert_eq!(shadowed, [1, 5, 6]);
}
