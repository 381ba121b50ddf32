//! `cargo xtask simulate`: certificates under virtual time, in a release build unless told otherwise.
//!
//! Without `--seed` every run is another one. `--seconds` takes short and wild worlds, seed after seed, instead of
//! one long one: that is what finds most.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use phoenix_testkit::dice::Dice;
use phoenix_testkit::simulation::{Activity, Figures, Plan, simulate};

use crate::shell::{self, command};

const DAY: Duration = Duration::from_secs(86_400);

#[derive(Args)]
pub(crate) struct Options {
    /// What all randomness follows from
    #[arg(long)]
    seed: Option<u64>,
    /// Virtual time, in years
    #[arg(long, default_value_t = 1)]
    years: u32,
    /// Entries of the manifest
    #[arg(long, default_value_t = 1000)]
    certs: usize,
    /// Run short worlds of a few entries for so long instead, each with the next seed
    #[arg(long, conflicts_with_all = ["years", "certs"])]
    seconds: Option<u64>,
    /// Run one short world of this seed
    #[arg(long, conflicts_with_all = ["years", "certs", "seconds"], requires = "seed")]
    short: bool,
    /// Run as built now instead of making a release build first
    #[arg(long)]
    as_built: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(options.certs > 0, "--certs: nothing is to be simulated for no certificates");
    if !options.as_built {
        return run_released();
    }
    let seed = options.seed.unwrap_or_else(|| Dice::fresh().seed());
    let start = Instant::now();
    let (figures, what) = match options.seconds {
        _ if options.short => (simulate(&Plan::wild(seed))?, format!("seed {seed}")),
        Some(seconds) => many(seed, start + Duration::from_secs(seconds))?,
        None => {
            let plan = Plan::fleet(seed, options.certs, DAY * 365 * options.years, DAY);
            (simulate(&plan)?, format!("seed {seed}"))
        }
    };
    report(&figures, &what, start.elapsed());
    Ok(())
}

/// The same with everything built for speed.
fn run_released() -> Result<()> {
    let arguments = ["run", "--quiet", "--release", "--package", "xtask", "--"];
    let given = std::env::args().skip(1);
    let mut cargo = command("cargo", arguments);
    cargo.args(given).arg("--as-built");
    shell::run(&mut cargo)
}

/// Seed after seed on every processor until then.
fn many(first: u64, until: Instant) -> Result<(Figures, String)> {
    let next = AtomicU64::new(0);
    let one = || -> Result<Figures> {
        let mut all = Figures::default();
        while Instant::now() < until {
            all += simulate(&Plan::wild(first.wrapping_add(next.fetch_add(1, Ordering::Relaxed))))?;
        }
        Ok(all)
    };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let all = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..processors).map(|_| scope.spawn(one)).collect();
        let ended = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        let mut all = Figures::default();
        for figures in ended.collect::<Vec<Result<Figures>>>() {
            all += figures?;
        }
        anyhow::Ok(all)
    })?;
    Ok((all, format!("{} seeds from {first}", next.into_inner())))
}

fn report(figures: &Figures, what: &str, took: Duration) {
    let (years, seconds) = (figures.years(), took.as_secs_f64());
    println!("{what}: nothing went wrong in {years:.1} certificate-years ({seconds:.1} s)");
    println!("  {:.1} certificate-years per second", years / seconds);
    println!(
        "  {} decisions, {} certificates issued, {} installed, {} rolled back, {} put to use by {} runs of commands, \
         {} troubles, {} deaths of a process",
        figures.steps,
        figures.issued,
        figures.installed,
        figures.rolled_back,
        figures.commands,
        figures.runs,
        figures.troubles,
        figures.crashes
    );
    let worlds = |activity: Activity| format!("{activity:?} {}", figures.activities.worlds(activity));
    println!("  worlds: {}; with {}", figures.worlds, Activity::ALL.map(worlds).join(", "));
}
