//! Pairs for suites that run consumers without the daemon, good ones and bad ones.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use phoenix_testkit::openssl::{self, Leaf};
use phoenix_testkit::peers::StepCaVersion;
use phoenix_testkit::scratch::Scratch;
use phoenix_testkit::stepca::{Options, StepCa};

use super::{DOCKER, DOMAIN, NGINX, TRAEFIK};

/// A certificate file and its key file.
#[derive(Clone, Debug)]
pub struct Pair {
    /// Leaf and intermediate.
    pub cert: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

impl Pair {
    /// Serial number of the leaf.
    pub fn serial(&self) -> Result<String> {
        openssl::serial(&self.cert)
    }
}

/// What a certificate may be used for.
#[derive(Clone, Copy, Debug)]
pub enum Use {
    /// Servers alone.
    Server,
    /// Clients alone.
    Client,
    /// Both, as Step-CA's default template has it.
    Both,
}

impl Use {
    fn words(self) -> &'static str {
        match self {
            Self::Server => "serverAuth",
            Self::Client => "clientAuth",
            Self::Both => "serverAuth,clientAuth",
        }
    }
}

/// A CA that makes pairs at once, and another one that nobody trusts.
#[derive(Debug)]
pub struct Pki {
    /// The CA of the house, running or not.
    pub ca: StepCa,
    stranger: StepCa,
    dir: PathBuf,
}

impl Pki {
    /// Makes both below the scratch directory.
    pub fn new(scratch: &Scratch) -> Result<Self> {
        let ca = StepCa::prepare(&scratch.join("ca"), StepCaVersion::V0_30_2, &Options::default())?;
        Self::around(scratch, ca)
    }

    /// With a CA that is there already.
    pub fn around(scratch: &Scratch, ca: StepCa) -> Result<Self> {
        let other = scratch.join("stranger");
        let stranger = StepCa::prepare(&other, StepCaVersion::V0_30_2, &Options::default())?;
        Ok(Self { ca, stranger, dir: scratch.directory("pairs")? })
    }

    /// The root certificate.
    pub fn root(&self) -> &Path {
        &self.ca.root
    }

    /// The intermediate certificate.
    pub fn intermediate(&self) -> PathBuf {
        self.ca.intermediate()
    }

    /// The root certificate of the CA that nobody trusts.
    pub fn strange_root(&self) -> &Path {
        &self.stranger.root
    }

    /// A pair for `NAME.internal.thinkheads.ai`, in files of this title.
    pub fn pair(&self, title: &str, name: &str, usage: Use) -> Result<Pair> {
        self.make(&self.ca, title, name, usage, 1)
    }

    /// A pair for servers that expired a day ago.
    pub fn expired_pair(&self, name: &str) -> Result<Pair> {
        self.make(&self.ca, "expired", name, Use::Server, -1)
    }

    /// Pairs that no server of the house may let in as a client: of another CA, for servers alone, expired, and a good
    /// leaf without the intermediate that leads to the root.
    pub fn bad_clients(&self, name: &str) -> Result<[Pair; 4]> {
        let bare = self.pair("bare", name, Use::Client)?;
        let text = fs::read_to_string(&bare.cert)?;
        let end = "-----END CERTIFICATE-----\n";
        let (leaf, rest) = text.split_once(end).context("no certificate")?;
        ensure!(rest.contains(end), "there was no intermediate to leave out");
        fs::write(&bare.cert, format!("{leaf}{end}"))?;
        Ok([
            self.strange_pair(name)?,
            self.pair("server-only", name, Use::Server)?,
            self.make(&self.ca, "expired-client", name, Use::Client, -1)?,
            bare,
        ])
    }

    /// A pair of the CA that nobody trusts.
    pub fn strange_pair(&self, name: &str) -> Result<Pair> {
        self.make(&self.stranger, "stranger", name, Use::Both, 1)
    }

    fn make(&self, ca: &StepCa, title: &str, name: &str, usage: Use, days: i32) -> Result<Pair> {
        let cn = format!("{name}.{DOMAIN}");
        let sans = match name {
            "nginx" => format!("DNS:{cn},DNS:*.{DOMAIN},IP:{NGINX}"),
            "traefik" => format!("DNS:{cn},DNS:*.{DOMAIN},IP:{TRAEFIK}"),
            "docker-daemon" | "portainer" | "app" => format!("DNS:{cn},IP:{DOCKER}"),
            _ => format!("DNS:{cn}"),
        };
        let pair =
            Pair { cert: self.dir.join(format!("{title}.crt")), key: self.dir.join(format!("{title}.key")) };
        let leaf = Leaf { cn: &cn, sans: &sans, usages: usage.words(), days };
        leaf.make(ca, &pair.cert, &pair.key)?;
        Ok(pair)
    }
}
