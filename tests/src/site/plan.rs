//! The whole plan: gateway, mesh and swarm at their addresses, kept by the daemon with the recommended manifest.

use anyhow::{Context, Result, ensure};
use phoenix_testkit::daemon::{Daemon, Setup};
use phoenix_testkit::guests::{Guests, Kind};
use phoenix_testkit::machine::Machine;
use phoenix_testkit::peers::StepCaVersion;
use phoenix_testkit::scratch::Scratch;
use phoenix_testkit::stepca::{Options, StepCa};
use phoenix_testkit::{manifest, patience, process};
use serde_json::Value;

use super::ask::{Ask, shown};
use super::pki::{Pair, Pki, Use};
use super::probing::Probing;
use super::rotation::{self, Rotation};
use super::{DOCKER, NGINX, TRAEFIK, swarm};

/// The gateway's address and port.
pub const GATEWAY: &str = "10.0.0.153:443";
/// Docker's mTLS port.
pub const DOCKER_PORT: &str = "10.0.0.111:2376";
/// The mesh entry point.
pub const MESH: &str = "10.0.0.12:8443";
/// nginx before the stand-in for Portainer.
pub const PORTAINER: &str = "10.0.0.111:9443";
/// The service that holds its certificate itself, as secrets of the swarm.
pub const APP: &str = "10.0.0.111:8443";
/// The plan's own check.
pub const CHECK: &str = "https://portainer.internal.thinkheads.ai/api/system/status";

/// The same of the service that holds its certificate itself.
pub const APP_CHECK: &str = "https://app.internal.thinkheads.ai/api/system/status";

/// Names of the entries that servers show, and where.
pub const SERVED: [(&str, &str); 5] = [
    ("docker-daemon", DOCKER_PORT),
    ("traefik", MESH),
    ("nginx", GATEWAY),
    ("portainer", PORTAINER),
    ("app", APP),
];

/// Lets the stand-in be told which client certificate Traefik was shown.
const TELL_CLIENT: &str = r#"http:
  routers:
    client:
      rule: "Host(`portainer.internal.thinkheads.ai`) && Path(`/client`)"
      service: portainer@swarm
      entryPoints: [mesh]
      middlewares: [client]
  middlewares:
    client:
      passTLSClientCert:
        info:
          serialNumber: true
"#;

/// Everything, in the network namespace of the calling thread. Fields are dropped in this order.
#[derive(Debug)]
pub struct Plan {
    /// The daemon.
    pub daemon: Daemon,
    /// What `pct` and `qm` reach: the machines.
    pub guests: Guests,
    /// LXC 101.
    pub nginx: Machine,
    /// LXC 102.
    pub traefik: Machine,
    /// VM 1001.
    pub docker: Machine,
    /// The real CA, running, and what is needed for bad certificates.
    pub pki: Pki,
    /// The entries in force.
    pub entries: Vec<Value>,
    /// A client of the house that is no entry: it outlives them.
    pub client: Pair,
    /// The directory of everything.
    pub scratch: Scratch,
}

impl Plan {
    /// Consumers are configured, nothing has a certificate yet, the daemon has been started.
    pub fn begin(options: &Options) -> Result<Self> {
        let scratch = Scratch::new()?;
        let [nginx, traefik, docker] = super::machines([NGINX, TRAEFIK, DOCKER])?;
        configure(&nginx, &traefik, &docker)?;
        let ca = StepCa::start_in(&scratch.join("ca"), StepCaVersion::V0_30_2, options)?;
        let pki = Pki::around(&scratch, ca)?;
        let client = pki.pair("outsider", "outsider", Use::Client)?;
        let guests = Guests::new(&scratch)?;
        guests.connect(101, Kind::Lxc, &nginx);
        guests.connect(102, Kind::Lxc, &traefik);
        guests.connect(1001, Kind::Vm, &docker);
        let entries = manifest::below(&scratch, entries()?);
        let programs = ["pct", "qm"].map(|name| guests.program(name));
        let daemon = Setup::new(&scratch)?.step_ca(&pki.ca).programs(programs).start(&entries)?;
        Ok(Self { daemon, guests, nginx, traefik, docker, pki, entries, client, scratch })
    }

    /// As [`Plan::begin`], then the swarm is formed and everything is brought to its end.
    pub fn with(options: &Options) -> Result<Self> {
        let plan = Self::begin(options)?;
        plan.certctl(&["sync", "docker-daemon", "traefik-client", "app", "--until", "delivered"])?;
        swarm::init(&plan.docker)?;
        swarm::deploy_portainer(&plan.docker)?;
        swarm::deploy_app(&plan.docker)?;
        plan.certctl(&["sync"])?;
        for (service, url) in [("portainer", CHECK), ("app", APP_CHECK)] {
            let router =
                format!("curl -s http://127.0.0.1:8080/api/http/routers/{service}@swarm | grep -q enabled");
            super::until_sh(&plan.traefik, "a router from the swarm", &router)?;
            patience::until(|| plan.ask(url).expect(200).ok())
                .with_context(|| format!("{:?}", plan.ask(url).answer()))?;
        }
        Ok(plan)
    }

    /// `phoenix-certctl`, which must succeed.
    pub fn certctl(&self, words: &[&str]) -> Result<String> {
        let output = self.daemon.certctl(words.iter().copied())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        ensure!(
            output.status.success(),
            "phoenix-certctl {words:?} ({}): {} {}",
            output.status,
            text(&output.stdout),
            text(&output.stderr)
        );
        Ok(text(&output.stdout))
    }

    /// A request through the gateway.
    pub fn ask(&self, url: &str) -> Ask {
        Ask::at(GATEWAY, url, self.pki.root())
    }

    /// A request to Docker as the outsider of the house.
    pub fn ping(&self) -> Ask {
        Ask::at(DOCKER_PORT, &format!("https://{DOCKER_PORT}/_ping"), self.pki.root()).with(&self.client)
    }

    /// Everybody who asks all the time, and what to call them.
    pub fn probes(&self) -> [(&'static str, Probing); 4] {
        let mesh = self.ask("https://traefik.internal.thinkheads.ai/api/version");
        [
            ("gateway to Traefik", mesh),
            ("Docker's port", self.ping()),
            ("gateway to Portainer", self.ask(CHECK)),
            ("gateway to a service with secrets", self.ask(APP_CHECK)),
        ]
        .map(|(path, ask)| (path, Probing::begin(ask, 200)))
    }

    /// Serial number of the entry's certificate, by the status, without leading zeros.
    pub fn serial(&self, name: &str) -> Result<String> {
        rotation::serial(&self.daemon, name)
    }

    /// The plan's check, word for word, with names from /etc/hosts of its own: what curl printed.
    pub fn check_by_name(&self) -> Result<String> {
        let names = "portainer.internal.thinkheads.ai traefik.internal.thinkheads.ai";
        self.scratch.file("hosts", format!("127.0.0.1 localhost\n{NGINX} {names}\n"), 0o644)?;
        let root = std::fs::read(self.pki.root())?;
        self.scratch.file("phoenix_root_ca.crt", root, 0o644)?;
        let script = format!(
            "cd {} && mount --bind hosts /etc/hosts &&
             exec curl --silent --show-error --fail --cacert phoenix_root_ca.crt {CHECK}",
            self.scratch.path().display()
        );
        let words = ["--mount", "--propagation", "private", "sh", "-c", &script];
        Ok(String::from_utf8(process::run("unshare", words)?.stdout)?)
    }

    /// Serial number of the client certificate that the gateway shows to Traefik now.
    pub fn gateway_client(&self) -> Option<String> {
        let url = "https://portainer.internal.thinkheads.ai/client";
        let super::ask::Answer::Http(200, text) = self.ask(url).answer().ok()? else { return None };
        // SerialNumber="DECIMAL" of the leaf, then of what it was sent with, all of it quoted for a URL.
        let decimal = text.split("%22").nth(1)?;
        decimal.parse::<u128>().ok().map(|number| format!("{number:x}"))
    }

    /// Serial number of the client certificate that Traefik shows to Docker: its connections are ended, so that the
    /// journal tells of them, until this one was used.
    pub fn docker_saw_client(&self, serial: &str) -> Result<()> {
        let connected = "ss --no-header --tcp --numeric state established '( sport = :2376 )' | grep -q .";
        let seen =
            format!("journalctl --boot --identifier=docker_front --output=cat | grep -i -- '{serial}'");
        let told = patience::until(|| {
            let round = self.docker.sh(&format!("{connected}; systemctl restart docker-front; {seen}"));
            round.ok()
        });
        told.map(drop)
            .with_context(|| format!("Docker's port has not seen {serial}: {:?}", self.docker.sh(&seen)))
    }

    /// As [`rotation::rotate`].
    pub fn rotate(&self, name: &str, consumer: impl Fn() -> Option<String>) -> Result<Rotation> {
        rotation::rotate(&self.daemon, name, consumer)
    }
}

/// Serial number of what is shown at an address.
pub fn serial_at(address: &str) -> Option<String> {
    shown(address, None).map(|shown| shown.serial)
}

/// The recommended entries, and that of the example for a service with secrets, which lives as long as they do.
fn entries() -> Result<Vec<Value>> {
    let mut entries = manifest::recommended()?;
    let app = manifest::example()?.into_iter().find(|entry| entry["name"] == "app");
    let mut app = app.context("the example has no entry app")?;
    for field in ["issuer", "validity", "renew_before"] {
        app[field] = Value::Null;
    }
    entries.push(app);
    Ok(entries)
}

/// The files of `config/`, before there is any certificate.
fn configure(nginx: &Machine, traefik: &Machine, docker: &Machine) -> Result<()> {
    super::install_gateway(nginx)?;
    super::install(traefik, &super::TRAEFIK_FILES)?;
    traefik.write("/etc/traefik/dynamic/90-client.yml", TELL_CLIENT, 0o644)?;
    super::install_dockerd(docker, &super::FRONT_FILES)?;
    swarm::install_front(docker)?;
    docker.install(&manifest::config_file("docker/rotate-tls-secrets.sh"), swarm::ROTATE, 0o755)?;
    docker.sh("systemctl start docker").map(drop)
}
