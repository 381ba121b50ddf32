//! Who lives in a world: entries of every kind, CAs, storages and guests.

use std::rc::Rc;
use std::time::Duration;

use phoenix_core::facts::LeafFacts;
use phoenix_core::lifecycle::Memory;
use phoenix_core::manifest::{
    Delivery, Entry, Guest as Address, GuestKind, KeyPolicy, KeyType, Mode, PostCommand, RenewBefore, San,
    Usage, Verify, Window,
};
use phoenix_core::name::IssuerName;

use super::Plan;
use super::authority::Mood;
use super::clock::span;
use super::site::Site;
use super::watch::Watch;
use super::world::{Ca, Guest, Happening, Storage, Ward, World};
use crate::dice::Dice;

impl World {
    /// The world that a plan's seed makes.
    pub(super) fn new(plan: Plan, watching: Option<usize>) -> Self {
        let watch = Watch::new(plan.certificates, watching);
        let mut dice = Dice::new(plan.seed);
        let issuers = 1 + dice.below(2) as usize;
        let certificates = plan.certificates;
        let mut world = Self::bare(plan, dice, watch);
        world.names = ["alpha", "beta"].iter().take(issuers).filter_map(|name| name.parse().ok()).collect();
        for issuer in 0..issuers {
            world.found_ca(issuer);
        }
        let storages = 1 + world.dice.below(2);
        world.storages = (0..storages).map(|_| Storage { trouble: None, well: Some(0), until: 0 }).collect();
        let guests = 1 + certificates as u64 / [3, 3, 8][world.dice.below(3) as usize];
        world.guests = (0..guests).map(|_| Guest { ward: Ward::Well, until: 0, lane: 0 }).collect();
        for number in 0..certificates {
            world.settle(number);
        }
        world.journal = vec![Memory::default(); certificates];
        world.later(0, Happening::DaemonStarts);
        world.later(1, Happening::Audit);
        world.next_trouble();
        world.later(span(world.plan.lifetime) * 6, Happening::Calm);
        world
    }

    fn found_ca(&mut self, issuer: usize) {
        let rooted = self.dice.below(4) > 0;
        self.cas.push(Ca {
            mood: Mood::Well,
            well: Some(0),
            rooted,
            answered: false,
            until: 0,
            version: 0,
            changed: None,
        });
        if !rooted {
            let after = self.dice.below(span(self.plan.lifetime) / 4);
            self.later(after, Happening::Rooted(issuer));
        }
    }

    /// Makes an entry and what lies on its paths from before.
    fn settle(&mut self, number: usize) {
        let guest = number % self.guests.len();
        let root = number % self.storages.len();
        let entry = entry(&self.plan, &mut self.dice, &self.names, number, guest);
        let mut site = Site::new(entry, root, guest);
        if self.dice.below(3) == 0 {
            let leaf = Rc::new(self.old_leaf(&site));
            site.show(&leaf);
            site.consumer.starts_with(&leaf);
        }
        self.sites.push(site);
    }

    fn old_leaf(&mut self, site: &Site) -> LeafFacts {
        let number = self.fresh();
        let age = Duration::from_secs(self.dice.below(self.plan.lifetime.as_secs() * 5 / 4));
        let (name, sans) = site
            .written
            .entry
            .as_ref()
            .map_or((String::new(), Vec::new()), |entry| (entry.common_name.clone(), entry.sans.clone()));
        LeafFacts {
            serial: format!("{number:x}"),
            fingerprint: format!("c{number}"),
            common_name: Some(name),
            sans,
            not_before: self.clock.truth().minus(age),
            not_after: self.clock.truth().minus(age).plus(self.plan.lifetime),
            client_auth: true,
            server_auth: true,
            other_eku: false,
            key_type: Some(KeyType::EcP256),
            public_key: format!("k{number}"),
            issuer: String::new(),
        }
    }
}

fn entry(plan: &Plan, dice: &mut Dice, issuers: &[IssuerName], number: usize, guest: usize) -> Entry {
    #[expect(clippy::expect_used, reason = "these texts are names and paths")]
    let path = |file: &str| format!("/mnt/e{number}/{file}").parse().expect("a path");
    #[expect(clippy::expect_used, reason = "these texts are names and paths")]
    let name = format!("e{number}").parse().expect("a name");
    let common_name = format!("e{number}.internal");
    let issuers = match dice.below(3) {
        0 => issuers.iter().rev().cloned().collect(),
        1 => issuers.to_vec(),
        _ => issuers[..1].to_vec(),
    };
    let delivery = match dice.below(4) {
        0 => Some(Delivery::Legacy { ca: false }),
        1 => Some(Delivery::Explicit {
            cert: None,
            key: None,
            ca: None,
            owner: None,
            key_mode: Mode(0o600),
            cert_mode: Mode(0o644),
        }),
        _ => None,
    };
    let renew_before = match dice.below(4) {
        0 => RenewBefore::Percent(15 + dice.below(40) as u8),
        1 => RenewBefore::Time(plan.lifetime / 4),
        _ => RenewBefore::Third,
    };
    let command = (dice.below(4) > 0).then(|| PostCommand {
        argv: vec!["/usr/sbin/pct".into(), format!("g{guest}")],
        timeout: Duration::from_millis(plan.command_limit()),
        min_interval: (dice.below(5) == 0).then(|| plan.lifetime / (4 + dice.below(30) as u32)),
    });
    // Without a command nothing makes a consumer use what is new.
    let looked_at = command.is_some() && dice.below(2) == 0;
    Entry {
        name,
        sans: vec![San::Dns(common_name.clone())],
        common_name,
        cert_path: path("cert.pem"),
        key_path: path("key.pem"),
        chain_path: None,
        ca_path: None,
        owner: None,
        key_mode: Mode(0o600),
        cert_mode: Mode(0o644),
        usage: Usage::Server,
        strict_eku: false,
        guest: delivery.as_ref().map(|_| Address { kind: GuestKind::Lxc, id: 100 + guest as u32 }),
        delivery,
        command,
        validity: (dice.below(3) == 0).then_some(plan.lifetime * 2),
        renew_before,
        issuers,
        key_type: KeyType::EcP256,
        key_policy: KeyPolicy::Rotate,
        verify: looked_at.then(look).into_iter().collect(),
        rollback: looked_at && dice.below(3) > 0,
        window: (dice.below(5) == 0).then(|| window(plan, dice)),
        paused: false,
        stage_errors: Vec::new(),
    }
}

/// What a verification is does not matter here: the world says what is seen.
fn look() -> Verify {
    Verify::Command {
        argv: vec!["/usr/bin/look".into()],
        expect: "{serial}".into(),
        deadline: Duration::from_secs(30),
    }
}

/// A window that opens at least twice in a lifetime or, now and then, hardly ever.
fn window(plan: &Plan, dice: &mut Dice) -> Window {
    let rare = if dice.below(4) == 0 { 1 } else { 3 };
    let periods =
        [(60, "0 * * * * *"), (300, "20 */5 * * * *"), (3_600, "30 * * * *"), (21_600, "0 */6 * * *")];
    let fits = |(period, _): &&(u64, &str)| period * rare <= plan.lifetime.as_secs();
    let (period, cron) = periods.iter().rev().find(fits).copied().unwrap_or((86_400, "30 2 * * *"));
    let zones = ["UTC", "Europe/Amsterdam", "Australia/Lord_Howe", "America/New_York"];
    Window {
        cron: cron.into(),
        duration: Duration::from_secs((period / (2 + dice.below(12))).max(2)),
        timezone: zones[dice.below(zones.len() as u64) as usize].parse().ok(),
    }
}
