//! VM 1001 by the steps of `docs/consumers.md`: from a dockerd that holds its port to the fronts, and a boot after that.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use phoenix_testkit::machine::Machine;
use phoenix_testkit::network::{self, BRIDGE};
use phoenix_testkit::patience;
use phoenix_tests::site::ask::{Ask, shown};
use phoenix_tests::site::pki::Use;
use phoenix_tests::site::{self, DOCKER, put, swarm};

use crate::docker::{Bed, PORT};

const PORTAINER: &str = "10.0.0.111:9443";

/// As the document has it, with a `daemon.json` that says nothing but TLS.
const TO_THE_FRONT: &str = "
    rm /etc/systemd/system/docker.service.d/10-phoenix-tls.conf
    rm /etc/docker/daemon.json
    systemctl daemon-reload
    systemctl disable --now nginx
    systemctl restart docker
    systemctl enable --now docker docker-front portainer-front";

#[test]
fn the_ports_move_to_the_fronts_which_hold_them_after_a_boot_and_portainers_own_is_closed() -> Result<()> {
    network::inside(|| {
        let bed = Bed::new(&site::DOCKERD_FILES)?;
        let Bed { machine, pki, .. } = &bed;
        // As a machine has it that nobody has prepared: Debian's packages enable their site.
        machine.sh("systemctl enable --now nginx docker; systemctl is-active nginx docker")?;
        bed.check_port()?;
        swarm::init(machine)?;
        swarm::deploy_portainer(machine)?;

        for address in addresses(machine)? {
            ensure!(asked(&address)? == 0, "{address}: nothing has to be closed, tell docs/consumers.md");
        }

        site::install(machine, &site::FRONT_FILES)?;
        swarm::install_front(machine)?;
        let pair = pki.pair("portainer", "portainer", Use::Server)?;
        put(machine, "/etc/portainer/tls", ["cert.pem", "key.pem"], &pair)?;
        machine.sh(TO_THE_FRONT)?;
        let status =
            Ask::at(PORTAINER, "https://portainer.internal.thinkheads.ai/api/system/status", pki.root());
        let up = || {
            patience::until(|| status.expect(200).and(bed.ping().with(&bed.client).expect(200)).ok())
                .with_context(|| {
                    format!("{:?}, {:?}", status.answer(), bed.ping().with(&bed.client).answer())
                })
        };
        up()?;
        bed.check_port()?;
        only_the_front_reaches_portainers_own_port(&bed)?;

        stop_and_boot(machine)?;
        up()?;
        bed.check_port()?;
        only_the_front_reaches_portainers_own_port(&bed)?;
        let sites = machine.run(["systemctl", "is-active", "nginx"])?;
        ensure!(!sites.status.success(), "Debian's own site came up: {sites:?}");
        Ok(())
    })
}

/// Everything that is not of the system itself is ended, then what is enabled is started, as at a boot.
fn stop_and_boot(machine: &Machine) -> Result<()> {
    let bare = "[Unit]\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n";
    machine.write("/run/systemd/system/bare.target", bare, 0o644)?;
    // Rules of the firewall do not survive a boot.
    machine.sh("systemctl daemon-reload
         systemctl isolate bare.target
         iptables -t raw -F PREROUTING
         ip6tables -t raw -F PREROUTING")?;
    // What is asked for is waited for, and that is the target, not what ends for it.
    let units = "docker docker-front portainer-front";
    site::until_sh(machine, "everything has ended", &format!("! systemctl is-active {units}"))?;
    for port in [PORT, PORTAINER] {
        patience::until(|| shown(port, None).is_none().then_some(()))
            .with_context(|| format!("{port} is still held"))?;
    }
    machine.sh("systemctl isolate default.target").map(drop)
}

/// A swarm publishes on all addresses; from another machine nobody gets through, in neither family.
fn only_the_front_reaches_portainers_own_port(bed: &Bed) -> Result<()> {
    bed.machine.sh(&own("127.0.0.1"))?;
    for address in addresses(&bed.machine)? {
        let answer = asked(&address)?;
        ensure!(matches!(answer, NOBODY | SILENCE), "{address} answers another machine: {answer}");
    }
    Ok(())
}

/// What curl ends with when nobody listens, and when nothing comes back.
const NOBODY: i32 = 7;
const SILENCE: i32 = 28;

fn own(address: &str) -> String {
    format!("curl --silent --insecure --max-time 5 'https://{address}:9444/api/system/status'")
}

/// How curl ends that asks Portainer's own port from another machine.
fn asked(address: &str) -> Result<i32> {
    let output = Command::new("sh").args(["-c", &own(address)]).output()?;
    output.status.code().context("curl was killed")
}

/// The machine's, of both families.
fn addresses(machine: &Machine) -> Result<[String; 2]> {
    let local = machine.sh("ip -6 -oneline address show dev host0 scope link | grep -o 'fe80[^/]*'")?;
    Ok([DOCKER.to_owned(), format!("[{}%25{BRIDGE}]", local.trim())])
}
