//! dockerd with TLS of its own, dockerd behind nginx, and the rotation of swarm secrets.

use anyhow::{Context, Result, ensure};
use phoenix_testkit::machine::Machine;
use phoenix_testkit::process::Group;
use phoenix_testkit::scratch::Scratch;
use phoenix_testkit::{network, patience};
use phoenix_tests::site::ask::{Ask, shown};
use phoenix_tests::site::pki::{Pair, Pki, Use};
use phoenix_tests::site::probing::Probing;
use phoenix_tests::site::{self, DOCKER, put, swarm};

pub(crate) const PORT: &str = "10.0.0.111:2376";
const APP: &str = "10.0.0.111:8443";

pub(crate) struct Bed {
    pub(crate) machine: Machine,
    pub(crate) pki: Pki,
    server: Pair,
    pub(crate) client: Pair,
    _scratch: Scratch,
}

impl Bed {
    /// Docker is stopped; a pair for it is in place.
    pub(crate) fn new(files: &[(&'static str, &'static str)]) -> Result<Self> {
        let scratch = Scratch::new()?;
        let pki = Pki::new(&scratch)?;
        let [machine] = site::machines([DOCKER])?;
        let server = pki.pair("server", "docker-daemon", Use::Server)?;
        let client = pki.pair("client", "traefik-client", Use::Client)?;
        site::install_dockerd(&machine, files)?;
        site::give_docker(&machine, &pki, &server)?;
        Ok(Self { machine, pki, server, client, _scratch: scratch })
    }

    pub(crate) fn ping(&self) -> Ask {
        Ask::at(PORT, &format!("https://{PORT}/_ping"), self.pki.root())
    }

    /// Exactly clients of the house come in.
    pub(crate) fn check_port(&self) -> Result<()> {
        let both = self.pki.pair("both", "traefik-client", Use::Both)?;
        for good in [&self.client, &both] {
            self.ping().with(good).expect(200)?;
        }
        self.ping().expect_refusal()?;
        for bad in self.pki.bad_clients("traefik-client")? {
            self.ping().with(&bad).expect_refusal()?;
        }
        Ask::at("10.0.0.111:2375", "http://10.0.0.111/_ping", self.pki.root()).expect_refusal()
    }
}

/// Serial number of what is served at the port.
fn served() -> Option<String> {
    shown(PORT, None).map(|shown| shown.serial)
}

#[test]
fn dockerd_lets_in_clients_of_the_house_and_reads_certificates_only_when_it_starts() -> Result<()> {
    network::inside(|| {
        let bed = Bed::new(&site::DOCKERD_FILES)?;
        let Bed { machine, pki, server, .. } = &bed;
        machine.sh("systemctl start docker")?;
        bed.check_port()?;
        ensure!(served() == Some(server.serial()?), "{:?}", served());

        let fresh = pki.pair("fresh", "docker-daemon", Use::Server)?;
        site::give_docker(machine, pki, &fresh)?;
        machine.sh("systemctl reload docker")?;
        let reloaded = "journalctl --boot --unit=docker --output=cat | grep -q 'Reloaded configuration'";
        site::until_sh(machine, "reloaded", reloaded)?;
        ensure!(served() == Some(server.serial()?), "a reload has become enough: tell docs/consumers.md");
        machine.sh("systemctl restart docker")?;
        ensure!(served() == Some(fresh.serial()?), "{:?}", served());

        a_bad_pair_keeps_it_down_until_a_good_one_comes(&bed, &fresh)?;
        hosts_in_both_places_are_refused(&bed)
    })
}

/// Three starts with a bad pair would leave the packaged unit failed; the drop-in takes that limit away.
fn a_bad_pair_keeps_it_down_until_a_good_one_comes(bed: &Bed, good: &Pair) -> Result<()> {
    let mixed = Pair { cert: good.cert.clone(), key: bed.server.key.clone() };
    site::give_docker(&bed.machine, &bed.pki, &mixed)?;
    for _ in 0..5 {
        let started = bed.machine.run(["systemctl", "restart", "docker"])?;
        ensure!(!started.status.success(), "dockerd started with a key of another certificate");
    }
    let said = bed.machine.journal("docker")?;
    ensure!(said.contains("private key does not match public key"), "{said}");
    site::give_docker(&bed.machine, &bed.pki, good)?;
    let up = || bed.ping().with(&bed.client).expect(200).ok();
    patience::until(up).context("dockerd does not come back by itself")
}

fn hosts_in_both_places_are_refused(bed: &Bed) -> Result<()> {
    let text = bed.machine.read("/etc/docker/daemon.json")?;
    let spoiled = text.replacen('{', "{\n  \"hosts\": [\"tcp://10.0.0.111:2376\"],", 1);
    bed.machine.write("/etc/docker/daemon.json", spoiled, 0o644)?;
    let started = bed.machine.run(["systemctl", "restart", "docker"])?;
    ensure!(!started.status.success(), "dockerd takes hosts from both places now");
    let said = bed.machine.journal("docker")?;
    ensure!(said.contains("specified both as a flag and in the configuration file: hosts"), "{said}");
    Ok(())
}

#[test]
fn behind_nginx_a_new_certificate_stops_no_container_and_breaks_no_stream() -> Result<()> {
    network::inside(|| {
        let bed = Bed::new(&site::FRONT_FILES)?;
        let Bed { machine, pki, .. } = &bed;
        machine.sh("systemctl start docker docker-front")?;
        bed.check_port()?;
        swarm::init(machine)?;
        swarm::deploy_portainer(machine)?;
        let container = machine.sh("docker ps --quiet --no-trunc")?;

        let events = machine.path("/root/events");
        let mut watch = stream_of_events(&bed)?;
        let probing = Probing::begin(bed.ping().with(&bed.client), 200);
        for round in 0..10 {
            let fresh = pki.pair(&format!("fresh-{round}"), "docker-daemon", Use::Server)?;
            site::give_docker(machine, pki, &fresh)?;
            machine.sh("systemctl reload docker-front")?;
            let wanted = Some(fresh.serial()?);
            patience::until(|| (served() == wanted).then_some(())).context("never served")?;
        }
        let tally = probing.take();
        ensure!(tally.asked > 10 && tally.failed.is_empty(), "{tally:?}");
        ensure!(machine.sh("docker ps --quiet --no-trunc")? == container, "the container is another one");

        machine.sh("docker volume create late")?;
        let told = || std::fs::read_to_string(&events).is_ok_and(|text| text.contains("late")).then_some(());
        patience::until(told).context("the stream of before the reloads tells nothing any more")?;
        ensure!(watch.running(), "the stream ended");

        a_bad_pair_fails_the_reload_and_the_old_one_serves_on(&bed)
    })
}

/// `docker events` through the front, into a file of the machine.
fn stream_of_events(bed: &Bed) -> Result<Group> {
    put(&bed.machine, "/root/client", ["cert.pem", "key.pem"], &bed.client)?;
    let script = format!(
        "exec docker -H tcp://{PORT} --tlsverify --tlscacert /etc/docker/tls/ca.pem --tlscert /root/client/cert.pem \
         --tlskey /root/client/key.pem events >/root/events"
    );
    let watch = Group::spawn(&mut bed.machine.command(["/bin/sh", "-c", &script]))?;
    // An event that it tells shows that it listens.
    let listens = "docker volume create early >/dev/null; docker volume rm early >/dev/null; grep -q early /root/events";
    site::until_sh(&bed.machine, "listening to events", listens)?;
    Ok(watch)
}

fn a_bad_pair_fails_the_reload_and_the_old_one_serves_on(bed: &Bed) -> Result<()> {
    let before = served();
    let mixed = Pair { cert: bed.server.cert.clone(), key: bed.client.key.clone() };
    site::give_docker(&bed.machine, &bed.pki, &mixed)?;
    let reloaded = bed.machine.run(["systemctl", "reload", "docker-front"])?;
    ensure!(!reloaded.status.success(), "nginx took a key of another certificate");
    ensure!(before.is_some() && served() == before, "{:?}", served());
    bed.ping().with(&bed.client).expect(200)
}

#[test]
fn swarm_secrets_are_rotated_in_one_update_and_a_failed_one_leaves_the_old_ones() -> Result<()> {
    network::inside(|| {
        let bed = Bed::new(&site::FRONT_FILES)?;
        let Bed { machine, pki, .. } = &bed;
        machine.sh("systemctl start docker")?;
        let give = |pair: &Pair| put(machine, "/etc/app/tls", ["cert.pem", "key.pem"], pair);
        let rotate = |service: &str| machine.run(["/bin/sh", "-c", &rotation(service)]);
        let shown_now = || shown(APP, None).map(|shown| shown.serial);
        let names = || machine.sh("docker secret ls --format '{{.Name}}' | sort");
        let first = pki.pair("first", "app", Use::Server)?;
        give(&first)?;
        swarm::init(machine)?;
        swarm::deploy_app(machine)?;
        ensure!(shown_now() == Some(first.serial()?), "{:?}", shown_now());

        let second = pki.pair("second", "app", Use::Server)?;
        give(&second)?;
        let output = rotate(swarm::APP)?;
        ensure!(output.status.success(), "{output:?}");
        ensure!(shown_now() == Some(second.serial()?), "{:?}", shown_now());
        ensure!(names()?.lines().count() == 2 && names()?.contains(&second.serial()?), "{}", names()?);
        let again = rotate(swarm::APP)?;
        ensure!(String::from_utf8_lossy(&again.stdout).starts_with("unchanged"), "{again:?}");

        let last = an_update_that_is_not_waited_for_goes_on_and_is_told_so(&bed)?;

        let before = names()?;
        give(&pki.pair("third", "app", Use::Server)?)?;
        ensure!(!rotate("no_such_service")?.status.success(), "a service that is not there");
        ensure!(names()? == before, "secrets were left: {}", names()?);

        // A task that cannot come up: its certificate and its key do not belong together.
        give(&Pair { cert: pki.pair("fourth", "app", Use::Server)?.cert, key: first.key })?;
        ensure!(!rotate(swarm::APP)?.status.success(), "a pair that keeps the service from starting");
        let back = || (shown_now().as_ref() == Some(&last)).then_some(());
        patience::until(back).with_context(|| format!("{:?} is served after the roll-back", shown_now()))?;
        site::until_sh(machine, "cleared up", &format!("[ \"$(docker secret ls -q | wc -l)\" = {} ]", 2))?;

        removing_a_secret_in_use_looks_like_a_success(&bed)
    })
}

/// The swarm does not end what nobody waits for; the next run finds it done, and clears up. Serial number of what
/// is served then.
fn an_update_that_is_not_waited_for_goes_on_and_is_told_so(bed: &Bed) -> Result<String> {
    let Bed { machine, pki, .. } = bed;
    let pair = pki.pair("hasty", "app", Use::Server)?;
    put(machine, "/etc/app/tls", ["cert.pem", "key.pem"], &pair)?;
    // An update is watched for five seconds at the least.
    let hasty = format!("WAIT=3 {}", rotation(swarm::APP).replace("exec ", ""));
    let output = machine.run(["/bin/sh", "-c", &hasty])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success() && said.contains("goes on in the swarm"), "{output:?}");
    ensure!(!said.contains("secrets that it had"), "{said}");
    site::until_sh(machine, "at its end", &format!("{} | grep ^unchanged", rotation(swarm::APP)))?;
    machine.sh("[ \"$(docker secret ls --quiet | wc -l)\" = 2 ]")?;
    let seen = shown(APP, None).map(|shown| shown.serial);
    ensure!(seen == Some(pair.serial()?), "{seen:?}");
    pair.serial()
}

fn rotation(service: &str) -> String {
    format!("exec {} {service} {}", swarm::ROTATE, swarm::secrets())
}

/// What the old command did: it ends with 0, and nothing has changed.
fn removing_a_secret_in_use_looks_like_a_success(bed: &Bed) -> Result<()> {
    let before = shown(APP, None).context("nothing is served")?;
    let fresh = bed.pki.pair("fifth", "app", Use::Server)?;
    put(&bed.machine, "/etc/app/tls", ["cert.pem", "key.pem"], &fresh)?;
    bed.machine.sh(&format!(
        "set +e
         name=$(docker secret ls --format '{{{{.Name}}}}' | grep cert)
         docker secret rm $name
         docker secret create $name {}
         docker service update --quiet --force {}",
        swarm::APP_FILES[0],
        swarm::APP
    ))?;
    let after = patience::until(|| shown(APP, None)).context("nothing is served any more")?;
    ensure!(after == before, "docker replaces secrets in use now: tell docs/consumers.md");
    Ok(())
}
