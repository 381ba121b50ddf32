//! Traefik: the swarm provider over mTLS, and a mesh entry point that lets nobody in without a certificate.
//!
//! Facts of Traefik v3 that decide what is written: an entry point has no key for client certificates, only the
//! name of TLS options; a name without `@file` is looked for at each provider by itself; what the named options do
//! not reach (unknown or no SNI, a label `tls=true`) is covered by the options called `default`.

use crate::yaml::{Node, Yaml, is_empty};
use crate::{Addresses, Edit, Edited, Unclear};

/// Options that the mesh entry point asks for.
const OPTIONS: &str = "mesh-mtls@file";
/// The directory that Traefik watches.
const DYNAMIC: &str = "/etc/traefik/dynamic";
/// Files for that directory, where they lie in the tree, and why they are needed.
const FILES: &[(&str, &str, &str)] = &[
    (
        "etc/traefik/dynamic/00-tls-options.yml",
        include_str!("../../../config/traefik/dynamic/00-tls-options.yml"),
        "the options that demand a client certificate, for the mesh entry point and for whatever it does not cover",
    ),
    (
        "etc/traefik/dynamic/10-certificates.yml",
        include_str!("../../../config/traefik/dynamic/10-certificates.yml"),
        "without it Traefik serves a certificate that it made itself",
    ),
    (
        "etc/traefik/dynamic/20-internal.yml",
        include_str!("../../../config/traefik/dynamic/20-internal.yml"),
        "the transports `internal@file` and `internal-once@file` that services of the swarm name in their labels, and \
         the dashboard on the mesh",
    ),
];
/// The delivered static file, of which nothing has to be pointed out.
const TEMPLATE: &str = include_str!("../../../config/traefik/traefik.yml.template");
/// Keys below an entry point's `http.tls` that Traefik v3 refuses to start with.
const REFUSED: &[&str] = &["clientCA", "clientAuth", "clientAuthType"];
/// Top-level keys of the static file that Traefik reads over without a word.
const IGNORED: &[&str] = &["http", "tcp", "tls", "docker", "swarm"];
/// Keys of the provider that Traefik v3 refuses to start with.
const REMOVED: &[&str] = &["swarmMode", "apiVersion"];

/// The files that the watched directory needs.
pub(crate) fn dynamic_files() -> &'static [(&'static str, &'static str, &'static str)] {
    FILES
}

/// A dynamic file that is there already is the operator's.
pub(crate) fn edit_dynamic(text: &str, content: &str, reason: &str) -> Edited {
    let remarks = if text == content {
        Vec::new()
    } else {
        vec![format!("differs from the delivered file and is left as it is; {reason}")]
    };
    Edited { text: text.to_owned(), reasons: Vec::new(), remarks }
}

/// `traefik.yml.template`
pub(crate) fn edit(text: &str, addresses: &Addresses) -> Edit {
    if text == TEMPLATE {
        return Ok(Edited { text: text.to_owned(), ..Edited::default() });
    }
    let mut work = Work { yaml: Yaml::parse(text)?, reasons: Vec::new(), remarks: Vec::new() };
    work.point_out_ignored();
    work.point_out_browsers()?;
    work.provider(addresses)?;
    work.watched_directory()?;
    work.mesh()?;
    let Work { yaml, reasons, remarks } = work;
    let text = if reasons.is_empty() { text.to_owned() } else { yaml.text() };
    Ok(Edited { text, reasons, remarks })
}

struct Work {
    yaml: Yaml,
    reasons: Vec<String>,
    remarks: Vec<String>,
}

impl Work {
    fn because(&mut self, reason: &str) {
        self.reasons.push(reason.to_owned());
    }

    fn point_out_ignored(&mut self) {
        for (line, key) in self.yaml.keys(self.yaml.all()) {
            if IGNORED.contains(&key.as_str()) {
                self.remarks.push(format!(
                    "line {}: `{key}` at the top of the static file is read over by Traefik without a word; it belongs \
                     into a file of the watched directory",
                    line + 1
                ));
            }
        }
    }

    /// The options called `default` hold on every entry point, those for browsers included.
    fn point_out_browsers(&mut self) -> Result<(), Unclear> {
        let Some(all) = self.yaml.find(&["entryPoints"])? else { return Ok(()) };
        for (line, name) in self.yaml.keys(all.body) {
            if name != "mesh" && self.refuses_browsers(&name) {
                self.remarks.push(format!(
                    "line {}: routers with TLS on the entry point `{name}` get the options `default` of \
                     00-tls-options.yml and refuse whoever has no client certificate, browsers among them. Those that \
                     are for browsers ask for `browser@file`: the label \
                     traefik.http.routers.NAME.tls.options=browser@file, or `options: \"browser@file\"` below \
                     `http.tls` of the entry point (docs/consumers.md)",
                    line + 1
                ));
            }
        }
        Ok(())
    }

    /// An entry point with TLS and without options of its own. It is only looked at: what is not understood of it
    /// is no obstacle.
    fn refuses_browsers(&self, name: &str) -> bool {
        let value = |way: &[&str]| {
            let way = [&["entryPoints", name], way].concat();
            self.yaml.find(&way).ok().flatten().map(|node| node.value)
        };
        let port = |text: String| text.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| part == "443");
        let tls = value(&["http", "tls"]);
        let options = value(&["http", "tls", "options"]).unwrap_or_default();
        let address = value(&["address"]).or_else(|| value(&[]));
        !options.contains('@') && (tls.is_some() || address.is_some_and(port))
    }

    /// Finds the way, and makes what is missing of it.
    fn make(&mut self, way: &[&str]) -> Result<Node, Unclear> {
        for length in 1..=way.len() {
            let (Some(part), Some(above)) = (way.get(..length), way.get(..length - 1)) else { continue };
            let Some(key) = part.last() else { continue };
            if self.yaml.find(part)?.is_some() {
                continue;
            }
            let line = [format!("{key}:")];
            match self.yaml.find(above)? {
                Some(node) if !above.is_empty() => {
                    if is_empty(&node.value) {
                        self.yaml.set(&node, "");
                    }
                    self.yaml.append(&node, &line);
                }
                _ => self.yaml.append_to_root(&line),
            }
        }
        let missing = || Unclear::new(1, format!("has no place for `{}`", way.join(".")));
        self.yaml.find(way)?.ok_or_else(missing)
    }

    fn set(&mut self, way: &[&str], value: &str, plain: &str, reason: &str) -> Result<(), Unclear> {
        if self.yaml.find(way)?.is_some_and(|node| node.value == plain) {
            return Ok(());
        }
        let node = self.make(way)?;
        self.yaml.set(&node, value);
        self.because(reason);
        Ok(())
    }

    fn drop_key(&mut self, way: &[&str], reason: &str) -> Result<(), Unclear> {
        if let Some(node) = self.yaml.find(way)? {
            self.yaml.remove(&node);
            self.because(reason);
        }
        Ok(())
    }

    fn provider(&mut self, addresses: &Addresses) -> Result<(), Unclear> {
        let swarm = self.yaml.find(&["providers", "swarm"])?;
        if let Some(docker) = self.yaml.find(&["providers", "docker"])? {
            let reason =
                "services of a swarm are found by the provider `swarm`; `docker` connects and finds none";
            if swarm.is_some() {
                self.yaml.remove(&docker);
            } else {
                self.yaml.rename(&docker, "swarm");
            }
            self.because(reason);
        }
        for key in REMOVED {
            self.drop_key(
                &["providers", "swarm", key],
                "Traefik v3 does not start with this key of the provider",
            )?;
        }
        self.endpoint(&addresses.docker)?;
        self.client_certificate()
    }

    fn endpoint(&mut self, docker: &str) -> Result<(), Unclear> {
        let way = ["providers", "swarm", "endpoint"];
        let now = self.yaml.find(&way)?.map(|node| node.value).unwrap_or_default();
        // The address may be a placeholder that a script fills in: only the port is ours.
        let wanted = match now.strip_prefix("tcp://").and_then(|rest| rest.rsplit_once(':')) {
            Some((_, "2376")) => return Ok(()),
            Some((host, _)) => format!("tcp://{host}:2376"),
            None => format!("tcp://{docker}:2376"),
        };
        self.set(&way, &format!("\"{wanted}\""), &wanted, "the Docker API is reached with TLS on 2376")
    }

    fn client_certificate(&mut self) -> Result<(), Unclear> {
        let reason =
            "dockerd asks for a client certificate; Traefik reads these files anew with every connection";
        for (key, file) in [("ca", "ca.pem"), ("cert", "client-cert.pem"), ("key", "client-key.pem")] {
            let way = ["providers", "swarm", "tls", key];
            if self.yaml.find(&way)?.is_none() {
                let path = format!("/etc/traefik/certs/{file}");
                self.set(&way, &path, &path, reason)?;
            }
        }
        self.reasons.dedup();
        let trust = ["providers", "swarm", "tls", "insecureSkipVerify"];
        if self.yaml.find(&trust)?.is_some_and(|node| node.value == "true") {
            self.set(
                &trust,
                "false",
                "false",
                "whoever answers on 2376 has to prove that it is the manager",
            )?;
        }
        self.drop_key(&["providers", "swarm", "tls", "caOptional"], "Traefik v3 does not start with this key")
    }

    fn watched_directory(&mut self) -> Result<(), Unclear> {
        let directory = self.yaml.find(&["providers", "file", "directory"])?;
        if let Some(node) = directory {
            if node.value != DYNAMIC {
                self.remarks.push(format!(
                    "line {}: Traefik watches {}; put the files of etc/traefik/dynamic there",
                    node.line + 1,
                    node.value
                ));
            }
            return Ok(());
        }
        if let Some(node) = self.yaml.find(&["providers", "file", "filename"])? {
            let inside = node.value.strip_prefix(DYNAMIC).is_some_and(|rest| rest.starts_with('/'));
            if !inside {
                let message = format!(
                    "makes Traefik read the one file {}; move it to {DYNAMIC} and write `directory: {DYNAMIC}` instead, \
                     so that the TLS options beside it are read too",
                    node.value
                );
                return Err(Unclear::new(node.line + 1, message));
            }
            self.yaml.remove(&node);
        }
        let reason = "the TLS options and the certificate to serve are read from this directory";
        self.set(&["providers", "file", "directory"], DYNAMIC, DYNAMIC, reason)?;
        self.set(&["providers", "file", "watch"], "true", "true", reason)?;
        self.reasons.dedup();
        Ok(())
    }

    fn mesh(&mut self) -> Result<(), Unclear> {
        if self.yaml.find(&["entryPoints", "mesh"])?.is_none() {
            let address = ["entryPoints", "mesh", "address"];
            self.set(&address, "\":8443\"", ":8443", "the mesh entry point is where the gateway comes in")?;
        }
        self.drop_key(
            &["entryPoints", "mesh", "tls"],
            "Traefik v3 does not start with `tls` here; it belongs below `http`",
        )?;
        for key in REFUSED {
            let reason = "Traefik v3 does not start with client authentication at an entry point: that belongs into \
                          TLS options";
            self.drop_key(&["entryPoints", "mesh", "http", "tls", key], reason)?;
        }
        let reason = "the mesh entry point asks for the options that demand a client certificate, by their full name: \
                      without `@file`, routers of the swarm look for options that nobody defines";
        self.set(
            &["entryPoints", "mesh", "http", "tls", "options"],
            &format!("\"{OPTIONS}\""),
            OPTIONS,
            reason,
        )
    }
}

/// The call after which the installer pushes the dynamic files.
const ANCHOR: &str = "setup_traefik_directories";
/// What tells an installer that was edited.
const PUSHED: &str = "00-tls-options.yml";

/// `phoenix_hypervisor_feature_install_traefik.sh`: the dynamic files go into the container. The client certificate
/// is delivered by phoenix-certd, as the manifest says.
pub(crate) fn edit_installer(text: &str) -> Edited {
    let mut edited = Edited { text: text.to_owned(), ..Edited::default() };
    if text.contains(PUSHED) {
        let names = FILES.iter().filter_map(|(path, ..)| path.rsplit('/').next());
        let missing = names.filter(|name| !text.contains(name));
        edited
            .remarks
            .extend(missing.map(|name| format!("does not push {name} into {DYNAMIC} of the container")));
        return edited;
    }
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let Some(at) = lines.iter().rposition(|line| line.trim() == ANCHOR) else {
        edited.remarks.push(format!(
            "does not call {ANCHOR} on a line of its own: let it push the files of etc/traefik/dynamic into \
             {DYNAMIC} of the container before Traefik starts"
        ));
        return edited;
    };
    let indent: String =
        lines.get(at).map_or("", |line| line).chars().take_while(|c| c.is_whitespace()).collect();
    let step: String = PUSH.lines().flat_map(|line| [indent.as_str(), line, "\n"]).collect();
    let (before, after) = lines.split_at(at + 1);
    edited.text = format!("{}\n{step}{}", before.concat(), after.concat());
    edited.reasons.push(
        "Traefik closes the mesh entry point until the options are there; ca.pem, client-cert.pem and client-key.pem \
         are delivered by phoenix-certd (`deliver` of traefik-client, mode 0600) and need no step here"
            .to_owned(),
    );
    edited
}

const PUSH: &str = r#"# Options that demand client certificates, the certificate to serve, and transports: before Traefik starts.
for file in 00-tls-options.yml 10-certificates.yml 20-internal.yml; do
    if ! pct push "$CTID" "/usr/local/phoenix_hypervisor/etc/traefik/dynamic/${file}" "/etc/traefik/dynamic/${file}"; then
        log_fatal "Failed to push ${file} into container $CTID."
    fi
done
"#;
