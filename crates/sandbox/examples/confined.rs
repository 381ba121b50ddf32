//! Runs a command under a confinement profile and tells what confined it and how it ended.
//!
//! ```text
//! confined plain|guest|strict [--hide PATH]… [--read PATH]… [--write PATH]… [--times N] -- PROGRAM ARGUMENT…
//! ```
//! With `--times` it runs that often, and the median time from order to report is told, beside that of a bare
//! start of the same program.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use phoenix_sandbox::{Cancel, CommandSpec, Ended, Guest, Profile, Runner, Strict, Supervised};

struct Options {
    profile: String,
    hide: Vec<String>,
    read: Vec<String>,
    write: Vec<String>,
    times: usize,
    argv: Vec<String>,
}

fn main() -> ExitCode {
    phoenix_sandbox::supervisor_main_if_asked();
    let Some(options) = options() else {
        eprintln!(
            "confined plain|guest|strict [--hide PATH] [--read PATH] [--write PATH] [--times N] -- PROGRAM ARGUMENT..."
        );
        return ExitCode::from(2);
    };
    let spec = CommandSpec::new(options.argv.clone()).profile(profile(&options));
    let mut times = Vec::new();
    let mut code = 0;
    for turn in 0..options.times {
        let started = Instant::now();
        match Supervised::current().run(&spec, &Cancel::never()) {
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::FAILURE;
            }
            Ok(finished) => {
                times.push(started.elapsed());
                if turn == 0 {
                    print!("{}", finished.stdout.text());
                    eprint!("{}", finished.stderr.text());
                    eprintln!("{:?}; {}", finished.ended, finished.confinement);
                }
                code = u8::from(finished.ended != Ended::Exited(0));
            }
        }
    }
    if options.times > 1 {
        let bare = (0..options.times).map(|_| bare(&options.argv)).collect();
        println!("median {:?}, bare {:?}", median(times), median(bare));
    }
    ExitCode::from(code)
}

fn options() -> Option<Options> {
    let mut words = std::env::args().skip(1);
    let mut options = Options {
        profile: words.next()?,
        hide: vec![],
        read: vec![],
        write: vec![],
        times: 1,
        argv: Vec::new(),
    };
    loop {
        match words.next()?.as_str() {
            "--hide" => options.hide.push(words.next()?),
            "--read" => options.read.push(words.next()?),
            "--write" => options.write.push(words.next()?),
            "--times" => options.times = words.next()?.parse().ok()?,
            "--" => break,
            _ => return None,
        }
    }
    options.argv = words.collect();
    Some(options)
}

fn profile(options: &Options) -> Profile {
    let hidden = options.hide.iter().map(Into::into).collect();
    match options.profile.as_str() {
        "guest" => Profile::Guest(Guest {
            hidden,
            writes: options.write.iter().map(Into::into).collect(),
            ..Guest::default()
        }),
        "strict" => {
            let reads = options.read.iter().map(Into::into).collect();
            let writes = options.write.iter().map(Into::into).collect();
            Profile::Strict(Strict { hidden, reads, writes, ..Strict::default() })
        }
        _ => Profile::Plain,
    }
}

fn bare(argv: &[String]) -> Duration {
    let started = Instant::now();
    if let [program, arguments @ ..] = argv {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Err(error) = command.status() {
            eprintln!("{error}");
        }
    }
    started.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
