//! What to run.

use std::fmt;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::profile::Profile;

/// `PATH` of a command whose environment does not name another.
pub const DEFAULT_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// One command: program, arguments, environment, input and limits.
///
/// What is not named here is the same for every command: working directory `/`, umask 0022, default signal
/// dispositions, no inherited descriptors, a session and process group of its own, `no_new_privs`.
#[derive(Clone, PartialEq, Eq)]
pub struct CommandSpec {
    /// Program and arguments. The program is an absolute path; `PATH` is never searched.
    pub argv: Vec<String>,
    /// The whole environment, except that [`DEFAULT_PATH`] is added when `PATH` is not among it.
    pub env: Vec<(String, String)>,
    /// Bytes for standard input, which is closed after them. `None` is `/dev/null`.
    pub stdin: Option<Zeroizing<Vec<u8>>>,
    /// How long it may run before it is ended.
    pub timeout: Duration,
    /// How long it has between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// How many bytes are kept of each output stream: the first and the last half of it.
    pub output_limit: usize,
    /// How far it is confined beyond that.
    pub profile: Profile,
}

impl CommandSpec {
    /// Default of [`CommandSpec::timeout`].
    pub const TIMEOUT: Duration = Duration::from_secs(60);
    /// Default of [`CommandSpec::grace`].
    pub const GRACE: Duration = Duration::from_secs(5);
    /// Default of [`CommandSpec::output_limit`].
    pub const OUTPUT_LIMIT: usize = 64 * 1024;

    /// A command with an empty environment, no input and the default limits.
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            stdin: None,
            timeout: Self::TIMEOUT,
            grace: Self::GRACE,
            output_limit: Self::OUTPUT_LIMIT,
            profile: Profile::Plain,
        }
    }

    /// Sets the time limit.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Sets the time between SIGTERM and SIGKILL.
    pub fn grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// Sets how many bytes are kept of each output stream.
    pub fn output_limit(self, output_limit: usize) -> Self {
        Self { output_limit, ..self }
    }

    /// Sets what the command reads on standard input.
    pub fn stdin(self, bytes: impl Into<Zeroizing<Vec<u8>>>) -> Self {
        Self { stdin: Some(bytes.into()), ..self }
    }

    /// Sets how far it is confined.
    pub fn profile(self, profile: Profile) -> Self {
        Self { profile, ..self }
    }

    /// Adds one environment variable.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// The program, for messages.
    pub fn program(&self) -> &str {
        self.argv.first().map_or("", String::as_str)
    }

    /// Why this cannot be run at all, in words.
    pub(crate) fn defect(&self) -> Option<String> {
        if self.argv.is_empty() {
            return Some("the command is empty".into());
        }
        if !self.program().starts_with('/') {
            return Some(format!("{:?} is not an absolute path", self.program()));
        }
        if self.argv.iter().any(|word| word.contains('\0')) {
            return Some("an argument contains a NUL byte".into());
        }
        let unsound = |(name, value): &&(String, String)| {
            name.is_empty() || name.contains(['=', '\0']) || value.contains('\0')
        };
        let variable = self.env.iter().find(unsound);
        variable
            .map(|(name, _)| format!("{name:?} cannot be an environment variable"))
            .or_else(|| self.profile.defect())
    }
}

/// Shows everything but the input, of which only the length is told.
impl fmt::Debug for CommandSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandSpec")
            .field("argv", &self.argv)
            .field("env", &self.env)
            .field("stdin_bytes", &self.stdin.as_ref().map(|bytes| bytes.len()))
            .field("timeout", &self.timeout)
            .field("grace", &self.grace)
            .field("output_limit", &self.output_limit)
            .field("profile", &self.profile)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_cannot_be_run_is_told_in_words() {
        let cases = [
            (CommandSpec::new(Vec::<String>::new()), Some("empty")),
            (CommandSpec::new([""]), Some("absolute path")),
            (CommandSpec::new(["pct", "exec"]), Some("absolute path")),
            (CommandSpec::new(["/bin/echo", "a\0b"]), Some("NUL")),
            (CommandSpec::new(["/bin/echo"]).env("", "x"), Some("environment variable")),
            (CommandSpec::new(["/bin/echo"]).env("A=B", "x"), Some("environment variable")),
            (CommandSpec::new(["/bin/echo"]).env("A", "x\0"), Some("environment variable")),
            (CommandSpec::new(["/bin/echo", "", "a b", "ü\n\u{1}"]).env("A", "="), None),
        ];
        for (spec, expected) in cases {
            match (spec.defect(), expected) {
                (None, None) => {}
                (Some(text), Some(part)) => assert!(text.contains(part), "{text}"),
                (found, _) => panic!("{spec:?}: {found:?}"),
            }
        }
    }

    #[test]
    fn the_debug_form_does_not_show_the_input() {
        let shown = format!("{:?}", CommandSpec::new(["/bin/cat"]).stdin(b"hush-hush".to_vec()));
        assert!(!shown.contains("hush"), "{shown}");
        assert!(shown.contains("stdin_bytes: Some(9)"), "{shown}");
    }
}
