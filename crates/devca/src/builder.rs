//! How a CA is made.

use std::time::Duration;

use anyhow::Context;

use crate::ca::{DevCa, Shared};
use crate::provisioner::{Extent, Provisioner};
use crate::validity::Claims;

/// A provisioner that is still to be made.
#[derive(Clone, Debug)]
struct Wanted {
    name: String,
    password: String,
    extent: Extent,
    iterations: u32,
}

/// Collects what a CA should be like. Without a provisioner it issues nothing.
#[derive(Clone, Debug)]
pub struct Builder {
    names: Vec<String>,
    port: u16,
    claims: Claims,
    iterations: u32,
    wanted: Vec<Wanted>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            names: vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
            port: 0,
            claims: Claims::default(),
            iterations: 100_000,
            wanted: Vec::new(),
        }
    }
}

impl Builder {
    /// Adds a JWK provisioner with a new P-256 key, encrypted with `password`. Its certificates are for servers
    /// and clients.
    pub fn provisioner(mut self, name: &str, password: &str) -> Self {
        self.want(name, password, Extent::ServerAndClient);
        self
    }

    /// Adds a JWK provisioner whose certificates are for clients only.
    pub fn client_provisioner(mut self, name: &str, password: &str) -> Self {
        self.want(name, password, Extent::ClientOnly);
        self
    }

    /// Shortest, default and longest lifetime. As in Step-CA five minutes, a day and a day unless set; seconds
    /// are possible.
    pub fn claims(mut self, min: Duration, default: Duration, max: Duration) -> Self {
        self.claims = Claims { min, default, max, ..self.claims };
        self
    }

    /// How far certificates begin before they are issued. One minute unless set.
    pub fn backdate(mut self, by: Duration) -> Self {
        self.claims.backdate = by;
        self
    }

    /// Adds DNS names or IP addresses of the server, besides localhost and 127.0.0.1. They are the hosts that
    /// token audiences may name.
    pub fn names<I: IntoIterator<Item = S>, S: Into<String>>(mut self, names: I) -> Self {
        self.names.extend(names.into_iter().map(Into::into));
        self
    }

    /// Sets the names of the server, localhost and 127.0.0.1 no longer among them: a CA that is reached under a
    /// name that it does not have.
    pub fn only_names<I: IntoIterator<Item = S>, S: Into<String>>(mut self, names: I) -> Self {
        self.names = names.into_iter().map(Into::into).collect();
        self
    }

    /// Port on 127.0.0.1; any free one unless set.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// PBKDF2 iterations of the keys of provisioners that are added from now on; 100,000 unless set.
    pub fn iterations(mut self, iterations: u32) -> Self {
        self.iterations = iterations;
        self
    }

    /// Makes root, intermediate and provisioner keys and begins to serve.
    ///
    /// # Errors
    /// When the port is taken or a name cannot stand in a certificate.
    pub async fn start(self) -> anyhow::Result<DevCa> {
        let provisioners = self
            .wanted
            .iter()
            .map(|wanted| Provisioner::new(&wanted.name, &wanted.password, wanted.extent, wanted.iterations))
            .collect::<anyhow::Result<Vec<_>>>()
            .context("making the provisioners of the embedded CA")?;
        let shared = Shared::new(self.names, self.claims, provisioners)?;
        DevCa::start(shared, self.port).await
    }

    fn want(&mut self, name: &str, password: &str, extent: Extent) {
        let (name, password) = (name.to_owned(), password.to_owned());
        self.wanted.push(Wanted { name, password, extent, iterations: self.iterations });
    }
}
