//! What the engine is told, and where its answers go.

use std::collections::BTreeSet;

use phoenix_core::lifecycle::Event;
use phoenix_core::name::{AbsolutePath, IssuerName};
use phoenix_core::reason::Trouble;
use phoenix_core::time::Timestamp;
use phoenix_issuers::Health;
use phoenix_protocol::control::{
    ErrorDocument, Progress, RenewRequest, RollbackRequest, SyncRequest, VerifyRequest,
};
use phoenix_protocol::executor::IssuerFacts;
use phoenix_protocol::explain::ExplainDocument;
use phoenix_protocol::plan::{PlanDocument, PlanRequest};
use tokio::sync::{mpsc, oneshot};

use super::Fetched;
use crate::jobs::IssuerNews;

/// What the engine is told.
pub(crate) enum Message {
    /// A connection to the executor was made.
    ExecutorUp,
    /// The manifest may have changed.
    Hint,
    /// The manifest was fetched from the executor.
    Manifest(Result<Fetched, Trouble>),
    /// A job ended.
    Ended {
        /// Whose.
        key: AbsolutePath,
        /// Which incarnation's.
        incarnation: u64,
        /// How.
        event: Box<Event>,
        /// What issuers did meanwhile.
        news: Vec<IssuerNews>,
    },
    /// A command ran, however it ended.
    Ran {
        /// Its command line.
        command: Vec<String>,
        /// When it ended.
        at: Timestamp,
    },
    /// Someone wants to know whether the engine makes progress.
    Ping(oneshot::Sender<()>),
    /// A look at an issuer ended.
    Looked {
        /// At which.
        name: IssuerName,
        /// What it showed.
        result: Result<Health, Trouble>,
    },
    /// The executor took a root.
    Trusted(Vec<IssuerFacts>),
    /// Someone wants the status.
    Status(Asked, oneshot::Sender<mpsc::UnboundedReceiver<Vec<u8>>>),
    /// Someone wants to know why an entry is as it is.
    Explain(String, Answering<ExplainDocument>),
    /// Someone wants to know what is going to happen, or would with other entries.
    Plan(Option<PlanRequest>, Answering<PlanDocument>),
    /// Someone, of that user id, wants new certificates.
    Renew(RenewRequest, Option<u32>, OrderReply),
    /// Someone, of that user id, wants everything in its desired state.
    Sync(SyncRequest, Option<u32>, OrderReply),
    /// Someone, of that user id, wants the consumers looked at.
    Verify(VerifyRequest, Option<u32>, OrderReply),
    /// Someone, of that user id, wants a previous pair back.
    RollBack(RollbackRequest, Option<u32>, OrderReply),
}

/// Of what the status is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Of entries with these names or full common names; of every one when there are none.
    pub names: BTreeSet<String>,
    /// No more than a table of many entries shows.
    pub brief: bool,
}

/// Where the answer to a question about entries goes.
pub(crate) type Answering<T> = oneshot::Sender<Result<T, ErrorDocument>>;
/// Where the answer to an order goes.
pub(crate) type OrderReply = oneshot::Sender<Result<mpsc::UnboundedReceiver<Progress>, ErrorDocument>>;
