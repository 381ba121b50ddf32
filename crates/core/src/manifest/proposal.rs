//! `verify` blocks for consumers that are known, for entries that have none.

use serde_json::{Value, json};

use super::entry::{Entry, San, Usage};
use crate::name::CertName;

/// A `verify` that an entry could have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Entry without `verify`.
    pub entry: CertName,
    /// What its consumer was taken for.
    pub consumer: &'static str,
    /// Value of `verify`.
    pub verify: Value,
}

/// Proposals for those of `entries` whose consumers are known by their names, paths and commands.
pub fn proposals(entries: &[Entry]) -> Vec<Proposal> {
    let silent = |entry: &&Entry| entry.verify.is_empty() && entry.stage_errors.is_empty();
    entries.iter().filter(silent).filter_map(|entry| propose(entry, entries)).collect()
}

fn propose(entry: &Entry, all: &[Entry]) -> Option<Proposal> {
    let (consumer, verify) = if is_docker(entry) {
        let mut verify = json!({ "tls": format!("{}:2376", host(entry)?), "refuse_without_client": true });
        if let Some(client) = all.iter().find(|other| is_client_of_docker(other)) {
            verify["client"] = json!(client.name);
        }
        ("a Docker server certificate", verify)
    } else if is_client_of_docker(entry) {
        let docker = all.iter().find(|other| is_docker(other)).and_then(host)?;
        let verify =
            json!({ "accepted_by": format!("{docker}:2376"), "http_get": "/_ping", "expect_status": 200 });
        ("a client certificate of Traefik", verify)
    } else if entry.usage != Usage::Client && mentions(entry, "nginx") {
        ("an nginx gateway", json!({ "tls": format!("{}:443", host(entry)?), "server_name": name(entry)? }))
    } else {
        return None;
    };
    Some(Proposal { entry: entry.name.clone(), consumer, verify })
}

fn is_docker(entry: &Entry) -> bool {
    entry.usage != Usage::Client && entry.name.as_str().contains("docker") && mentions(entry, "docker")
}

fn is_client_of_docker(entry: &Entry) -> bool {
    entry.usage == Usage::Client && entry.name.as_str().contains("traefik")
}

/// Paths or command of the entry contain `word`.
fn mentions(entry: &Entry, word: &str) -> bool {
    let command = entry.command.iter().flat_map(|command| &command.argv);
    entry.cert_path.to_string().contains(word) || command.into_iter().any(|argument| argument.contains(word))
}

/// Where the consumer is reached: its address, or its name.
fn host(entry: &Entry) -> Option<String> {
    let address = entry.sans.iter().find_map(|san| match san {
        San::Ip(address) if address.is_ipv4() => Some(address.to_string()),
        San::Ip(address) => Some(format!("[{address}]")),
        _ => None,
    });
    address.or_else(|| name(entry))
}

/// A name that a client may ask for.
fn name(entry: &Entry) -> Option<String> {
    entry.sans.iter().find_map(|san| match san {
        San::Dns(name) if name.contains('.') && !name.starts_with('*') => Some(name.clone()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn entry(name: &str, usage: Usage, command: &str, san: Option<&str>) -> Entry {
        let mut entry = samples::entry(name);
        entry.usage = usage;
        if let Some(command_line) = &mut entry.command {
            command_line.argv = command.split(' ').map(str::to_owned).collect();
        }
        entry.sans.extend(san.map(|san| san.parse().unwrap()));
        entry
    }

    #[test]
    fn known_consumers_get_a_block_that_can_be_pasted() {
        let docker = entry(
            "docker-daemon",
            Usage::Server,
            "qm guest exec 1001 -- systemctl restart docker",
            Some("10.0.0.111"),
        );
        let traefik = entry("traefik-client", Usage::Client, "pct exec 102 -- true", None);
        let nginx = entry("gateway", Usage::Server, "pct exec 101 -- systemctl reload nginx", None);
        let other = entry("portainer", Usage::Server, "pct exec 103 -- true", None);
        let found = proposals(&[docker, traefik, nginx, other]);
        let blocks: Vec<(&str, Value)> =
            found.iter().map(|proposal| (proposal.entry.as_str(), proposal.verify.clone())).collect();
        assert_eq!(
            blocks,
            [
                (
                    "docker-daemon",
                    json!({"tls": "10.0.0.111:2376", "refuse_without_client": true, "client": "traefik-client"})
                ),
                (
                    "traefik-client",
                    json!({"accepted_by": "10.0.0.111:2376", "http_get": "/_ping", "expect_status": 200})
                ),
                (
                    "gateway",
                    json!({"tls": "gateway.internal.thinkheads.ai:443", "server_name": "gateway.internal.thinkheads.ai"})
                ),
            ]
        );
    }

    #[test]
    fn an_entry_that_is_verified_needs_no_proposal() {
        let mut docker =
            entry("docker-daemon", Usage::Server, "qm guest exec 1 -- systemctl restart docker", None);
        docker.verify = vec![crate::manifest::Verify::Command {
            argv: vec!["/usr/sbin/qm".into()],
            expect: "{serial}".into(),
            deadline: std::time::Duration::from_secs(30),
        }];
        assert_eq!(proposals(&[docker]), []);
    }
}
