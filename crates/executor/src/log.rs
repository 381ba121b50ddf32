//! The log, on standard error. Under the journal each line begins with its priority (sd-daemon(3)), so that
//! `journalctl -p warning` shows warnings; time and name are the journal's own.

use std::fmt;
use std::io::IsTerminal;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Starts logging.
pub(crate) fn start() {
    let builder = tracing_subscriber::fmt()
        .with_max_level(Level::INFO)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    if under_journal() {
        builder.event_format(Prioritized(Format::default().with_target(false).without_time())).init();
    } else {
        builder.init();
    }
}

/// Standard error is the stream that systemd has connected to the journal: `JOURNAL_STREAM` of systemd.exec(5).
fn under_journal() -> bool {
    let stream =
        rustix::fs::fstat(std::io::stderr()).map(|facts| format!("{}:{}", facts.st_dev, facts.st_ino));
    std::env::var("JOURNAL_STREAM").is_ok_and(|named| stream.is_ok_and(|stream| stream == named))
}

/// A format with the priority before it.
struct Prioritized(Format<Full, ()>);

impl<S, N> FormatEvent<S, N> for Prioritized
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(writer, "<{}>", priority(*event.metadata().level()))?;
        self.0.format_event(context, writer, event)
    }
}

/// As syslog(3) counts.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_begin_with_what_the_journal_calls_their_priority() {
        let (page, log) = (Page::default(), Format::default().with_target(false).without_time());
        let copy = page.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || copy.clone())
            .event_format(Prioritized(log))
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(entry = "web", "installed");
            tracing::warn!("careful");
            tracing::error!("broken");
        });
        let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text, "<6> INFO installed entry=\"web\"\n<4> WARN careful\n<3>ERROR broken\n");
    }
}
