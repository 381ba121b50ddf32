//! Commands that look at a consumer as the daemon does.

use super::{Problem, Reproduction, quoted};
use crate::manifest::Verify;
use crate::reason::Reason;

impl Problem<'_> {
    pub(super) fn probe(&self) -> Vec<Reproduction> {
        let Some(verify) = self.entry.verify.first() else { return Vec::new() };
        let (cert, key) = (self.entry.cert_path.to_string(), self.entry.key_path.to_string());
        let own = ["-cert", cert.as_str(), "-key", key.as_str()];
        match verify {
            Verify::Tls { address, server_name, http_get, .. } => {
                vec![self.look(address, server_name.as_deref(), http_get.as_deref(), &[])]
            }
            Verify::AcceptedBy { address, server_name, http_get, .. } => {
                vec![self.look(address, server_name.as_deref(), http_get.as_deref(), &own)]
            }
            Verify::Command { argv, .. } => vec![Reproduction::new(argv.clone())],
        }
    }

    /// Whom a peer lets in shows only when something is asked of it: in TLS 1.3 a client's handshake is over first.
    fn look(
        &self,
        address: &str,
        server_name: Option<&str>,
        path: Option<&str>,
        own: &[&str],
    ) -> Reproduction {
        let asks = matches!(self.reason, Reason::WrongStatus | Reason::AcceptsAnyone | Reason::RefusesClient);
        if !asks {
            let line = self.client(address, server_name, own);
            return Reproduction::script(format!(
                "{line} </dev/null | openssl x509 -noout -subject -serial -enddate -fingerprint -sha256"
            ));
        }
        let line = self.client(address, server_name, &[&["-quiet"][..], own].concat());
        let host = server_name.unwrap_or_else(|| host_of(address));
        let request = quoted(&format!("GET {} HTTP/1.0\\r\\nHost: {host}\\r\\n\\r\\n", path.unwrap_or("/")));
        Reproduction::script(format!("(printf {request}; sleep 2) | {line}"))
    }

    /// `openssl s_client` on its way to a consumer.
    fn client(&self, address: &str, server_name: Option<&str>, more: &[&str]) -> String {
        let name = server_name.unwrap_or_else(|| host_of(address));
        let mut words = vec!["openssl", "s_client", "-connect", address, "-servername", name];
        let anchor = self.issuer.map(|issuer| self.anchor(issuer));
        if let Some(anchor) = &anchor {
            words.extend(["-CAfile", anchor]);
        }
        words.extend(more);
        words.into_iter().map(quoted).collect::<Vec<_>>().join(" ")
    }
}

fn host_of(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}
