//! The operator's plan from end to end: real Step-CA, Traefik, Docker in swarm mode and nginx at the addresses of the
//! plan, with the configuration of `config/` and the recommended manifest, kept by the daemon.

mod dockerd;
mod gateway;
mod short_lives;
mod trouble;
mod watch;

use anyhow::{Context, Result, ensure};
use phoenix_testkit::stepca::Options;
use phoenix_testkit::{network, openssl, patience};
use phoenix_tests::is_done;
use phoenix_tests::site::ask::Ask;
use phoenix_tests::site::plan::{DOCKER_PORT, MESH, Plan, SERVED, serial_at};
use phoenix_tests::site::rotation::Rotation;

#[test]
fn everything_is_issued_and_each_renewal_reaches_its_consumer_without_a_lost_request() -> Result<()> {
    network::inside(|| {
        let plan = Plan::with(&Options::default())?;
        everything_is_there(&plan)?;
        exactly_clients_of_the_house_come_in(&plan)?;
        each_entry_is_rotated_in_turn(&plan)
    })
}

fn everything_is_there(plan: &Plan) -> Result<()> {
    let status = plan.daemon.wait_all_ok(plan.entries.len())?;
    ensure!(status.certificates.iter().all(is_done), "{status:#?}");
    for (name, address) in SERVED {
        let serves = || (serial_at(address) == plan.serial(name).ok()).then_some(());
        patience::until(serves).with_context(|| format!("{name} is not what {address} serves"))?;
    }
    ensure!(plan.check_by_name()?.contains("stand-in"), "another answer than that of the backend");
    let modes =
        plan.traefik.sh("cd /etc/traefik/certs; stat -c '%a %U %n' ca.pem client-cert.pem client-key.pem")?;
    ensure!(modes.lines().all(|line| line.starts_with("600 root")) && modes.lines().count() == 3, "{modes}");
    Ok(())
}

/// The mesh and Docker's port: with every kind of certificate.
fn exactly_clients_of_the_house_come_in(plan: &Plan) -> Result<()> {
    let mesh = |host: &str| Ask::at(MESH, &format!("https://{host}/api/system/status"), plan.pki.root());
    let docker = Ask::at(DOCKER_PORT, &format!("https://{DOCKER_PORT}/_ping"), plan.pki.root());
    let known = mesh("portainer.internal.thinkheads.ai");
    let unknown = mesh("nobody.internal.thinkheads.ai");
    known.clone().with(&plan.client).expect(200)?;
    unknown.clone().with(&plan.client).expect(404)?;
    docker.clone().with(&plan.client).expect(200)?;
    let bad = plan.pki.bad_clients("traefik-client")?;
    for ask in [known, unknown, mesh("10.0.0.12"), docker] {
        ask.expect_refusal()?;
        for pair in &bad {
            ask.clone().with(pair).expect_refusal()?;
        }
    }
    Ok(())
}

/// Everybody asks all the time while one entry after the other is renewed.
fn each_entry_is_rotated_in_turn(plan: &Plan) -> Result<()> {
    let probes = plan.probes();
    let rotate = |name: &str, consumer: &dyn Fn() -> Option<String>| -> Result<()> {
        for (_, probing) in &probes {
            probing.take();
        }
        let Rotation { served, done } =
            plan.rotate(name, consumer).with_context(|| format!("renewal of {name}"))?;
        for (path, probing) in &probes {
            // Both of a request before and after the end are told.
            let asked = probing.asked();
            patience::until(|| (probing.asked() > asked + 1).then_some(()))
                .context("nobody asks any more")?;
            let tally = probing.take();
            eprintln!(
                "{name}: used after {served:.1?}, done after {done:.1?}; {path}: {} requests, {} lost, at most {:.1?} \
                 without an answer",
                tally.asked,
                tally.failed.len(),
                tally.gap
            );
            ensure!(tally.failed.is_empty(), "{name}, {path}: {tally:?}");
        }
        Ok(())
    };
    for (name, address) in SERVED {
        rotate(name, &|| serial_at(address))?;
    }
    rotate("nginx-mesh-client", &|| plan.gateway_client())?;
    let delivered = plan.traefik.path("/etc/traefik/certs/client-cert.pem");
    rotate("traefik-client", &|| openssl::serial(&delivered).ok())?;
    drop(probes);
    plan.docker_saw_client(&plan.serial("traefik-client")?)
}
