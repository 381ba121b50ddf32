//! Logging, and what systemd is told (sd_notify(3)).

use std::io::IsTerminal;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::engine::Message;
use crate::options::LogForm;

/// Starts logging. Without a wish: the journal's protocol when stderr is connected to the journal.
pub(crate) fn start_logging(form: Option<LogForm>) {
    let under_journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let form = form.unwrap_or(if under_journal { LogForm::Journal } else { LogForm::Text });
    let filter = EnvFilter::try_from_env("PHOENIX_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    let text = || {
        tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
    };
    // A second start (the demo plays several roles in one process) keeps the first.
    let _ = match form {
        LogForm::Text => registry.with(text()).try_init(),
        LogForm::Json => registry.with(text().json()).try_init(),
        LogForm::Journal => match tracing_journald::layer() {
            Ok(layer) => registry.with(layer).try_init(),
            Err(_) => registry.with(text()).try_init(),
        },
    };
}

/// Tells systemd something; does nothing elsewhere.
pub(crate) fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!("cannot notify systemd: {error}");
    }
}

/// Feeds the watchdog, if there is one, for as long as the engine makes progress.
pub(crate) async fn feed_watchdog(messages: mpsc::Sender<Message>, stop: CancellationToken) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let mut meals = tokio::time::interval((limit / 2).max(Duration::from_millis(100)));
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = meals.tick() => {}
        }
        let (reply, answer) = oneshot::channel();
        let asked = messages.send(Message::Ping(reply)).await;
        tokio::select! {
            () = stop.cancelled() => return,
            alive = answer => if asked.is_ok() && alive.is_ok() {
                tell(&[NotifyState::Watchdog]);
            }
        }
    }
}
