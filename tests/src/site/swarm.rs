//! Docker Swarm on a machine, and stand-ins for services in it: Portainer behind nginx, and one that holds its
//! certificate itself, as secrets.

use anyhow::{Context, Result};
use phoenix_testkit::machine::Machine;
use phoenix_testkit::manifest::config_file;

use super::{DOCKER, PORTAINER_FRONT_FILES, until_sh};

/// Image of the stand-ins: nginx, which answers over TLS with a certificate of its own or that of the secrets. Like
/// Portainer it locks a file in /data and ends when another one has it.
const IMAGE: &str = "stand-in:1";
/// Where the certificate for Portainer lies in the machine, and its key.
pub const PORTAINER_FILES: [&str; 2] = ["/etc/portainer/tls/cert.pem", "/etc/portainer/tls/key.pem"];
/// Name of the service that `config/docker/secrets-stack.yml` makes, deployed as its head says.
pub const APP: &str = "app_app";
/// Where its certificate lies in the machine, and its key.
pub const APP_FILES: [&str; 2] = ["/etc/app/tls/cert.pem", "/etc/app/tls/key.pem"];
/// The rotation script, where its head says it belongs.
pub const ROTATE: &str = "/usr/local/sbin/rotate-tls-secrets.sh";

/// An image with nginx and what it needs, and nothing else. It has a certificate that it made for itself.
const MAKE_IMAGE: &str = r#"
image=$(mktemp -d)
programs=(/usr/sbin/nginx /bin/sh /usr/bin/flock)
for file in "${programs[@]}" $(ldd "${programs[@]}" | grep -o '/[^ :]*' | sort -u); do
  [ -d "$file" ] || install -D "$file" "$image$file"
done
mkdir -p "$image"/{tmp,run,dev,data,certs,etc/nginx,var/log/nginx,var/lib/nginx}
echo root:x:0:0::/: >"$image/etc/passwd"
echo root:x:0: >"$image/etc/group"
cp /root/stand-in.conf "$image/etc/nginx/nginx.conf"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=self-made -days 2 \
  -keyout "$image/certs/key.pem" -out "$image/certs/cert.pem" 2>/dev/null
run='exec 9>/data/portainer.db; flock --timeout 1 9 || exit 1; exec /usr/sbin/nginx'
tar -C "$image" -c . | docker import --change "ENTRYPOINT [\"/bin/sh\", \"-c\", \"$run\", \"sh\"]" - stand-in:1 >/dev/null
rm -rf "$image"
"#;

/// The arguments of the rotation script for the one with secrets.
pub fn secrets() -> String {
    let [cert, key] = APP_FILES;
    format!("/certs/cert.pem={cert}:0444:app_tls_cert /certs/key.pem={key}:0400:app_tls_key")
}

/// Makes the machine a manager of a swarm of its own, with the image and the rotation script. Docker runs.
pub fn init(machine: &Machine) -> Result<()> {
    machine.install(&config_file("docker/rotate-tls-secrets.sh"), ROTATE, 0o755)?;
    let stand_in = STAND_IN.replace("SLOW", &"x".repeat(SLOW));
    machine.write("/root/stand-in.conf", stand_in, 0o644)?;
    machine.sh(&format!(
        "docker swarm init --advertise-addr {DOCKER}
         docker network create --driver overlay traefik-public"
    ))?;
    machine.sh(MAKE_IMAGE).map(drop)
}

/// Puts nginx before Portainer, as `config/` has it; it is not started.
pub fn install_front(machine: &Machine) -> Result<()> {
    super::install(machine, &PORTAINER_FRONT_FILES)
}

/// Deploys Portainer's stack of `config/` with the stand-in's image; returns when the service is running.
pub fn deploy_portainer(machine: &Machine) -> Result<()> {
    let stack = stack("portainer-stack.yml", "portainer/portainer-ce:lts")?;
    deploy(machine, "portainer_service", "portainer_service_portainer", &stack, "")
}

/// Deploys the stack with secrets of `config/` likewise. Its certificate is in place.
pub fn deploy_app(machine: &Machine) -> Result<()> {
    let stack = stack("secrets-stack.yml", "registry.internal.thinkheads.ai/app:1")?;
    deploy(machine, "app", APP, &stack, &format!("APP_TLS_GEN=$({ROTATE} - {})", secrets()))
}

/// A stack of `config/` with the image of the stand-ins.
fn stack(file: &str, image: &str) -> Result<String> {
    let path = config_file(&format!("docker/{file}"));
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    anyhow::ensure!(text.contains(image), "{file} has another image");
    Ok(text.replace(image, IMAGE))
}

fn deploy(machine: &Machine, name: &str, service: &str, stack: &str, environment: &str) -> Result<()> {
    let place = format!("/root/{name}-stack.yml");
    machine.write(&place, stack, 0o644)?;
    machine.sh(&format!(
        "{environment}
         export ${{!APP_TLS_@}}
         docker stack deploy --resolve-image never --compose-file {place} {name}"
    ))?;
    let running = format!("docker service ps {service} --format '{{{{.CurrentState}}}}' | grep -q ^Running");
    until_sh(machine, &format!("running {service}"), &running).map(drop)
}

/// Length of slow answers, in bytes.
const SLOW: usize = 720;

/// The stand-ins' configuration.
const STAND_IN: &str = r#"daemon off;
user root;
error_log stderr;
events {}
http {
    access_log off;
    server {
        listen 9443 ssl;
        listen 8443 ssl;
        ssl_certificate /certs/cert.pem;
        ssl_certificate_key /certs/key.pem;
        location = /api/system/status {
            default_type application/json;
            return 200 '{"Version":"stand-in"}';
        }
        # Answers that take seven seconds, and one minute.
        location = /slow {
            limit_rate 100;
            return 200 "SLOW";
        }
        location = /endless {
            limit_rate 12;
            return 200 "SLOW";
        }
        # Which client certificate Traefik was shown, if it is told to hand that on.
        location = /client {
            return 200 $http_x_forwarded_tls_client_cert_info;
        }
    }
}
"#;
