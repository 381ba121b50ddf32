//! The operator's site: machines with Traefik, Docker and nginx at the addresses of the plan, set up from `config/`.
//!
//! | module | gives |
//! |---|---|
//! | this | the machines, and the files of `config/` put where they say they belong |
//! | [`pki`] | pairs for suites that run consumers without the daemon |
//! | [`ask`] | requests and handshakes as an outsider makes them |
//! | [`swarm`] | Docker Swarm on a machine, and stand-ins for services in it |
//! | [`plan`] | the whole of it, kept by the daemon with the recommended manifest |
//! | [`kept`] | one machine of it, kept by the daemon |
//! | [`rotation`] | one renewal, and how long it takes |
//! | [`probing`] | requests all the time, with the failed ones counted |
//! | [`kept_alive`] | the same over connections that are kept |

pub mod ask;
pub mod kept;
pub mod kept_alive;
pub mod pki;
pub mod plan;
pub mod probing;
pub mod rotation;
pub mod swarm;

use anyhow::{Context, Result};
use phoenix_testkit::machine::{Booting, Machine};
use phoenix_testkit::manifest::config_file;
use phoenix_testkit::patience;

use pki::{Pair, Pki};

/// LXC 101: the gateway.
pub const NGINX: &str = "10.0.0.153";
/// LXC 102.
pub const TRAEFIK: &str = "10.0.0.12";
/// VM 1001.
pub const DOCKER: &str = "10.0.0.111";
/// Domain of every name.
pub const DOMAIN: &str = "internal.thinkheads.ai";

/// Boots machines with these addresses, all at once.
pub fn machines<const N: usize>(addresses: [&str; N]) -> Result<[Machine; N]> {
    let booting: Vec<_> = addresses.into_iter().map(Machine::boot).collect::<Result<_>>()?;
    let up: Vec<Machine> = booting.into_iter().map(Booting::up).collect::<Result<_>>()?;
    up.try_into().ok().context("every machine is up")
}

/// A file of `config/` and where its head says it belongs.
type Placed = (&'static str, &'static str);

/// Traefik's files.
pub const TRAEFIK_FILES: [Placed; 5] = [
    ("traefik/traefik.yml.template", "/etc/traefik/traefik.yml"),
    ("traefik/dynamic/00-tls-options.yml", "/etc/traefik/dynamic/00-tls-options.yml"),
    ("traefik/dynamic/10-certificates.yml", "/etc/traefik/dynamic/10-certificates.yml"),
    ("traefik/dynamic/20-internal.yml", "/etc/traefik/dynamic/20-internal.yml"),
    ("traefik/traefik.service", "/etc/systemd/system/traefik.service"),
];
/// dockerd with TLS of its own.
pub const DOCKERD_FILES: [Placed; 2] = [
    ("docker/daemon.json", "/etc/docker/daemon.json"),
    (
        "docker/docker.service.d/10-phoenix-tls.conf",
        "/etc/systemd/system/docker.service.d/10-phoenix-tls.conf",
    ),
];
/// dockerd behind nginx.
pub const FRONT_FILES: [Placed; 2] = [
    ("docker/nginx-docker-front.conf", "/etc/docker/nginx-docker-front.conf"),
    ("docker/docker-front.service", "/etc/systemd/system/docker-front.service"),
];
/// Portainer behind nginx.
pub const PORTAINER_FRONT_FILES: [Placed; 2] = [
    ("docker/nginx-portainer-front.conf", "/etc/docker/nginx-portainer-front.conf"),
    ("docker/portainer-front.service", "/etc/systemd/system/portainer-front.service"),
];
/// The gateway.
pub const GATEWAY_FILES: [Placed; 1] = [("nginx/gateway.conf", "/etc/nginx/sites-available/gateway")];

/// Puts files of `config/` into a machine, as they are.
pub fn install(machine: &Machine, files: &[Placed]) -> Result<()> {
    for (source, place) in files {
        machine.install(&config_file(source), place, 0o644)?;
    }
    machine.sh("systemctl daemon-reload").map(drop)
}

/// Prepares nginx for the gateway: Debian's own site gives way.
pub fn install_gateway(machine: &Machine) -> Result<()> {
    install(machine, &GATEWAY_FILES)?;
    machine.sh("rm -f /etc/nginx/sites-enabled/default
         ln -s ../sites-available/gateway /etc/nginx/sites-enabled/gateway")?;
    Ok(())
}

/// Prepares Docker as the plan's VM 1001 has it: Docker's own packages have the program in /usr/bin.
pub fn install_dockerd(machine: &Machine, files: &[Placed]) -> Result<()> {
    install(machine, files)?;
    machine.sh("ln -sf ../sbin/dockerd /usr/bin/dockerd").map(drop)
}

/// Puts a pair into a machine under these names, the key first, each replaced by renaming.
pub fn put(machine: &Machine, directory: &str, names: [&str; 2], pair: &Pair) -> Result<()> {
    let [cert, key] = names.map(|name| format!("{directory}/{name}"));
    machine.install(&pair.key, &key, 0o600)?;
    machine.install(&pair.cert, &cert, 0o600)
}

/// Gives Docker, or nginx before it, a pair and the root.
pub fn give_docker(machine: &Machine, pki: &Pki, pair: &Pair) -> Result<()> {
    machine.install(pki.root(), "/etc/docker/tls/ca.pem", 0o644)?;
    put(machine, "/etc/docker/tls", ["cert.pem", "key.pem"], pair)
}

/// Waits until a shell script in the machine succeeds.
pub fn until_sh(machine: &Machine, what: &str, script: &str) -> Result<String> {
    let mut last = String::new();
    let reached = patience::until(|| match machine.sh(script) {
        Ok(said) => Some(said),
        Err(error) => {
            last = format!("{error:#}");
            None
        }
    });
    reached.with_context(|| format!("never {what}: {last}"))
}
