//! The command line, as clap reads it. Man pages and completions are generated from it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use phoenix_core::settings::parse_duration;
use phoenix_protocol::control::Until;

/// Watch over the certificates of a Phoenix hypervisor.
#[derive(Debug, Parser)]
#[command(name = "phoenix-certctl", version, max_term_width = 100)]
pub struct Cli {
    /// Configuration of the daemon.
    #[arg(long, global = true, value_name = "FILE", default_value = crate::config::DEFAULT_PATH)]
    pub config: PathBuf,
    /// Control socket; without it `control_socket` of the configuration.
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Print one JSON document on standard output, and nothing else there.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show every certificate, how far it is deployed and what is wrong with it.
    Status(StatusArgs),
    /// Get a new certificate now, deploy it and wait until it is used.
    Renew(RenewArgs),
    /// Bring everything to its desired state now and wait.
    Sync(SyncArgs),
    /// Tell why an entry is as it is, what happens next and when, and how to see the problem by hand.
    Explain(ExplainArgs),
    /// Tell what the present state, or an edit of the manifest, would cause. Changes nothing.
    Plan(PlanArgs),
    /// Tell what happened: decisions, deeds, failures, commands, orders, outages.
    History(HistoryArgs),
    /// Print what happened, or what happens from now on, as JSON lines.
    Events(EventsArgs),
    /// Look now what the consumers use.
    Verify(VerifyArgs),
    /// Put the previous pair back, activate it and wait; it stays until the next renew, sync or scheduled renewal.
    Rollback(RollbackArgs),
    /// Check the manifest, or a configuration (a file that ends in `.toml`).
    Validate(ValidateArgs),
    /// Show a certificate chain in words.
    Inspect(InspectArgs),
    /// Accept a changed root certificate of an issuer. Run as root.
    Trust(TrustArgs),
    /// Show, write, or take back the edits that a phoenix_hypervisor tree needs.
    Integrate(IntegrateArgs),
    /// Print a completion script.
    Completions {
        /// Shell to complete for.
        shell: Shell,
    },
}

/// `trust`
#[derive(Debug, Args)]
pub struct TrustArgs {
    /// SHA-256 fingerprint of a root that an issuer's root file holds now.
    #[arg(long, required = true, value_name = "FINGERPRINT")]
    pub accept: Vec<String>,
    /// The executor's state directory, where it is not the configured one.
    #[arg(long, value_name = "DIR")]
    pub executor_state: Option<PathBuf>,
}

/// `integrate`
#[derive(Debug, Args)]
pub struct IntegrateArgs {
    /// The tree: the directory that holds `usr/local/phoenix_hypervisor`, or phoenix_hypervisor itself.
    #[arg(long, value_name = "DIR")]
    pub tree: PathBuf,
    /// Write the edits. What is replaced is kept beside it as FILE.before-phoenix-certd; users' cron tables are kept
    /// one directory above, since cron runs whatever lies beside them.
    #[arg(long)]
    pub apply: bool,
    /// Take back what --apply wrote: every file as it was before, files that were not there removed. What somebody
    /// changed since is told and left as it is.
    #[arg(long, conflicts_with = "apply")]
    pub revert: bool,
    /// Address of the hypervisor, from which consumers are probed.
    #[arg(long, value_name = "ADDRESS", default_value = "10.0.0.13")]
    pub hypervisor: std::net::IpAddr,
    /// Address of the swarm manager's Docker API.
    #[arg(long, value_name = "ADDRESS", default_value = "10.0.0.111")]
    pub docker: std::net::IpAddr,
}

/// `status`
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Names or full common names; all without.
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Keep showing: redrawn every 2 s on a terminal, as JSON lines otherwise.
    #[arg(long)]
    pub watch: bool,
}

/// `renew`
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).multiple(true).args(["names", "named", "all"]))]
pub struct RenewArgs {
    /// Names or full common names.
    #[arg(value_name = "NAME", conflicts_with = "all")]
    pub names: Vec<String>,
    /// Names or full common names.
    #[arg(long = "name", value_name = "NAME", num_args = 1.., conflicts_with = "all")]
    pub named: Vec<String>,
    /// Every entry.
    #[arg(long)]
    pub all: bool,
    /// Return as soon as the daemon has recorded the request.
    #[arg(long)]
    pub no_wait: bool,
    /// How long to wait (`90s`, `15m`, `24h`, `30d`).
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    pub timeout: Duration,
    /// Be done when the files are written; delivery and commands wait for the next sync or renewal.
    #[arg(long)]
    pub generate_only: bool,
}

impl RenewArgs {
    /// All names given, in either form.
    pub fn all_names(&self) -> Vec<String> {
        self.names.iter().chain(&self.named).cloned().collect()
    }

    /// How far to go.
    pub fn until(&self) -> Until {
        if self.generate_only { Until::Written } else { Until::default() }
    }
}

/// `sync`
#[derive(Debug, Args)]
pub struct SyncArgs {
    /// Names or full common names; all without.
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Stage that is enough.
    #[arg(
        long,
        value_enum,
        value_name = "STAGE",
        default_value = "verified",
        conflicts_with = "generate_only"
    )]
    pub until: Stage,
    /// Same as `--until written`.
    #[arg(long)]
    pub generate_only: bool,
    /// Succeed although a guest is absent or off, or an issuer has never answered.
    #[arg(long)]
    pub best_effort: bool,
    /// Deliver, run and verify everything again.
    #[arg(long)]
    pub force: bool,
    /// How long to wait (`90s`, `15m`, `24h`, `30d`).
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    pub timeout: Duration,
}

impl SyncArgs {
    /// How far to go.
    pub fn until(&self) -> Until {
        if self.generate_only { Until::Written } else { self.until.into() }
    }
}

/// `verify`
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Names or full common names; all without.
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// How long to wait (`90s`, `15m`, `24h`, `30d`).
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    pub timeout: Duration,
}

/// `rollback`
#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// Name or full common name.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// How long to wait (`90s`, `15m`, `24h`, `30d`).
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    pub timeout: Duration,
}

/// A stage of the deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Stage {
    /// On the live paths.
    Written,
    /// In the guest.
    Delivered,
    /// The command succeeded.
    Activated,
    /// Seen at the consumer, or the last configured stage.
    Verified,
}

impl From<Stage> for Until {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Written => Self::Written,
            Stage::Delivered => Self::Delivered,
            Stage::Activated => Self::Activated,
            Stage::Verified => Self::Verified,
        }
    }
}

/// `explain`
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Name or full common name.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Only what is wrong, what happens next and what to do: about ten lines.
    #[arg(long, short)]
    pub brief: bool,
}

/// `plan`
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// A manifest to compare with the one in force; without it the present state.
    pub file: Option<PathBuf>,
}

/// `history`
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// Name or full common name; everything without.
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// So many records at most, the newest.
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub limit: usize,
}

/// `events`
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// Go on with what happens from now on.
    #[arg(long, short)]
    pub follow: bool,
    /// Only records with a larger `seq`; with `--follow` those that happened since are told first.
    #[arg(long, value_name = "SEQ")]
    pub after: Option<u64>,
}

/// `validate`
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// Manifest or configuration; without it the manifest that the configuration names.
    pub file: Option<PathBuf>,
    /// Fail on warnings too.
    #[arg(long)]
    pub strict: bool,
}

/// `inspect`
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Name of an entry, file, or HOST:PORT of a TLS server.
    #[arg(value_name = "NAME|FILE|HOST:PORT")]
    pub what: String,
    /// Name to ask the server for, when it is not HOST.
    #[arg(long, value_name = "NAME")]
    pub server_name: Option<String>,
}
