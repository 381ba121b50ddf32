//! A client that makes all of its requests over as few connections as it can: one curl for all of them, HTTP/1.1.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};

use super::ask::Ask;

/// What came of the requests.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Requests made.
    pub asked: usize,
    /// Connections made for them.
    pub connections: usize,
    /// Requests without an answer as wanted, curl's line of each: status, connections, and what it says.
    pub failed: Vec<String>,
}

/// The client. It ends when this is dropped.
#[derive(Debug)]
pub struct KeptAlive {
    curl: Child,
    tally: Arc<Mutex<Tally>>,
    worker: Option<JoinHandle<()>>,
}

impl KeptAlive {
    /// Begins with some requests per second; an answer other than with this status is a failure. As every client that
    /// keeps connections must, curl asks once more over a new one when one ends before the answer begins.
    pub fn begin(ask: &Ask, wanted: u16) -> Result<Self> {
        let mut command = Command::new("curl");
        command.args(["--silent", "--http1.1", "--rate", "5/s", "--output", "/dev/null"]);
        command.args(["--write-out", "%{http_code} %{num_connects} %{errormsg}\n"]);
        command.args(ask.arguments()).arg(format!("{}?[1-100000]", ask.url()));
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut curl = command.spawn().context("cannot start curl")?;
        let lines = BufReader::new(curl.stdout.take().context("curl has no output")?).lines();
        let tally = Arc::new(Mutex::new(Tally::default()));
        let sums = Arc::clone(&tally);
        let worker = thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                sums.lock().unwrap_or_else(PoisonError::into_inner).add(line, wanted);
            }
        });
        Ok(Self { curl, tally, worker: Some(worker) })
    }

    /// What came of the requests.
    pub fn tally(&self) -> Tally {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Tally {
    fn add(&mut self, line: String, wanted: u16) {
        let mut words = line.split(' ');
        let good = words.next() == Some(&wanted.to_string());
        self.asked += 1;
        self.connections += words.next().and_then(|word| word.parse::<usize>().ok()).unwrap_or_default();
        if !good {
            self.failed.push(line);
        }
    }
}

impl Drop for KeptAlive {
    fn drop(&mut self) {
        let _ = self.curl.kill();
        let _ = self.curl.wait();
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}
