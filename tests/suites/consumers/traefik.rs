//! Traefik's mesh entry point lets in whom it should and nobody else, in whatever state its files are.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use phoenix_testkit::machine::Machine;
use phoenix_testkit::scratch::Scratch;
use phoenix_testkit::{network, patience};
use phoenix_tests::site::ask::{Answer, Ask, shown};
use phoenix_tests::site::pki::{Pair, Pki, Use};
use phoenix_tests::site::probing::Probing;
use phoenix_tests::site::{self, DOCKER, DOMAIN, TRAEFIK, put, swarm};

const MESH: &str = "10.0.0.12:8443";
const STATUS: &str = "/api/system/status";
const OPTIONS: &str = "/etc/traefik/dynamic/00-tls-options.yml";

/// Traefik in its machine, Docker in another, certificates for both.
pub(crate) struct Bed {
    pub(crate) traefik: Machine,
    pub(crate) docker: Machine,
    pub(crate) pki: Pki,
    pub(crate) client: Pair,
    mesh: Pair,
    _scratch: Scratch,
}

impl Bed {
    pub(crate) fn new() -> Result<Self> {
        let scratch = Scratch::new()?;
        let pki = Pki::new(&scratch)?;
        let [traefik, docker] = site::machines([TRAEFIK, DOCKER])?;
        let client = pki.pair("client", "traefik-client", Use::Client)?;
        let mesh = pki.pair("mesh", "traefik", Use::Server)?;
        let bed = Self { traefik, docker, pki, client, mesh, _scratch: scratch };
        bed.start_docker()?;
        bed.start_traefik()?;
        Ok(bed)
    }

    fn start_docker(&self) -> Result<()> {
        let Self { docker, pki, .. } = self;
        site::install_dockerd(docker, &site::DOCKERD_FILES)?;
        site::give_docker(docker, pki, &pki.pair("server", "docker-daemon", Use::Server)?)?;
        docker.sh("systemctl start docker")?;
        put(
            docker,
            "/etc/portainer/tls",
            ["cert.pem", "key.pem"],
            &pki.pair("p", "portainer", Use::Server)?,
        )?;
        swarm::init(docker)?;
        swarm::install_front(docker)?;
        docker.sh("systemctl start portainer-front")?;
        swarm::deploy_portainer(docker)
    }

    fn start_traefik(&self) -> Result<()> {
        let Self { traefik, pki, client, mesh, .. } = self;
        site::install(traefik, &site::TRAEFIK_FILES)?;
        put(traefik, "/etc/traefik/certs", ["mesh-cert.pem", "mesh-key.pem"], mesh)?;
        traefik.install(pki.root(), "/etc/traefik/certs/ca.pem", 0o600)?;
        // What dockerd refuses first: the good pair has to be picked up by itself.
        self.give_client(&pki.strange_pair("traefik-client")?)?;
        traefik.sh("systemctl start traefik")?;
        let refused = "journalctl --boot --unit=traefik --output=cat | grep -q 'Provider error, retrying'";
        site::until_sh(traefik, "refused by dockerd", refused)?;
        self.give_client(client)?;
        self.wait_for_router()
    }

    fn give_client(&self, pair: &Pair) -> Result<()> {
        put(&self.traefik, "/etc/traefik/certs", ["client-cert.pem", "client-key.pem"], pair)
    }

    fn wait_for_router(&self) -> Result<()> {
        let routers = "curl -s http://127.0.0.1:8080/api/http/routers/portainer@swarm | grep -q enabled";
        site::until_sh(&self.traefik, "a router from the swarm", routers).map(drop)
    }

    /// A request to the mesh entry point for this host.
    pub(crate) fn ask(&self, host: &str, path: &str) -> Ask {
        Ask::at(MESH, &format!("https://{host}.{DOMAIN}{path}"), self.pki.root())
    }

    /// A request without SNI: an address is no name.
    fn ask_address(&self) -> Ask {
        Ask::at(MESH, &format!("https://{TRAEFIK}/"), self.pki.root())
    }
}

fn wait_for_answer(what: &str, ask: &Ask, status: u16) -> Result<()> {
    let answered = || ask.expect(status).ok();
    patience::until(answered).with_context(|| format!("{what}: {:?}", ask.answer()))
}

#[test]
fn the_mesh_lets_in_clients_of_the_house_and_nobody_else() -> Result<()> {
    network::inside(|| {
        let bed = Bed::new()?;
        strangers_are_refused(&bed)?;
        the_certificate_of_the_house_is_served(&bed)?;
        a_reload_loses_no_request(&bed)?;
        without_its_options_the_mesh_is_closed(&bed)?;
        labels_do_not_open_a_way_around(&bed)
    })
}

/// Known host, unknown host, no name at all: with every kind of certificate.
fn strangers_are_refused(bed: &Bed) -> Result<()> {
    let (known, unknown, nameless) =
        (bed.ask("portainer", STATUS), bed.ask("nobody", "/"), bed.ask_address());
    let both = bed.pki.pair("both", "traefik-client", Use::Both)?;
    for good in [&bed.client, &both] {
        let answer = known.clone().with(good).answer()?;
        ensure!(matches!(&answer, Answer::Http(200, body) if body.contains("stand-in")), "{answer:?}");
        unknown.clone().with(good).expect(404)?;
        nameless.clone().with(good).expect(404)?;
    }
    let bad = bed.pki.bad_clients("traefik-client")?;
    for ask in [known, unknown, nameless] {
        ask.expect_refusal()?;
        for pair in &bad {
            ask.clone().with(pair).expect_refusal()?;
        }
    }
    // The API without authentication is for the machine itself.
    bed.traefik.sh("curl -sf http://127.0.0.1:8080/api/version")?;
    Ask::at("10.0.0.12:8080", "http://10.0.0.12/api/version", bed.pki.root()).expect_refusal()
}

/// `tls=true` takes the options of the entry point away from a router.
fn labels_do_not_open_a_way_around(bed: &Bed) -> Result<()> {
    let service = "portainer_service_portainer";
    let label = "traefik.http.routers.portainer.tls";
    bed.docker.sh(&format!("docker service update --quiet --label-add {label}=true {service}"))?;
    // The entry point's options were named; a router with tls of its own names none.
    let taken = "! curl -s http://127.0.0.1:8080/api/http/routers/portainer@swarm | grep -q mesh-mtls";
    site::until_sh(&bed.traefik, "without the options of the entry point", taken)?;
    let ask = bed.ask("portainer", STATUS);
    wait_for_answer("with tls=true", &ask.clone().with(&bed.client), 200)?;
    ask.expect_refusal()?;
    ask.clone().with(&bed.pki.strange_pair("traefik-client")?).expect_refusal()?;
    ask.with(&bed.pki.pair("server-only", "traefik-client", Use::Server)?).expect_refusal()
}

fn the_certificate_of_the_house_is_served(bed: &Bed) -> Result<()> {
    let wanted = bed.mesh.serial()?;
    for name in [Some("portainer.internal.thinkheads.ai"), Some("elsewhere.example.org"), None] {
        let shown = shown(MESH, name).context("nothing is shown on the mesh")?;
        ensure!(shown.serial == wanted, "{shown:?} is shown for {name:?}");
    }
    Ok(())
}

fn a_reload_loses_no_request(bed: &Bed) -> Result<()> {
    let probing = Probing::begin(bed.ask("portainer", STATUS).with(&bed.client), 200);
    let fresh = bed.pki.pair("mesh-2", "traefik", Use::Server)?;
    put(&bed.traefik, "/etc/traefik/certs", ["mesh-cert.pem", "mesh-key.pem"], &fresh)?;
    bed.traefik.sh("systemctl reload traefik")?;
    let wanted = fresh.serial()?;
    let served = || shown(MESH, None).filter(|shown| shown.serial == wanted);
    patience::until(served).with_context(|| format!("still {:?}", shown(MESH, None)))?;
    let tally = probing.take();
    ensure!(tally.asked > 0 && tally.failed.is_empty(), "{tally:?}");
    Ok(())
}

/// Fails closed, and heals without a restart.
fn without_its_options_the_mesh_is_closed(bed: &Bed) -> Result<()> {
    let ask = bed.ask("portainer", STATUS);
    bed.traefik.sh(&format!("mv {OPTIONS} /root/options.yml; systemctl restart traefik"))?;
    let up = "curl -s http://127.0.0.1:8080/api/http/routers/portainer@swarm | grep -q '@swarm'";
    site::until_sh(&bed.traefik, "up without its options", up)?;
    ask.expect_refusal()?;
    ask.clone().with(&bed.client).expect_refusal()?;
    bed.traefik.sh(&format!("mv /root/options.yml {OPTIONS}"))?;
    wait_for_answer("after the options came back", &ask.clone().with(&bed.client), 200)?;
    ask.expect_refusal()
}

/// The first draft of the plan, and its relatives: Traefik does not start.
const REFUSED: [(&str, &str); 4] = [
    (
        "entryPoints: {mesh: {address: ':8443', http: {tls: {clientCA: {files: [/ca.pem]}, \
         clientAuthType: RequireAndVerifyClientCert}}}}",
        "field not found, node: clientA",
    ),
    ("entryPoints: {mesh: {address: ':8443', tls: {}}}", "field not found, node: tls"),
    ("providers: {docker: {swarmMode: true}}", "`swarmMode` option has been removed in v3"),
    ("providers: {docker: {apiVersion: '1.41'}}", "field not found, node: apiVersion"),
];

#[test]
fn client_authentication_under_an_entry_point_is_no_configuration_of_traefik_3() -> Result<()> {
    network::inside(|| {
        let [machine] = site::machines([TRAEFIK])?;
        for (number, (text, words)) in REFUSED.iter().enumerate() {
            let place = format!("/root/{number}.yml");
            machine.write(&place, text, 0o644)?;
            let output = machine.run(["timeout", "20", "traefik", &format!("--configFile={place}")])?;
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            ensure!(output.status.code() == Some(1) && said.contains(words), "{text}: {said}");
        }
        Ok(())
    })
}

/// A file that is there, so that a slip in a path is seen here and not as a certificate that is never served.
#[test]
fn every_file_that_traefik_is_told_of_is_delivered() -> Result<()> {
    let manifest = std::fs::read_to_string(phoenix_testkit::manifest::config_file(
        "certificate-manifest.recommended.json",
    ))?;
    for (source, _) in site::TRAEFIK_FILES {
        let text = std::fs::read_to_string(phoenix_testkit::manifest::config_file(source))?;
        for path in text.split_whitespace().filter(|word| word.starts_with("/etc/traefik/certs/")) {
            ensure!(Path::new(path).extension().is_some(), "{path}");
            ensure!(
                manifest.contains(&format!("\"{path}\"")),
                "{source} names {path}, which nobody delivers"
            );
        }
    }
    Ok(())
}
