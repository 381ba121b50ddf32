//! Commands that ask the issuer what the daemon asked it.

use super::{Problem, Reproduction, quoted};
use crate::settings::{IssuerKind, IssuerSettings, PasswordSource, TrustAnchor};

impl Problem<'_> {
    /// The file with the issuer's roots: the configured one, or the executor's own copy.
    pub(super) fn anchor(&self, issuer: &IssuerSettings) -> String {
        match &issuer.trust {
            TrustAnchor::File(path) => path.to_string(),
            TrustAnchor::Fingerprint(_) => {
                format!("{}/issuers/{}/roots.pem", self.executor.state_dir, issuer.name)
            }
        }
    }

    fn fetch(&self, below: &str) -> Option<Vec<String>> {
        let issuer = self.issuer?;
        let address = match &issuer.kind {
            IssuerKind::StepCa(step) => format!("{}{below}", step.url),
            IssuerKind::Acme(acme) => acme.directory.clone(),
        };
        let root = self.anchor(issuer);
        let words =
            ["curl", "--silent", "--show-error", "--fail", "--max-time", "10", "--cacert", &root, &address];
        Some(words.map(ToOwned::to_owned).into())
    }

    pub(super) fn ask_health(&self) -> Vec<Reproduction> {
        self.fetch("/health").map(Reproduction::new).into_iter().collect()
    }

    pub(super) fn find_provisioner(&self) -> Vec<Reproduction> {
        let Some(IssuerSettings { kind: IssuerKind::StepCa(step), .. }) = self.issuer else {
            return Vec::new();
        };
        let wanted = quoted(&format!("\"name\":\"{}\"", step.provisioner.name));
        let fetch = self.fetch("/provisioners?limit=100").map(Reproduction::new);
        fetch
            .map(|fetch| Reproduction::script(format!("{} | grep -F {wanted}", fetch.shell)))
            .into_iter()
            .collect()
    }

    pub(super) fn list_secrets(&self) -> Vec<Reproduction> {
        let Some(issuer) = self.issuer else { return Vec::new() };
        let password = match &issuer.kind {
            IssuerKind::StepCa(step) => password_file(step.provisioner.password.as_ref()),
            IssuerKind::Acme(_) => None,
        };
        let files: Vec<String> = [Some(self.anchor(issuer)), password].into_iter().flatten().collect();
        vec![Reproduction::new([&["ls".to_owned(), "-l".to_owned()][..], &files].concat())]
    }

    pub(super) fn show_root(&self) -> Vec<Reproduction> {
        let Some(issuer) = self.issuer else { return Vec::new() };
        let root = self.anchor(issuer);
        vec![Reproduction::new([
            "openssl",
            "x509",
            "-in",
            &root,
            "-noout",
            "-subject",
            "-fingerprint",
            "-sha256",
        ])]
    }

    pub(super) fn check_chain(&self) -> Vec<Reproduction> {
        let Some(issuer) = self.issuer else { return Vec::new() };
        let (root, cert) = (self.anchor(issuer), self.entry.cert_path.to_string());
        vec![Reproduction::new(["openssl", "verify", "-CAfile", &root, "-untrusted", &cert, &cert])]
    }

    pub(super) fn ask_again(&self) -> Vec<Reproduction> {
        vec![Reproduction::new(["phoenix-certctl", "renew", "--generate-only", self.entry.name.as_str()])]
    }

    /// Words of the `step` program that say which CA is meant and who asks.
    fn step_words(&self) -> Option<Vec<String>> {
        let issuer = self.issuer?;
        let IssuerKind::StepCa(step) = &issuer.kind else { return None };
        let root = self.anchor(issuer);
        let words = ["--ca-url", &step.url, "--root", &root, "--provisioner", &step.provisioner.name];
        let mut words: Vec<String> = words.map(ToOwned::to_owned).into();
        if let Some(file) = password_file(step.provisioner.password.as_ref()) {
            words.extend(["--password-file".to_owned(), file]);
        }
        Some(words)
    }

    pub(super) fn step_token(&self) -> Vec<Reproduction> {
        let Some(words) = self.step_words() else { return Vec::new() };
        let head = ["step", "ca", "token", self.entry.common_name.as_str()].map(ToOwned::to_owned);
        vec![Reproduction::new([&head[..], &words].concat())]
    }

    pub(super) fn step_certificate(&self) -> Vec<Reproduction> {
        let Some(mut words) = self.step_words() else { return Vec::new() };
        for san in &self.entry.sans {
            words.extend(["--san".to_owned(), san.to_string()]);
        }
        if let Some(validity) = self.entry.validity {
            words.extend(["--not-after".to_owned(), format!("{}s", validity.as_secs())]);
        }
        let head = ["step", "ca", "certificate", self.entry.common_name.as_str()].map(ToOwned::to_owned);
        let files = ["/dev/stdout", "/dev/null", "--force"].map(ToOwned::to_owned);
        vec![Reproduction::new([&head[..], &files, &words].concat())]
    }
}

fn password_file(source: Option<&PasswordSource>) -> Option<String> {
    match source {
        Some(PasswordSource::File(path)) => Some(path.to_string()),
        Some(PasswordSource::Credential(_)) | None => None,
    }
}
