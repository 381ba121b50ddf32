//! The configuration's tables, one after the other.

use std::net::SocketAddr;
use std::time::Duration;

use super::{ExecutorSettings, RenewalSettings, Schedule, Settings, issuer, program};
use crate::diagnostic::Severity;
use crate::diagnostic::fields::{Fields, duration, list, number, parsed, text, wrong_type};
use crate::diagnostic::report::{Problem, Reading, Report, Reported};
use crate::diagnostic::tree::{Kind, Table, Value};
use crate::name::{AbsolutePath, BadPath};

/// Keys outside all tables, and the names of the tables.
pub(super) const TOP: &[&str] =
    &["manifest", "state_dir", "control_socket", "executor", "issuer", "renewal", "metrics"];
/// Keys of `[executor]`.
pub(super) const EXECUTOR: &[&str] = &["socket", "state_dir", "target_roots", "commands", "program"];
/// Keys of `[renewal]`.
pub(super) const RENEWAL: &[&str] = &["concurrency", "sweep", "poll"];
/// Keys of `[metrics]`.
pub(super) const METRICS: &[&str] = &["listen"];

const MANIFEST: &str = "/usr/local/phoenix_hypervisor/etc/certificate-manifest.json";
const STATE_DIR: &str = "/var/lib/phoenix-certd";
const CONTROL_SOCKET: &str = "/run/phoenix-certd/control.sock";
const EXECUTOR_SOCKET: &str = "/run/phoenix-executor/executor.sock";
const EXECUTOR_STATE_DIR: &str = "/var/lib/phoenix-executor";
const COMMANDS: [&str; 2] = ["/usr/sbin/pct", "/usr/sbin/qm"];
/// Bytes of the path of a socket, its final NUL left out.
const LONGEST_SOCKET: usize = 107;
const SWEEP: &str = "*/15 * * * *";
const CONCURRENCY: u32 = 4;
const POLL: Duration = Duration::from_secs(30);

/// The settings.
pub(super) fn settings(root: &Table, length: usize, report: &mut Report) -> Result<Settings, Reported> {
    let mut fields = Fields::new(root, 0..length.min(1), "", Severity::Error, report);
    fields.check_keys(TOP, Severity::Error);
    let manifest = path_or(&mut fields, "manifest", MANIFEST);
    let state_dir = directory_or(&mut fields, "state_dir", STATE_DIR);
    let control_socket = socket_or(&mut fields, "control_socket", CONTROL_SOCKET);
    let executor = Part::of(root, "executor", report).and_then(|part| executor_of(&part, report));
    let renewal = Part::of(root, "renewal", report).and_then(|part| renewal_of(&part, report));
    let metrics = Part::of(root, "metrics", report).and_then(|part| metrics_of(&part, report));
    let commands = executor.as_ref().map_or(&[][..], |executor| &executor.commands);
    let issuers = issuer::issuers(root, length, commands, report);
    if let (Ok(socket), Ok(state_dir), Ok(executor)) = (&control_socket, &state_dir, &executor) {
        separate(root, socket, state_dir, executor, report);
    }
    Ok(Settings {
        manifest: manifest?,
        state_dir: state_dir?,
        control_socket: control_socket?,
        executor: executor?,
        issuers: issuers?,
        renewal: renewal?,
        metrics: metrics?,
    })
}

/// A table of the file, empty when it is absent.
struct Part<'t> {
    key: &'t str,
    table: std::borrow::Cow<'t, Table>,
    span: std::ops::Range<usize>,
}

impl<'t> Part<'t> {
    fn of(root: &'t Table, key: &'t str, report: &mut Report) -> Result<Self, Reported> {
        let Some(value) = root.get(key) else {
            return Ok(Self { key, table: std::borrow::Cow::Owned(Table::default()), span: 0..0 });
        };
        if let Kind::Table(table) = &value.kind {
            return Ok(Self { key, table: std::borrow::Cow::Borrowed(table), span: value.span.clone() });
        }
        let problem = wrong_type(value, "a table", format!("write [{key}], and its keys on the lines below"));
        Fields::new(root, 0..0, "", Severity::Error, report).report(key, problem);
        Err(Reported)
    }

    fn fields<'r>(&self, known: &[&str], report: &'r mut Report) -> Fields<'_, 'r> {
        let mut fields = Fields::new(&self.table, self.span.clone(), self.key, Severity::Error, report);
        fields.check_keys(known, Severity::Error);
        fields
    }
}

fn executor_of(part: &Part<'_>, report: &mut Report) -> Result<ExecutorSettings, Reported> {
    let mut fields = part.fields(EXECUTOR, report);
    let socket = socket_or(&mut fields, "socket", EXECUTOR_SOCKET);
    let state_dir = directory_or(&mut fields, "state_dir", EXECUTOR_STATE_DIR);
    let roots = fields.require(
        "target_roots",
        "name the directories below which certificates may be written, such as [\"/mnt/pve/quickOS\"]",
        filled(list(parsed(directory_path))),
    );
    let commands = fields.optional("commands", list(parsed(program_path)));
    let commands = commands.map(|given| given.unwrap_or_else(|| known(COMMANDS)));
    let programs = program::programs(&mut fields, commands.as_deref().ok());
    let commands = commands?;
    let settings = ExecutorSettings {
        socket: socket?,
        state_dir: state_dir?,
        target_roots: roots?,
        commands,
        programs: programs?,
    };
    program::check_openings(&mut fields, &settings);
    Ok(settings)
}

fn renewal_of(part: &Part<'_>, report: &mut Report) -> Result<RenewalSettings, Reported> {
    let mut fields = part.fields(RENEWAL, report);
    let concurrency = or(&mut fields, "concurrency", CONCURRENCY, number(1..=64));
    let sweep = or(&mut fields, "sweep", SWEEP.to_owned(), |value| {
        let expression = text(value)?;
        Schedule::parse(expression).map_err(|error| Problem::plain(error.to_string()))?;
        Ok(expression.to_owned())
    });
    let poll = or(&mut fields, "poll", POLL, duration);
    Ok(RenewalSettings { concurrency: concurrency? as usize, sweep: sweep?, poll: poll? })
}

fn metrics_of(part: &Part<'_>, report: &mut Report) -> Result<Option<SocketAddr>, Reported> {
    part.fields(METRICS, report).optional("listen", parsed(socket_address))
}

/// Sockets and state of the two processes must not share a directory: each is made for one owner.
fn separate(
    root: &Table,
    control_socket: &AbsolutePath,
    state_dir: &AbsolutePath,
    executor: &ExecutorSettings,
    report: &mut Report,
) {
    let mut fields = Fields::new(root, 0..0, "", Severity::Error, report);
    if control_socket.parent() == executor.socket.parent() {
        fields.report(
            "executor",
            Problem::new(
                format!("the sockets {} and {} share a directory", control_socket, executor.socket),
                "give the executor's socket a directory of its own: the daemon may write to its own one",
            ),
        );
    }
    let (daemon, executor) = (state_dir.as_path(), executor.state_dir.as_path());
    if daemon.starts_with(executor) || executor.starts_with(daemon) {
        fields.report(
            "executor",
            Problem::new(
                format!(
                    "the state directories {} and {} lie in each other",
                    daemon.display(),
                    executor.display()
                ),
                "give each process a state directory of its own: the executor's holds private keys",
            ),
        );
    }
}

/// The value of `key`, or `default` when it is absent.
fn or<T>(
    fields: &mut Fields<'_, '_>,
    key: &str,
    default: T,
    read: impl FnOnce(&Value) -> Reading<T>,
) -> Result<T, Reported> {
    Ok(fields.optional(key, read)?.unwrap_or(default))
}

fn path_or(fields: &mut Fields<'_, '_>, key: &str, default: &str) -> Result<AbsolutePath, Reported> {
    let given = fields.optional(key, parsed(str::parse))?;
    given.or_else(|| default.parse().ok()).ok_or(Reported)
}

fn socket_or(fields: &mut Fields<'_, '_>, key: &str, default: &str) -> Result<AbsolutePath, Reported> {
    let given = fields.optional(key, parsed(socket_path))?;
    given.or_else(|| default.parse().ok()).ok_or(Reported)
}

/// A socket's path has to fit into an address (`sun_path`, unix(7)).
fn socket_path(text: &str) -> Result<AbsolutePath, String> {
    if text.len() > LONGEST_SOCKET {
        return Err(format!(
            "the path has {} bytes, and that of a socket at most {LONGEST_SOCKET}: choose a shorter one",
            text.len()
        ));
    }
    text.parse().map_err(|error: BadPath| error.to_string())
}

fn directory_or(fields: &mut Fields<'_, '_>, key: &str, default: &str) -> Result<AbsolutePath, Reported> {
    let given = fields.optional(key, parsed(directory_path))?;
    given.or_else(|| default.parse().ok()).ok_or(Reported)
}

/// Paths of this program's own, which are good.
fn known<const N: usize>(paths: [&str; N]) -> Vec<AbsolutePath> {
    paths.iter().filter_map(|path| path.parse().ok()).collect()
}

/// A directory may be written with a slash at its end.
pub(super) fn directory_path(text: &str) -> Result<AbsolutePath, String> {
    match text.trim_end_matches('/') {
        "" if text.starts_with('/') => {
            Err("`/` is the whole machine: name the directories below it".to_owned())
        }
        trimmed => trimmed.parse().map_err(|error: BadPath| error.to_string()),
    }
}

fn program_path(text: &str) -> Result<AbsolutePath, String> {
    text.parse().map_err(|error| match error {
        BadPath::Relative(_) => {
            format!("`{text}` is not absolute: PATH is never searched, write its full path")
        }
        error => error.to_string(),
    })
}

pub(super) fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("`{text}` is not an address with a port, such as 127.0.0.1:9464"))
}

/// An array with at least one item.
pub(super) fn filled<T>(
    read: impl FnOnce(&Value) -> Reading<Vec<T>>,
) -> impl FnOnce(&Value) -> Reading<Vec<T>> {
    move |value| {
        let items = read(value)?;
        if items.is_empty() {
            return Err(Problem::new("this list is empty", "name at least one").into());
        }
        Ok(items)
    }
}
