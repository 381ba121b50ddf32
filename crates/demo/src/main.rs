//! The whole system on one screen: an embedded CA, the daemon, the executor and a manifest like the operator's,
//! in a scratch directory, with certificates that live a minute or two.
//!
//! The same binary plays every role: it starts itself again as the daemon, and the daemon starts it as the
//! executor, both through their libraries.

mod control;
mod roles;
mod scene;
mod screen;
mod verdict;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval};

use control::status;
use roles::Daemon;
use scene::Scene;
use screen::Screen;
use verdict::Verdict;

/// Watch phoenix-certd issue, renew, run commands and retry, without installing anything.
#[derive(Debug, Parser)]
#[command(name = "phoenix-demo", version)]
struct Arguments {
    /// End after this time; exit code 0 only if everything was issued and renewed
    #[arg(long = "for", value_name = "DURATION", value_parser = phoenix_core::settings::parse_duration)]
    limit: Option<Duration>,

    /// Keep the scratch directory
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    phoenix_sandbox::supervisor_main_if_asked();
    if let Some(code) = roles::play_if_asked() {
        return code;
    }
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("phoenix-demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool> {
    // The only failure means that a provider is installed already, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(play(arguments))
}

async fn play(arguments: &Arguments) -> Result<bool> {
    let scene = Scene::build(arguments.limit).await?;
    let mut screen = Screen::new();
    Screen::opening(&scene);
    let mut daemon = Daemon::start(&scene)?;
    let mut verdict = Verdict::default();
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    let end = arguments.limit.map(|limit| Instant::now() + limit);
    let mut frames = interval(Duration::from_secs(1));
    frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            () = until(end) => break,
            ended = daemon.ended() => {
                anyhow::bail!("the daemon ended by itself ({ended}); its log:\n{}", scene.log());
            }
            _ = frames.tick() => {
                // The first frames may come before the daemon listens.
                if let Ok(document) = status(&scene.control_socket()).await {
                    verdict.see(&document);
                    screen.draw(&document, &verdict, &scene.commands_run());
                }
            }
        }
    }
    if let Ok(document) = status(&scene.control_socket()).await {
        verdict.see(&document);
    }
    daemon.stop().await?;
    scene.stop_ca().await;
    Screen::closing(&verdict, &scene.commands_run());
    let good = verdict.everything_renewed();
    if !good && arguments.limit.is_some() {
        eprintln!("the daemon's log:\n{}", scene.log());
    }
    if arguments.keep {
        println!("the scratch directory is {}", scene.keep().display());
    }
    Ok(good || arguments.limit.is_none())
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}
