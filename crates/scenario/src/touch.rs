//! What somebody does to the host's files and to the records of both processes.

use phoenix_core::lifecycle::{Memory, State};

use crate::amounts::differ;
use crate::site::{Certificate, File, Records, wanted};
use crate::words::{Done, parsed};
use crate::world::{Tracked, World};

impl World {
    pub(crate) fn touch(&mut self, word: &str, rest: &str, name: Option<&str>) -> Done {
        let name = name.map_or_else(|| self.first(), |name| Ok(name.to_owned()))?;
        let now = self.now;
        let Some(mut tracked) = self.entries.remove(&name) else { return Err("no such entry".to_owned()) };
        let done = match (word, rest) {
            ("put", rest) => self.put(&mut tracked, rest, now),
            ("backup", _) => {
                let copy = (tracked.site.records.clone(), tracked.state.memory.clone());
                self.backups.insert(name.clone(), copy);
                Ok(())
            }
            ("restore", what) => match self.backups.get(&name) {
                Some((records, memory)) => lose(&mut tracked, what, records.clone(), memory.clone()),
                None => Err("there is no backup".to_owned()),
            },
            ("forget", what) => lose(&mut tracked, what, Records::default(), Memory::default()),
            ("damaged", path) => {
                tracked.site.records.set_aside.push(path.to_owned());
                Ok(())
            }
            _ => touch_file(&mut tracked, word, rest),
        };
        self.entries.insert(name, tracked);
        done
    }

    /// Somebody puts a pair, or only a certificate, on the live paths.
    fn put(&mut self, tracked: &mut Tracked, rest: &str, now: phoenix_core::time::Timestamp) -> Done {
        let (alone, how) = match rest.strip_prefix("certificate ") {
            Some(how) => (true, how),
            None => (false, rest),
        };
        let certificate = if how == "older" {
            tracked.earlier.last().cloned().ok_or("there is none from earlier")?
        } else {
            let leaf = self.ca.leaf(&tracked.entry, now, now.plus(self.ca.lifetime));
            let mut certificate = Certificate { leaf, root: self.ca.root };
            differ(&mut certificate, &parsed(if how.is_empty() { "{}" } else { how })?, now)?;
            certificate
        };
        let site = &mut tracked.site;
        if site.cert == File::Missing {
            let access = wanted(&tracked.entry);
            (site.cert_access, site.key_access) = (access.cert, access.key);
        }
        if !alone {
            site.key = File::Holds(certificate.leaf.public_key.clone());
        }
        site.cert = File::Holds(certificate);
        Ok(())
    }
}

fn lose(tracked: &mut Tracked, what: &str, records: Records, memory: Memory) -> Done {
    match what {
        "executor" => tracked.site.records = records,
        "daemon" => tracked.state = State { memory, ..State::default() },
        "both" => {
            tracked.site.records = records;
            tracked.state = State { memory, ..State::default() };
        }
        _ => return Err(format!("whose state is `{what}`?")),
    }
    Ok(())
}

fn touch_file(tracked: &mut Tracked, word: &str, rest: &str) -> Done {
    let site = &mut tracked.site;
    let (file, value) = rest.split_once(' ').unwrap_or((rest, ""));
    let (cert, key) = (matches!(file, "cert" | "pair"), matches!(file, "key" | "pair"));
    match word {
        "delete" | "garble" => {
            let (no_cert, no_key) = match word {
                "delete" => (File::Missing, File::Missing),
                _ => (File::Garbled, File::Garbled),
            };
            if cert {
                site.cert = no_cert;
            }
            if key {
                site.key = no_key;
            }
        }
        "chmod" => {
            let mode = u16::from_str_radix(value, 8).map_err(|error| error.to_string())?;
            let access = if key { &mut site.key_access } else { &mut site.cert_access };
            access.2 = mode;
        }
        "chown" => {
            let (user, group) = value.split_once(':').ok_or("chown to USER:GROUP")?;
            let id = |text: &str| text.parse::<u32>().map_err(|error| error.to_string());
            let access = if key { &mut site.key_access } else { &mut site.cert_access };
            (access.0, access.1) = (id(user)?, id(group)?);
        }
        "companion" => site.companions_differ = true,
        "swap" => site.key = File::Holds("key of someone else".to_owned()),
        "guest-loses" => site.in_guest = None,
        "lose-other" => site.records.other = None,
        "revoke" => {
            let serial = site.records.own.as_ref().map(|own| own.certificate.leaf.serial.clone());
            site.records.ledger.revoked.extend(serial);
        }
        _ => return Err(format!("nobody understands `{word}`")),
    }
    Ok(())
}
