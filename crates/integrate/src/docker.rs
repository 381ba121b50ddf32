//! `feature_install_docker_proxy.sh`: the Docker API with TLS on 2376 instead of a proxy with a self-made
//! certificate.
//!
//! The duty of the script is its function `main`, which is replaced as a whole; only settings of a `daemon.json`
//! that it writes are taken over. Where `main` does anything besides that duty, the script is refused with the line.

use jsonc_parser::cst::CstObjectProp;

use crate::json::Document;
use crate::shell::{Command, Script, first_word};
use crate::{Addresses, Edit, Edited, Unclear};

const DAEMON_JSON: &str = include_str!("../../../config/docker/daemon.json");
const DROP_IN: &str = include_str!("../../../config/docker/docker.service.d/10-phoenix-tls.conf");
/// The address in the delivered files.
const DELIVERED_ADDRESS: &str = "10.0.0.111";
/// What tells a script that was edited.
const DONE: &str = "phoenix-certctl sync docker-daemon --until written";
/// Keys of daemon.json that are ours, or that dockerd refuses beside the flag.
const OURS: &[&str] = &["hosts", "tls", "tlsverify", "tlscacert", "tlscert", "tlskey"];
/// What such a script consists of.
const UNDERSTOOD: &[&str] = &[
    "[",
    "[[",
    "]",
    "}",
    "/bin/bash",
    "apt-get",
    "awk",
    "bash",
    "break",
    "cat",
    "chmod",
    "chown",
    "command",
    "continue",
    "cp",
    "curl",
    "cut",
    "docker",
    "done",
    "echo",
    "else",
    "exit",
    "export",
    "fi",
    "for",
    "grep",
    "hash",
    "id",
    "install",
    "jq",
    "local",
    "mkdir",
    "mv",
    "openssl",
    "printf",
    "readonly",
    "return",
    "rm",
    "sed",
    "seq",
    "shift",
    "sleep",
    "stat",
    "systemctl",
    "tee",
    "test",
    "touch",
    "true",
];

/// The script with another `main`.
pub(crate) fn edit(text: &str, addresses: &Addresses) -> Edit {
    if text.contains(DONE) {
        return Ok(Edited { text: text.to_owned(), ..Edited::default() });
    }
    let script = Script::read(text)?;
    let Some(main) = script.function("main") else {
        return Err(Unclear::new(
            1,
            "has no function `main` whose duty could be replaced: see docs/consumers.md",
        ));
    };
    let body = script.commands.get(main.clone()).unwrap_or_default();
    for command in body {
        understood(command)?;
    }
    let settings = settings(body)?;
    let reasons = vec![
        "no self-made certificate: it comes from Step-CA and is renewed by phoenix-certd".to_owned(),
        "dockerd itself listens on 2376 and asks for client certificates".to_owned(),
        "settings of daemon.json besides TLS stay as they are".to_owned(),
    ];
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let first =
        main.start.checked_sub(1).and_then(|opening| script.commands.get(opening)).map_or(0, |c| c.lines.end);
    let closing = script.commands.get(main.end).map_or(lines.len(), |command| command.lines.start);
    let before = lines.get(..first).unwrap_or_default().concat();
    let after = lines.get(closing..).unwrap_or_default().concat();
    let new = body_of_main(&settings, &DROP_IN.replace(DELIVERED_ADDRESS, &addresses.docker));
    Ok(Edited { text: before + &new + &after, reasons, remarks: Vec::new() })
}

fn understood(command: &Command) -> Result<(), Unclear> {
    let word = first_word(&command.text);
    let assignment = word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '[' | ']'))
    });
    if assignment || word.starts_with("log_") || UNDERSTOOD.contains(&word) {
        return Ok(());
    }
    let message = format!(
        "does something in `main` that is not known to belong to the Docker proxy: `{word}`. Move it to a script of \
         its own, or replace `main` by hand as docs/consumers.md describes"
    );
    Err(Unclear::new(command.lines.start + 1, message))
}

/// The TLS settings of daemon.json as delivered, with what the script's own one says besides.
fn settings(body: &[Command]) -> Result<String, Unclear> {
    let document = Document::parse(DAEMON_JSON)?;
    let object = document.object()?;
    let others =
        object.properties().into_iter().filter(|property| !is_ours(property.decoded_name().as_deref()));
    others.for_each(CstObjectProp::remove);
    for property in own_settings(body)? {
        let (Some(name), Some(value)) = (property.decoded_name(), property.value()) else { continue };
        if !is_ours(Some(&name)) {
            object.append(&name, crate::manifest::value_of(&value));
        }
    }
    Ok(document.text())
}

fn is_ours(key: Option<&str>) -> bool {
    key.is_some_and(|key| OURS.contains(&key))
}

/// What the script's own daemon.json says.
fn own_settings(body: &[Command]) -> Result<Vec<CstObjectProp>, Unclear> {
    let writes = |command: &&Command| command.document.is_some() && command.text.contains("daemon.json");
    let Some((command, own)) =
        body.iter().find(writes).and_then(|command| Some((command, command.document.as_ref()?)))
    else {
        return Ok(Vec::new());
    };
    Document::parse(own).and_then(|own| own.object().map(|object| object.properties())).map_err(|unclear| {
        let message = format!(
            "writes a daemon.json that {}; write it as plain JSON, so that its settings can be kept",
            unclear.message
        );
        Unclear::new(command.lines.start + 1 + unclear.line, message)
    })
}

/// The new body of `main`, with places for the two files that it writes.
const BODY: &str = include_str!("docker_main.sh");

fn body_of_main(settings: &str, drop_in: &str) -> String {
    BODY.replace("@DAEMON_JSON@", settings.trim_end()).replace("@DROP_IN@", drop_in.trim_end())
}
