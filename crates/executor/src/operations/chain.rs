//! `chain`: the public half of the pair that was installed, for a handshake that is signed here.

use phoenix_core::manifest::Entry;
use phoenix_core::reason::Trouble;
use phoenix_protocol::executor::Answer;
use phoenix_x509::Chain;

use super::Executor;
use super::observe::require_own;

impl Executor {
    /// Leaf and intermediates of our own copy. What lies on the live paths may be another writer's.
    pub(super) fn chain(&self, entry: &Entry) -> Result<Answer, Trouble> {
        let own = require_own(&self.store_of(entry), entry)?;
        let chain = Chain::from_pem(own.cert_pem()?).map_err(|error| {
            let message = format!("Our own copy of the certificate of `{}` is damaged: {error}.", entry.name);
            Trouble::new(phoenix_core::reason::Reason::Internal, message)
        })?;
        Ok(Answer::Chain { chain: chain.pem() })
    }
}
