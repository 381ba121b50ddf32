//! Durations, memory, sizes, and the table that shows them.

use std::fmt;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use phoenix_testkit::{peers, process};

/// A Markdown table of what was measured.
#[derive(Debug, Default)]
pub(super) struct Table(Vec<(String, String)>);

impl Table {
    /// Adds a line, and says it at once: a measurement takes a while.
    pub(super) fn add(&mut self, what: impl Into<String>, value: impl Into<String>) {
        let (what, value) = (what.into(), value.into());
        eprintln!("{what}: {value}");
        self.0.push((what, value));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| measured | value |\n|---|---|")?;
        self.0.iter().try_for_each(|(what, value)| writeln!(f, "| {what} | {value} |"))
    }
}

/// The value below which so many percent of the values lie (nearest rank).
pub(super) fn percentile(values: &[Duration], percent: usize) -> Duration {
    let mut sorted = values.to_vec();
    sorted.sort();
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// Milliseconds.
pub(super) fn milliseconds(time: Duration) -> String {
    let milliseconds = time.as_secs_f64() * 1000.0;
    if milliseconds < 10.0 { format!("{milliseconds:.2} ms") } else { format!("{milliseconds:.0} ms") }
}

/// How many per second.
pub(super) fn rate(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(f64::EPSILON)
}

/// Resident memory of a process, all of it and the part that is its own.
pub(super) fn memory(pid: u32) -> Result<String> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let mebibytes = |field: &str| -> Result<f64> {
        let line = text.lines().find_map(|line| line.strip_prefix(field));
        let number = line.and_then(|line| line.split_ascii_whitespace().nth(1));
        let kibibytes: f64 = number.with_context(|| format!("{path} has no {field}"))?.parse()?;
        Ok(kibibytes / 1024.0)
    };
    Ok(format!("{:.1} MiB, {:.1} MiB of it anonymous", mebibytes("VmRSS")?, mebibytes("RssAnon")?))
}

/// Processor time that a process and its ended children have used.
pub(super) fn processor_time(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    // proc(5): the short name may hold anything; utime, stime, cutime, cstime are fields 14 to 17.
    let fields = text.rsplit_once(')').with_context(|| format!("{path} is odd"))?.1.split_ascii_whitespace();
    let ticks: Vec<u64> = fields.skip(11).take(4).map(str::parse).collect::<Result<_, _>>()?;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Ok(Duration::from_secs(ticks.iter().sum()) / u32::try_from(per_second)?)
}

/// Processor time of the living threads of a process, to the nanosecond (sched-stats in the kernel's documentation:
/// the first number of `schedstat`).
pub(super) fn running_time(pid: u32) -> Result<Duration> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("no process {pid}"))? {
        // A thread may end meanwhile.
        let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        sum += text.split_ascii_whitespace().next().and_then(|first| first.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(sum))
}

/// What was built from how much.
pub(super) fn build<const N: usize>(table: &mut Table, programs: [&str; N]) -> Result<()> {
    let lock = peers::tree().join("Cargo.lock");
    let text = fs::read_to_string(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
    let crates = text.lines().filter(|line| *line == "[[package]]").count();
    let own = text.lines().filter(|line| line.starts_with("name = \"phoenix-")).count();
    table.add("crates in Cargo.lock", format!("{crates}, {own} of them our own"));
    for name in programs {
        let size = fs::metadata(process::bin(name)?)?.len() as f64 / f64::from(1 << 20);
        table.add(format!("size of {name}, release"), format!("{size:.1} MiB"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let values: Vec<Duration> = (1..=20).rev().map(Duration::from_secs).collect();
        let seconds = |percent| percentile(&values, percent).as_secs();
        assert_eq!([0, 50, 95, 100].map(seconds), [1, 10, 19, 20]);
        assert_eq!(percentile(&[], 50), Duration::ZERO);
    }

    #[test]
    fn the_table_is_markdown() {
        let mut table = Table::default();
        table.add("speed", "much");
        assert_eq!(table.to_string(), "| measured | value |\n|---|---|\n| speed | much |\n");
    }

    #[test]
    fn processor_time_of_a_process_is_read_and_never_falls() -> Result<()> {
        let me = std::process::id();
        let before = processor_time(me)?;
        assert!(processor_time(me)? >= before);
        Ok(())
    }

    #[test]
    fn running_time_of_a_process_is_read() -> Result<()> {
        assert!(running_time(std::process::id())? > Duration::ZERO);
        Ok(())
    }

    #[test]
    fn memory_of_a_process_is_read() -> Result<()> {
        let text = memory(std::process::id())?;
        assert!(text.contains("MiB of it anonymous") && !text.starts_with("0.0"), "{text}");
        Ok(())
    }
}
