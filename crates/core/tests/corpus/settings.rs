//! The configuration: the report of a bad one, and every value of a good one.

use std::fmt::Write as _;

use phoenix_core::name::AbsolutePath;
use phoenix_core::settings::{
    AcmeSettings, Confined, IssuerKind, IssuerSettings, Opened, PasswordSource, ProvisionerSettings,
    Settings, StepCaSettings, TrustAnchor,
};

use crate::golden;
use crate::manifest::well_shown;

#[test]
fn every_configuration_is_reported_on_or_understood_as_its_answer_says() {
    golden::check("settings", "toml", |case, bytes| match Settings::read(&bytes, &format!("{case}.toml")) {
        Ok(settings) => shown(&settings),
        Err(problems) => {
            well_shown(case, &problems);
            problems.to_string()
        }
    });
}

fn shown(settings: &Settings) -> String {
    let Settings { manifest, state_dir, control_socket, executor, issuers, renewal, metrics } = settings;
    let mut out = format!("daemon    manifest {manifest}, state {state_dir}, socket {control_socket}\n");
    let mut line = |what: &str, text: String| {
        // Writing into a String cannot fail.
        let _ = writeln!(out, "{what:<9} {text}");
    };
    line("executor", format!("state {}, socket {}", executor.state_dir, executor.socket));
    line("roots", paths(&executor.target_roots));
    assert_eq!(executor.commands.len(), executor.programs.len());
    for program in &executor.programs {
        line("program", format!("{} {}", program.path, confined(&program.confined)));
    }
    for issuer in issuers {
        line("issuer", shown_issuer(issuer));
    }
    line(
        "renewal",
        format!("{} at a time, sweep `{}`, poll {:?}", renewal.concurrency, renewal.sweep, renewal.poll),
    );
    line("metrics", metrics.map_or_else(|| "none".to_owned(), |address| address.to_string()));
    out
}

fn confined(confined: &Confined) -> String {
    let profile = confined.profile();
    match confined {
        Confined::Plain => profile.to_owned(),
        Confined::Guest { reads, writes } => {
            format!("{profile}, reads {}, writes {}", paths(reads), paths(writes))
        }
        Confined::Strict(Opened { reads, writes, sockets, network, signals, memory }) => format!(
            "{profile}, reads {}, writes {}, sockets {}, network {network}, signals {signals}, memory {memory:?}",
            paths(reads),
            paths(writes),
            paths(sockets),
        ),
    }
}

fn shown_issuer(issuer: &IssuerSettings) -> String {
    let trust = match &issuer.trust {
        TrustAnchor::File(path) => format!("root {path}"),
        TrustAnchor::Fingerprint(digits) => format!("root of {digits}"),
    };
    let kind = match &issuer.kind {
        IssuerKind::StepCa(settings) => step_ca(settings),
        IssuerKind::Acme(AcmeSettings { directory, challenge, listen, dns_hook }) => {
            format!("acme {directory}, {challenge:?}, listens {listen:?}, hook {dns_hook:?}")
        }
    };
    format!("{} {kind}, {trust}", issuer.name)
}

fn step_ca(settings: &StepCaSettings) -> String {
    let StepCaSettings { url, audience, provisioner, client_provisioner, x5c_provisioner } = settings;
    let client = client_provisioner.as_ref().map_or_else(|| "the same".to_owned(), shown_provisioner);
    format!(
        "step-ca {url} as {audience}, {}, for clients {client}, x5c {x5c_provisioner:?}",
        shown_provisioner(provisioner)
    )
}

fn shown_provisioner(provisioner: &ProvisionerSettings) -> String {
    let password = match &provisioner.password {
        None => "by certificate only".to_owned(),
        Some(PasswordSource::File(path)) => format!("password in {path}"),
        Some(PasswordSource::Credential(name)) => format!("password in credential {name}"),
    };
    format!("{} ({password})", provisioner.name)
}

fn paths(paths: &[AbsolutePath]) -> String {
    format!("[{}]", paths.iter().map(AbsolutePath::as_str).collect::<Vec<_>>().join(", "))
}
