//! The manifest as a whole, and one entry after the other.

use std::collections::{BTreeMap, HashSet};

use super::files::Taken;
use super::naming::{Chosen, Names};
use super::verify::Client;
use super::{Context, Entry, InvalidEntry, Manifest, Parsed, Stage, StageError};
use super::{command, delivery, files, issuance, lint, names, verify};
use crate::diagnostic::fields::{Fields, Found, boolean, opening, parsed, table, wrong_type};
use crate::diagnostic::report::{Problem, Report, Reported};
use crate::diagnostic::tree::{Kind, Table, Value};
use crate::diagnostic::{Diagnostics, Severity, json};
use crate::name::CertName;

/// Fields of an entry that `defaults` cannot hold: every entry has its own.
pub(super) const REQUIRED: &[&str] = &["common_name", "cert_path", "key_path"];
/// The other fields of an entry.
pub(super) const OPTIONAL: &[&str] = &[
    "name",
    "sans",
    "chain_path",
    "ca_path",
    "owner",
    "permissions",
    "cert_permissions",
    "cert_type",
    "strict_eku",
    "cn_in_sans",
    "guest_id",
    "guest_type",
    "include_ca",
    "deliver",
    "post_renewal_command",
    "command",
    "validity",
    "renew_before",
    "issuer",
    "key_type",
    "key_policy",
    "verify",
    "rollback",
    "window",
    "paused",
];
/// Fields of the object form.
pub(super) const TOP: &[&str] = &["version", "defaults", "certificates", "$schema"];

/// Largest manifest: some thirty thousand entries.
const MAX_TEXT: usize = 16 * 1024 * 1024;

pub(super) fn manifest(text: &str, context: &Context<'_>) -> Parsed {
    if text.len() > MAX_TEXT {
        let message = format!("the manifest has {} bytes and {MAX_TEXT} are the limit", text.len());
        let diagnostics = Diagnostics::of_file(context.file, message, "split it between several machines");
        return Parsed { manifest: None, diagnostics };
    }
    let mut report = Report::default();
    let manifest = json::parse(text, &mut report).and_then(|root| whole(&root, context, &mut report));
    Parsed { manifest, diagnostics: Diagnostics::new(context.file, text, report.into_list()) }
}

/// None when the file as a whole is no manifest.
fn whole(root: &Value, context: &Context<'_>, report: &mut Report) -> Option<Manifest> {
    let (entries, prefix, defaults) = match &root.kind {
        Kind::List(entries) => (entries, "", None),
        Kind::Table(top) => {
            let (entries, defaults) = object_form(root, top, report)?;
            (entries, "certificates", defaults)
        }
        _ => {
            let problem = wrong_type(root, "an array of entries", "write `[ … ]` or `{\"version\": 1, …}`");
            report.add(Severity::Error, "", opening(root), problem);
            return None;
        }
    };
    let defaults = defaults.as_ref();
    let mut reader = Reader {
        context,
        defaults,
        names: Names::choose(entries, defaults),
        taken: Taken::default(),
        report,
    };
    let outcomes: Vec<Outcome> = entries
        .iter()
        .enumerate()
        .map(|(index, value)| reader.outcome(value, index, format!("{prefix}[{index}]")))
        .collect();
    Some(settle(outcomes, report))
}

/// `{"version": 1, "defaults": {…}, "certificates": […]}`
fn object_form<'t>(
    root: &Value,
    top: &'t Table,
    report: &mut Report,
) -> Option<(&'t Vec<Value>, Option<Table>)> {
    let mut fields = Fields::new(top, opening(root), "", Severity::Error, report);
    if fields.has("common_name") && !fields.has("certificates") {
        let problem = Problem::new(
            "this is an entry, and a manifest is a list of them",
            "put `[` before it and `]` behind it",
        );
        fields.report("", problem);
        return None;
    }
    fields.check_keys(TOP, Severity::Warning);
    if fields.has("version") {
        fields.read("version", version);
    } else {
        fields.report(
            "version",
            Problem::new("`version` is missing", "add \"version\": 1").severity(Severity::Warning),
        );
    }
    let list =
        fields.require("certificates", "list the entries in `\"certificates\": [ … ]`", |value| match &value
            .kind
        {
            Kind::List(_) => Ok(()),
            _ => Err(wrong_type(value, "an array of entries", "write `[ … ]`").into()),
        });
    let defaults = fields.object("defaults", "{\"validity\": \"24h\"}", Severity::Error, |defaults| {
        let all = [OPTIONAL, REQUIRED].concat();
        defaults.check_keys(&all, Severity::Warning);
        for key in REQUIRED {
            if defaults.has(key) {
                defaults.warn(key, format!("`{key}` has no effect here"), "write it in each entry");
            }
        }
        Ok(())
    });
    let failed = fields.found().iter().any(|found| found.severity == Severity::Error);
    let Some(Value { kind: Kind::List(entries), .. }) = top.get("certificates") else { return None };
    let mut shared = top.get("defaults").and_then(|value| table(value, "").ok()).cloned();
    if let Some(shared) = &mut shared {
        shared.pairs.retain(|(key, _)| !REQUIRED.contains(&key.text.as_str()));
    }
    (list.is_ok() && defaults.is_ok() && !failed).then_some((entries, shared))
}

fn version(value: &Value) -> crate::diagnostic::report::Reading<()> {
    match &value.kind {
        Kind::Number(number) if number == "1" => Ok(()),
        Kind::Number(number) => {
            let message = format!("this is version {number} of the format, and only version 1 is known");
            Err(Problem::new(message, "update phoenix-certd, or write \"version\": 1").into())
        }
        _ => Err(wrong_type(value, "the number 1", "write \"version\": 1").into()),
    }
}

/// What became of an entry.
enum Outcome {
    Valid { entry: Box<Entry>, warnings: Vec<String>, clients: Vec<Client> },
    Invalid(InvalidEntry),
}

struct Reader<'a, 'r> {
    context: &'a Context<'a>,
    defaults: Option<&'a Table>,
    names: Names,
    taken: Taken,
    report: &'r mut Report,
}

impl Reader<'_, '_> {
    fn outcome(&mut self, value: &Value, index: usize, path: String) -> Outcome {
        let Kind::Table(own) = &value.kind else {
            let problem = wrong_type(value, "an entry", "write `{ \"common_name\": …, … }`");
            let sentence = problem.sentence("");
            self.report.add(Severity::Error, path.as_str(), value.span.clone(), problem);
            return Outcome::Invalid(InvalidEntry {
                path,
                name: None,
                common_name: None,
                problems: vec![sentence],
            });
        };
        let mut fields = Fields::new(own, opening(value), path.as_str(), Severity::Error, self.report)
            .or(self.defaults.map(|table| (table, "defaults")));
        fields.check_keys(&[REQUIRED, OPTIONAL].concat(), Severity::Warning);
        let fallback = Chosen::default();
        let chosen = self.names.chosen.get(index).unwrap_or(&fallback);
        let read = entry(&mut fields, self.context, &self.names, chosen, &mut self.taken);
        let of = |severity: Severity| {
            let these = fields.found().iter().filter(move |found| found.severity == severity);
            these.map(|found| found.sentence.clone()).collect::<Vec<_>>()
        };
        let problems = of(Severity::Error);
        match read {
            Ok((entry, clients)) if problems.is_empty() => {
                Outcome::Valid { entry: Box::new(entry), warnings: of(Severity::Warning), clients }
            }
            _ => Outcome::Invalid(InvalidEntry {
                path,
                name: chosen.name.as_ref().map(ToString::to_string).or_else(|| shown(own, "name")),
                common_name: shown(own, "common_name"),
                problems,
            }),
        }
    }
}

fn shown(table: &Table, key: &str) -> Option<String> {
    match &table.get(key)?.kind {
        Kind::Text(text) => Some(text.chars().take(100).collect()),
        _ => None,
    }
}

/// One entry.
fn entry(
    fields: &mut Fields<'_, '_>,
    context: &Context<'_>,
    names: &Names,
    chosen: &Chosen,
    taken: &mut Taken,
) -> Result<(Entry, Vec<Client>), Reported> {
    let name = name(fields, chosen);
    let identity = names::read(fields);
    let label = name.as_ref().map_or_else(|| "without a name".to_owned(), ToString::to_string);
    let files = files::read(fields, context, taken, &label);
    let issuance = issuance::read(fields, context);
    let mut stage_errors = Vec::new();
    let mut stage = |stage, found: &[Found]| {
        let failed = found.iter().filter(|found| found.severity == Severity::StageError);
        stage_errors.extend(failed.map(|found| StageError { stage, message: found.sentence.clone() }));
    };
    let mut mark = fields.found().len();
    let delivery = delivery::read(fields);
    stage(Stage::Deliver, fields.found().get(mark..).unwrap_or_default());
    mark = fields.found().len();
    let command = command::read(fields, context);
    let window = command::window(fields);
    stage(Stage::Activate, fields.found().get(mark..).unwrap_or_default());
    mark = fields.found().len();
    let verify = verify::read(fields, context, names);
    stage(Stage::Verify, fields.found().get(mark..).unwrap_or_default());
    let rollback = fields.optional("rollback", boolean);
    let paused = fields.optional("paused", boolean);

    let blocked = |stage| stage_errors.iter().any(|error: &StageError| error.stage == stage);
    // What was reported as an error of the entry ends it below; what is left blocks its stage.
    let (verify, clients) = verify.ok().filter(|_| !blocked(Stage::Verify)).unwrap_or_default();
    let (guest, delivery) = delivery.ok().flatten().filter(|_| !blocked(Stage::Deliver)).unzip();
    let activate = command.and_then(|command| Ok((command, window?)));
    let (command, window) = activate.ok().filter(|_| !blocked(Stage::Activate)).unwrap_or_default();
    let (common_name, sans) = identity?;
    let (files, issuance) = (files?, issuance?);
    let entry = Entry {
        name: name.ok_or(Reported)?,
        common_name,
        sans,
        cert_path: files.cert,
        key_path: files.key,
        chain_path: files.chain,
        ca_path: files.ca,
        owner: files.owner,
        key_mode: files.key_mode,
        cert_mode: files.cert_mode,
        usage: issuance.usage,
        strict_eku: issuance.strict_eku,
        guest,
        delivery,
        command,
        validity: issuance.validity,
        renew_before: issuance.renew_before,
        issuers: issuance.issuers,
        key_type: issuance.key_type,
        key_policy: issuance.key_policy,
        verify,
        rollback: rollback?.unwrap_or_default(),
        window,
        paused: paused?.unwrap_or_default(),
        stage_errors,
    };
    lint(fields, &entry);
    Ok((entry, clients))
}

fn name(fields: &mut Fields<'_, '_>, chosen: &Chosen) -> Option<CertName> {
    fields.read("name", parsed(str::parse::<CertName>));
    if let Some(problem) = &chosen.taken {
        let key = if fields.has("name") { "name" } else { "common_name" };
        fields.report(key, problem.clone());
    } else if chosen.name.is_none() && !fields.has("name") && filled(fields, "common_name") {
        let problem = Problem::new("no name can be derived from this common name", "give the entry a `name`");
        fields.report("common_name", problem);
    }
    if let (Some(name), Some(short)) = (&chosen.name, &chosen.collided) {
        let message = format!("other entries would be called `{short}`, too, so this one is called `{name}`");
        fields.warn("common_name", message, "give the entry a `name`");
    }
    chosen.name.clone()
}

/// The field is a text; that it is none, or empty, is told by whoever reads it.
fn filled(fields: &Fields<'_, '_>, key: &str) -> bool {
    fields.find(key).is_some_and(|(value, _)| matches!(&value.kind, Kind::Text(text) if !text.is_empty()))
}

fn lint(fields: &mut Fields<'_, '_>, entry: &Entry) {
    for lint in lint::lints(entry) {
        fields.warn("post_renewal_command", lint.message, lint.help);
    }
    if entry.rollback && entry.verify.is_empty() && entry.stage_error(Stage::Verify).is_none() {
        let help = "add `verify`, so that a failure can be seen, or remove it";
        fields.warn("rollback", "`rollback` without `verify` has no effect", help);
    }
}

/// The manifest out of all entries: only now is known which of them are valid.
fn settle(outcomes: Vec<Outcome>, report: &mut Report) -> Manifest {
    let valid: HashSet<CertName> = outcomes
        .iter()
        .filter_map(|outcome| match outcome {
            Outcome::Valid { entry, .. } => Some(entry.name.clone()),
            Outcome::Invalid(_) => None,
        })
        .collect();
    let mut manifest = Manifest { entries: Vec::new(), invalid: Vec::new(), warnings: BTreeMap::new() };
    for outcome in outcomes {
        match outcome {
            Outcome::Invalid(entry) => manifest.invalid.push(entry),
            Outcome::Valid { mut entry, warnings, clients } => {
                for client in clients.into_iter().filter(|client| !valid.contains(&client.name)) {
                    let message =
                        format!("entry `{}` is invalid, so that it cannot be the client", client.name);
                    let problem = Problem::new(message, "put that entry right");
                    let message = problem.sentence("verify");
                    report.add(Severity::StageError, client.path, client.span, problem);
                    entry.stage_errors.push(StageError { stage: Stage::Verify, message });
                    entry.verify.clear();
                }
                if !warnings.is_empty() {
                    manifest.warnings.insert(entry.name.clone(), warnings);
                }
                manifest.entries.push(*entry);
            }
        }
    }
    manifest
}
