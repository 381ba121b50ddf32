//! What the words of the script do to the world.

use phoenix_core::lifecycle::{Event, Memory, Reach, Request, State};
use phoenix_core::manifest::{Context, Entry, Manifest};
use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::settings::Settings;
use serde_json::{Value, json};

use crate::amounts::{duration, trouble};
use crate::site::Site;
use crate::world::{Teller, Tracked, World};

/// The configuration of every scenario.
pub(crate) const SETTINGS: &str = r#"
[executor]
target_roots = ["/srv/tls"]
commands = ["/usr/sbin/pct", "/usr/sbin/qm"]

[[issuer]]
name = "phoenix"
type = "step-ca"
url = "https://ca.internal.thinkheads.ai:9000"
root = "/srv/ca/root.crt"
provisioner = "admin@thinkheads.ai"
password_file = "/srv/ca/password.txt"

[[issuer]]
name = "second"
type = "step-ca"
url = "https://second.internal.thinkheads.ai:9000"
root = "/srv/second/root.crt"
provisioner = "admin@thinkheads.ai"
password_file = "/srv/second/password.txt"
"#;

type Told = Result<Vec<String>, String>;
pub(crate) type Done = Result<(), String>;

/// The configuration of every scenario, parsed.
///
/// # Errors
/// What is wrong with it.
pub fn settings() -> Result<Settings, String> {
    Settings::parse(SETTINGS, "certd.toml").map_err(|error| error.to_string())
}

pub(crate) fn parsed(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("{text}: {error}"))
}

/// Fields of `changes` replace those of `fields`; `null` takes one out.
fn merge(fields: &mut Value, changes: &Value) -> Done {
    let (Some(fields), Some(changes)) = (fields.as_object_mut(), changes.as_object()) else {
        return Err(format!("{changes} is no object"));
    };
    for (field, value) in changes {
        if value.is_null() {
            fields.remove(field);
        } else {
            fields.insert(field.clone(), value.clone());
        }
    }
    Ok(())
}

impl World {
    /// Does what a line of the script says. Returns the document that it asks for, if it does.
    pub(crate) fn obey(&mut self, line: &str, teller: Option<&dyn Teller>) -> Told {
        let (line, name) = match line.rsplit_once(" @") {
            Some((line, name)) => (line, Some(name.to_owned())),
            None => (line, None),
        };
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let told = |text: String| text.lines().map(ToOwned::to_owned).collect();
        match (word, teller) {
            ("explain", Some(teller)) => {
                let name = name.map_or_else(|| self.first(), Ok)?;
                return Ok(told(teller.explain(self, &name, rest == "whole")));
            }
            ("plan", Some(teller)) => {
                let candidate =
                    if rest.is_empty() { None } else { Some(self.candidate(&parsed(rest)?, name)?) };
                return Ok(told(teller.plan(self, candidate.as_ref())));
            }
            _ => {}
        }
        self.happen(word, rest, name.as_deref())?;
        Ok(Vec::new())
    }

    fn happen(&mut self, word: &str, rest: &str, name: Option<&str>) -> Done {
        match word {
            "begin" => self.now = rest.parse().map_err(|error| format!("{error}"))?,
            "entry" => self.declare(rest)?,
            "edit" => self.edit(&parsed(rest)?, name)?,
            "remove" => self.remove(name)?,
            "start" => self.start_daemon(),
            "stop" => self.stop(),
            "restart" => {
                self.stop();
                self.start_daemon();
            }
            "die" => {
                self.finish_unseen();
                self.stop();
                self.start_daemon();
            }
            "wait" => self.wait(duration(rest)?),
            "off" => {
                self.stop();
                self.now = self.now.plus(duration(rest)?);
                self.start_daemon();
            }
            "clock" => self.set_clock(rest)?,
            "look" => self.tell(name, &Event::Look),
            "sweep" => self.tell(name, &Event::Sweep),
            "renew" | "sync" | "verify" => self.order(word, rest, name)?,
            "rollback" => self.tell(name, &Event::OrderedBack),
            "ca" => self.ca(rest)?,
            "root" => self.root(rest)?,
            "storage" | "guest" | "command" | "delivery" | "consumer" | "executor" => {
                self.mood(word, rest, name)?;
            }
            "takes" => {
                let (action, time) = rest.split_once(' ').ok_or("takes what, and how long?")?;
                self.moods.takes.insert(action.to_owned(), duration(time)?);
            }
            "stale" => self.moods.stale = true,
            "warning" => self.moods.warnings = vec![rest.to_owned()],
            "remark" => self.moods.remarks = vec![rest.to_owned()],
            _ => {
                self.touch(word, rest, name)?;
                self.tell(name, &Event::Look);
            }
        }
        Ok(())
    }

    pub(crate) fn first(&self) -> Result<String, String> {
        self.entries.keys().next().cloned().ok_or_else(|| "there is no entry".to_owned())
    }

    fn tell(&mut self, name: Option<&str>, event: &Event) {
        if !self.running {
            return;
        }
        match name {
            Some(name) => self.send(name, event.clone()),
            None => self.tell_all(event),
        }
    }

    // --- the manifest

    fn declare(&mut self, rest: &str) -> Done {
        let (name, fields) = rest.split_once(' ').unwrap_or((rest, "{}"));
        let mut entry = json!({
            "name": name,
            "common_name": format!("{name}.internal.thinkheads.ai"),
            "cert_path": format!("/srv/tls/{name}/cert.pem"),
            "key_path": format!("/srv/tls/{name}/key.pem"),
            "post_renewal_command": "pct exec 102 -- systemctl reload nginx",
        });
        merge(&mut entry, &parsed(fields)?)?;
        self.manifest.push((name.to_owned(), entry));
        self.adopt_manifest()
    }

    fn edit(&mut self, changes: &Value, name: Option<&str>) -> Done {
        let name = name.map_or_else(|| self.first(), |name| Ok(name.to_owned()))?;
        let entry = self.manifest.iter_mut().find(|(known, _)| *known == name);
        merge(&mut entry.ok_or("there is no such entry")?.1, changes)?;
        self.adopt_manifest()
    }

    fn remove(&mut self, name: Option<&str>) -> Done {
        let name = name.ok_or("which one?")?;
        self.manifest.retain(|(known, _)| known != name);
        self.entries.remove(name);
        self.waves.remove(&name.to_owned());
        Ok(())
    }

    /// The manifest as it would be after an edit.
    fn candidate(&self, changes: &Value, name: Option<String>) -> Result<Value, String> {
        let name = name.map_or_else(|| self.first(), Ok)?;
        let mut entries = Vec::new();
        for (known, entry) in &self.manifest {
            let mut entry = entry.clone();
            if *known == name {
                if changes.is_null() {
                    continue;
                }
                merge(&mut entry, changes)?;
            }
            entries.push(entry);
        }
        if !self.manifest.iter().any(|(known, _)| *known == name) {
            entries.push(changes.clone());
        }
        Ok(Value::Array(entries))
    }

    fn adopt_manifest(&mut self) -> Done {
        let text = Value::Array(self.manifest.iter().map(|(_, entry)| entry.clone()).collect()).to_string();
        let settings = settings()?;
        let parsed = Manifest::parse(&text, &Context::of(&settings));
        let manifest = parsed.manifest.ok_or_else(|| parsed.diagnostics.to_string())?;
        if let Some(invalid) = manifest.invalid.first() {
            return Err(invalid.problems.join("; "));
        }
        for entry in manifest.entries {
            self.track(entry);
        }
        Ok(())
    }

    fn track(&mut self, entry: Entry) {
        let name = entry.name.to_string();
        match self.entries.get_mut(&name) {
            Some(tracked) if tracked.entry == entry => {}
            Some(tracked) => {
                tracked.entry = entry;
                if self.running {
                    self.send(&name, Event::Rewritten);
                }
            }
            None => {
                let site = Site { root: Some(self.ca.root), ..Site::default() };
                let state = State { memory: Memory::default(), ..State::default() };
                let tracked = Tracked { entry, state, wake: None, site, uses: None, earlier: Vec::new() };
                self.entries.insert(name.clone(), tracked);
                if self.running {
                    self.send(&name, Event::Look);
                }
            }
        }
    }

    // --- operators and clocks

    fn order(&mut self, word: &str, rest: &str, name: Option<&str>) -> Done {
        let (until, force) = rest.strip_suffix("force").map_or((rest, false), |rest| (rest.trim_end(), true));
        let reach = match until {
            "" => Reach::Verified,
            "generate-only" | "until written" => Reach::Written,
            "until delivered" => Reach::Delivered,
            "until activated" => Reach::Activated,
            _ => return Err(format!("nobody understands `{rest}`")),
        };
        let renew = word == "renew";
        let request =
            Request { reissue: renew, redeploy: force, reverify: word == "verify", urgent: renew, reach };
        self.tell(name, &Event::Ordered(request));
        Ok(())
    }

    fn set_clock(&mut self, rest: &str) -> Done {
        self.now = match rest.split_at_checked(1) {
            Some(("+", time)) => self.now.plus(duration(time)?),
            Some(("-", time)) => self.now.minus(duration(time)?),
            _ => return Err("a clock is set by +1h or -1h".to_owned()),
        };
        self.ca.breaker.clock_set(self.now);
        self.runs.rewind(self.now);
        self.tell(None, &Event::Sweep);
        self.fire();
        Ok(())
    }

    // --- surroundings

    fn ca(&mut self, rest: &str) -> Done {
        match rest.split_once(' ').unwrap_or((rest, "")) {
            ("up", _) => self.ca.trouble = None,
            ("down", _) => {
                let words = "Issuer phoenix (https://ca.internal.thinkheads.ai:9000) refuses the connection.";
                self.ca.trouble = Some(Trouble::new(Reason::CaUnreachable, words));
            }
            ("lies", issuer) => {
                self.ca.lying.insert(issuer.parse().map_err(|error| format!("{error}"))?);
            }
            ("honest", _) => self.ca.lying.clear(),
            ("lifetime", time) => self.ca.lifetime = duration(time)?,
            ("unready", why) => self.ca.breaker.hinder(Some(trouble(why)?)),
            ("ready", _) => {
                self.ca.breaker.hinder(None);
                self.tell(None, &Event::IssuerBack);
                self.tell(None, &Event::Look);
            }
            _ => self.ca.trouble = Some(trouble(rest)?),
        }
        Ok(())
    }

    fn root(&mut self, rest: &str) -> Done {
        let root = match rest {
            "changes" => {
                self.ca.root += 1;
                Some(self.ca.root)
            }
            "unknown" => None,
            "known" => Some(self.ca.root),
            _ => return Err("a root changes, is known or unknown".to_owned()),
        };
        self.entries.values_mut().for_each(|tracked| tracked.site.root = root);
        self.tell(None, &Event::Look);
        Ok(())
    }

    fn mood(&mut self, whose: &str, rest: &str, name: Option<&str>) -> Done {
        match (whose, rest.split_once(' ').unwrap_or((rest, ""))) {
            ("consumer", ("stubborn", _)) => self.moods.stubborn = true,
            ("consumer", ("follows", _)) => self.moods.stubborn = false,
            ("consumer", ("down", _)) => self.consumers(name, |tracked| tracked.uses = None),
            ("consumer", ("up", _)) => {
                self.consumers(name, |tracked| tracked.uses = tracked.site.live().cloned());
            }
            ("command", ("leaves", mode)) => {
                self.moods.command_mode =
                    Some(u16::from_str_radix(mode, 8).map_err(|error| error.to_string())?);
            }
            (_, ("ok", _)) => drop(self.moods.troubles.remove(whose)),
            _ => drop(self.moods.troubles.insert(whose.to_owned(), trouble(rest)?)),
        }
        Ok(())
    }

    fn consumers(&mut self, name: Option<&str>, change: impl Fn(&mut Tracked)) {
        let named = self.entries.iter_mut().filter(|(known, _)| name.is_none_or(|name| *known == name));
        named.for_each(|(_, tracked)| change(tracked));
    }
}
