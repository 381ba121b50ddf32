//! The gateway, with a Traefik behind it.

use anyhow::{Context, Result, ensure};
use phoenix_testkit::machine::Machine;
use phoenix_testkit::scratch::Scratch;
use phoenix_testkit::{network, patience};
use phoenix_tests::site::ask::{Ask, shown};
use phoenix_tests::site::pki::{Pair, Pki, Use};
use phoenix_tests::site::probing::Probing;
use phoenix_tests::site::{self, NGINX, TRAEFIK, put};

pub(crate) const GATEWAY: &str = "10.0.0.153:443";
const OWN: [&str; 2] = ["nginx.internal.thinkheads.ai.crt", "nginx.internal.thinkheads.ai.key"];
const CLIENT: [&str; 2] = ["mesh-client.crt", "mesh-client.key"];

pub(crate) struct Bed {
    pub(crate) nginx: Machine,
    pub(crate) traefik: Machine,
    pub(crate) pki: Pki,
    own: Pair,
    _scratch: Scratch,
}

impl Bed {
    pub(crate) fn new() -> Result<Self> {
        let scratch = Scratch::new()?;
        let pki = Pki::new(&scratch)?;
        let [nginx, traefik] = site::machines([NGINX, TRAEFIK])?;
        let own = pki.pair("own", "nginx", Use::Server)?;
        let bed = Self { nginx, traefik, pki, own, _scratch: scratch };
        bed.start_traefik()?;
        bed.start_nginx()?;
        Ok(bed)
    }

    fn start_traefik(&self) -> Result<()> {
        let Self { traefik, pki, .. } = self;
        site::install(traefik, &site::TRAEFIK_FILES)?;
        let mesh = pki.pair("mesh", "traefik", Use::Server)?;
        put(traefik, "/etc/traefik/certs", ["mesh-cert.pem", "mesh-key.pem"], &mesh)?;
        traefik.install(pki.root(), "/etc/traefik/certs/ca.pem", 0o600)?;
        traefik.sh("systemctl start traefik")?;
        site::until_sh(traefik, "up", "curl -sf http://127.0.0.1:8080/ping").map(drop)
    }

    fn start_nginx(&self) -> Result<()> {
        let Self { nginx, pki, own, .. } = self;
        site::install_gateway(nginx)?;
        put(nginx, "/etc/nginx/ssl", OWN, own)?;
        put(nginx, "/etc/nginx/ssl", CLIENT, &pki.pair("mesh-client", "nginx-mesh-client", Use::Client)?)?;
        nginx.install(pki.root(), "/etc/nginx/ssl/mesh-ca.crt", 0o644)?;
        nginx.sh("systemctl start nginx").map(drop)
    }

    /// Through the gateway to what Traefik itself answers.
    fn ask(&self) -> Ask {
        Ask::at(GATEWAY, "https://traefik.internal.thinkheads.ai/api/version", self.pki.root())
    }
}

/// Serial number of what the gateway serves.
fn served() -> Option<String> {
    shown(GATEWAY, None).map(|shown| shown.serial)
}

#[test]
fn the_gateway_reaches_the_mesh_and_takes_new_certificates_with_a_reload() -> Result<()> {
    network::inside(|| {
        let bed = Bed::new()?;
        let Bed { nginx, pki, .. } = &bed;
        patience::until(|| bed.ask().expect(200).ok())
            .with_context(|| format!("{:?}", bed.ask().answer()))?;

        let probing = Probing::begin(bed.ask(), 200);
        for round in 0..10 {
            let fresh = pki.pair(&format!("own-{round}"), "nginx", Use::Server)?;
            put(nginx, "/etc/nginx/ssl", OWN, &fresh)?;
            put(nginx, "/etc/nginx/ssl", CLIENT, &pki.pair("again", "nginx-mesh-client", Use::Client)?)?;
            nginx.sh("nginx -t && systemctl reload nginx")?;
            let wanted = Some(fresh.serial()?);
            patience::until(|| (served() == wanted).then_some(())).context("never served")?;
        }
        let tally = probing.take();
        ensure!(tally.asked > 10 && tally.failed.is_empty(), "{tally:?}");

        without_a_reload_the_old_client_certificate_is_shown(&bed)?;
        a_bad_pair_fails_the_test_and_the_old_one_serves_on(&bed)
    })
}

/// Nobody trusts the new one: as long as requests pass, it is the old one that nginx shows.
fn without_a_reload_the_old_client_certificate_is_shown(bed: &Bed) -> Result<()> {
    let strange = bed.pki.strange_pair("nginx-mesh-client")?;
    let before = shows(bed)?;
    put(&bed.nginx, "/etc/nginx/ssl", CLIENT, &strange)?;
    bed.ask().expect(200)?;
    ensure!(shows(bed)? == before && before != strange.serial()?, "nginx tells of what it has not read");
    bed.nginx.sh("nginx -t && systemctl reload nginx")?;
    patience::until(|| bed.ask().expect(502).ok()).context("a certificate of nobody's still passes")?;
    ensure!(shows(bed)? == strange.serial()?, "{} is shown", shows(bed)?);
    put(&bed.nginx, "/etc/nginx/ssl", CLIENT, &bed.pki.pair("last", "nginx-mesh-client", Use::Client)?)?;
    bed.ask().expect(502)?;
    bed.nginx.sh("nginx -t && systemctl reload nginx")?;
    patience::until(|| bed.ask().expect(200).ok()).context("a good certificate does not pass")
}

/// Serial number of the client certificate that nginx says it shows.
fn shows(bed: &Bed) -> Result<String> {
    let said = bed.nginx.sh("curl --silent --fail http://127.0.0.1:8446/mesh-client")?;
    Ok(said.trim().trim_start_matches('0').to_ascii_lowercase())
}

fn a_bad_pair_fails_the_test_and_the_old_one_serves_on(bed: &Bed) -> Result<()> {
    let before = served();
    let other = bed.pki.pair("other", "nginx", Use::Server)?;
    put(&bed.nginx, "/etc/nginx/ssl", OWN, &Pair { cert: other.cert, key: bed.own.key.clone() })?;
    let output = bed.nginx.run(["/bin/sh", "-c", "nginx -t && systemctl reload nginx"])?;
    ensure!(!output.status.success(), "nginx took a key of another certificate");
    // Even a reload without the test leaves the old workers serving.
    bed.nginx.sh("systemctl reload nginx || true")?;
    ensure!(before.is_some() && served() == before, "{:?}", served());
    bed.ask().expect(200)
}
