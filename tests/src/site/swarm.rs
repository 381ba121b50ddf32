//! Docker Swarm on a machine, and a stand-in for Portainer in it.

use anyhow::{Context, Result};
use phoenix_testkit::machine::Machine;
use phoenix_testkit::manifest::config_file;

use super::DOCKER;

/// Name of the service that `config/docker/portainer-stack.yml` makes, deployed as its head says.
pub const PORTAINER: &str = "portainer_service_portainer";
/// Image of the stand-in: nginx, which answers over TLS with the certificate of the secrets.
const IMAGE: &str = "stand-in:1";
/// Where the certificate for Portainer lies in the machine.
pub const PORTAINER_CERT: &str = "/etc/portainer/tls/cert.pem";
/// Where its key lies.
pub const PORTAINER_KEY: &str = "/etc/portainer/tls/key.pem";
/// The rotation script, where its head says it belongs.
pub const ROTATE: &str = "/usr/local/sbin/rotate-tls-secrets.sh";

/// An image with nginx and the libraries that it needs, and nothing else.
const MAKE_IMAGE: &str = r#"
image=$(mktemp -d)
for file in /usr/sbin/nginx /bin/sh $(ldd /usr/sbin/nginx /bin/sh | grep -o '/[^ :]*' | sort -u); do
  [ -d "$file" ] || install -D "$file" "$image$file"
done
mkdir -p "$image"/{tmp,run,dev,data,certs,etc/nginx,var/log/nginx,var/lib/nginx}
echo root:x:0:0::/: >"$image/etc/passwd"
echo root:x:0: >"$image/etc/group"
cp /root/stand-in.conf "$image/etc/nginx/nginx.conf"
tar -C "$image" -c . |
  docker import --change 'ENTRYPOINT ["/bin/sh", "-c", "exec /usr/sbin/nginx", "sh"]' - stand-in:1 >/dev/null
rm -rf "$image"
"#;

/// The arguments of the rotation script for the stand-in.
pub fn secrets() -> String {
    format!(
        "/certs/cert.pem={PORTAINER_CERT}:0444:portainer_tls_cert /certs/key.pem={PORTAINER_KEY}:0400:portainer_tls_key"
    )
}

/// Makes the machine a manager of a swarm of its own, with the stand-in's image and the rotation script. Docker runs.
pub fn init(machine: &Machine) -> Result<()> {
    machine.install(&config_file("docker/rotate-tls-secrets.sh"), ROTATE, 0o755)?;
    machine.write("/root/stand-in.conf", STAND_IN, 0o644)?;
    machine.sh(&format!(
        "docker swarm init --advertise-addr {DOCKER}
         docker network create --driver overlay traefik-public"
    ))?;
    machine.sh(MAKE_IMAGE).map(drop)
}

/// Deploys the stack of `config/` with the stand-in's image; returns when the service is running.
pub fn deploy_portainer(machine: &Machine) -> Result<()> {
    let path = config_file("docker/portainer-stack.yml");
    let stack = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    machine.write("/root/portainer-stack.yml", stack.replace("portainer/portainer-ce:lts", IMAGE), 0o644)?;
    machine.sh(&format!(
        "generation=$({ROTATE} - {})
         PORTAINER_TLS_GEN=$generation docker stack deploy --resolve-image never \
           --compose-file /root/portainer-stack.yml portainer_service",
        secrets()
    ))?;
    let running =
        format!("docker service ps {PORTAINER} --format '{{{{.CurrentState}}}}' | grep -q ^Running");
    super::until_sh(machine, "running the stand-in", &running).map(drop)
}

/// The stand-in's configuration.
const STAND_IN: &str = r#"daemon off;
user root;
error_log stderr;
events {}
http {
    access_log off;
    server {
        listen 9443 ssl;
        ssl_certificate /certs/cert.pem;
        ssl_certificate_key /certs/key.pem;
        location = /api/system/status {
            default_type application/json;
            return 200 '{"Version":"stand-in"}';
        }
        # Which client certificate Traefik was shown, if it is told to hand that on.
        location = /client {
            return 200 $http_x_forwarded_tls_client_cert_info;
        }
    }
}
"#;
