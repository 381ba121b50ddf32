//! nginx, kept by the daemon, and started again with files of yesterday: each sweep looks at what it really serves.

use std::fs;

use anyhow::{Context, Result, ensure};
use phoenix_core::reason::Reason;
use phoenix_testkit::guests::Kind;
use phoenix_testkit::{network, patience};
use phoenix_tests::is_done;
use phoenix_tests::site::ask::Ask;
use phoenix_tests::site::kept::{self, Guest, Kept, change, in_force, told};
use phoenix_tests::site::plan::{GATEWAY, serial_at};
use phoenix_tests::site::rotation::{rotate, serial};
use phoenix_tests::site::{self, NGINX, put};
use serde_json::{Value, json};

const LXC: Guest = Guest { address: NGINX, id: 101, kind: Kind::Lxc };
const RELOAD: &str = "nginx -t";
/// The gateway's files, and where copies of the first ones are kept.
const FILES: &str = "/etc/nginx/ssl";
const BACKUP: &str = "/root/backup";
const NAMES: [&str; 2] = ["nginx.internal.thinkheads.ai.crt", "nginx.internal.thinkheads.ai.key"];

/// The recommended entries of the gateway. There is no Traefik here that could tell of its client certificate.
fn entries() -> Result<Vec<Value>> {
    let mut entries = kept::recommended(&["nginx", "nginx-mesh-client"])?;
    change(&mut entries, "nginx", &json!({"rollback": false}))?;
    change(&mut entries, "nginx-mesh-client", &json!({"verify": null, "rollback": false}))?;
    Ok(entries)
}

#[test]
fn a_sweep_notices_an_nginx_that_serves_what_it_served_before_and_has_it_reloaded() -> Result<()> {
    network::inside(|| {
        let each_two_seconds = "[renewal]\nsweep = \"*/2 * * * * *\"\n";
        let bed = Kept::new(LXC, each_two_seconds, entries()?, site::install_gateway)?;
        bed.daemon.wait_all_ok(bed.entries.len())?;
        let first = serial(&bed.daemon, "nginx")?;
        bed.machine.sh(&format!("cp -a {FILES} {BACKUP}"))?;
        rotate(&bed.daemon, "nginx", || serial_at(GATEWAY))?;

        an_operator_takes_the_new_one_back(&bed, &first)?;
        started_with_an_old_pair(&bed, &first)?;
        a_whole_backup_is_restored(&bed, &first)?;
        started_with_an_expired_pair(&bed)?;
        an_answer_400_is_a_refusal(&bed)
    })
}

/// Sweeps leave it at that; `sync` ends it.
fn an_operator_takes_the_new_one_back(bed: &Kept, old: &str) -> Result<()> {
    let newer = serial(&bed.daemon, "nginx")?;
    let output = bed.daemon.certctl(["rollback", "nginx"])?;
    ensure!(output.status.success(), "{output:?}");
    ensure!(serial_at(GATEWAY).as_deref() == Some(old), "{:?} is served, not {old}", serial_at(GATEWAY));
    told(&bed.daemon, "nginx", Reason::RolledBack, &["put back by an operator"])?;
    let sweeps = bed.guests.calls().len();
    patience::until(|| (bed.guests.calls().len() > sweeps + 2).then_some(())).context("no sweeps")?;
    ensure!(serial_at(GATEWAY).as_deref() == Some(old), "{:?} is served, not {old}", serial_at(GATEWAY));
    let output = bed.daemon.certctl(["sync", "nginx"])?;
    ensure!(output.status.success(), "{output:?}");
    ensure!(serial_at(GATEWAY) == Some(newer), "{:?} is served", serial_at(GATEWAY));
    Ok(())
}

/// What lies in the guest is right, and what is served is not: `verified` falls back, and the command is run again.
fn started_with_an_old_pair(bed: &Kept, old: &str) -> Result<()> {
    let reloads = bed.guests.calls_with(RELOAD).len();
    start_with_files_of_the_backup(bed)?;
    let words = ["10.0.0.153:443", "serves another certificate", "the consumer has not read the new files"];
    let entry = told(&bed.daemon, "nginx", Reason::ServesOther, &words)?;
    let served = entry.served.context("nothing is told of what is served")?;
    ensure!(served.serial.trim_start_matches('0') == old, "{served:?} is told, not {old}");
    serves_the_present_one(bed)?;
    ensure!(bed.guests.calls_with(RELOAD).len() > reloads, "its command was not run again");
    Ok(())
}

/// The files of yesterday are back, and nginx has read them: they are delivered again, and read again.
fn a_whole_backup_is_restored(bed: &Kept, old: &str) -> Result<()> {
    bed.machine.sh(&format!("systemctl stop nginx; cp -a {BACKUP}/. {FILES}/; systemctl start nginx"))?;
    let seen = || serial_at(GATEWAY).is_some_and(|serial| serial != old).then_some(());
    patience::until(seen).context("the backup is served on")?;
    serves_the_present_one(bed)?;
    let delivered = fs::read(bed.machine.path(&format!("{FILES}/{}", NAMES[0])))?;
    let ours = bed.entries[0]["cert_path"].as_str().context("no path")?;
    ensure!(delivered == fs::read(ours)?, "another certificate lies in the guest");
    Ok(())
}

/// Expired as well: told by its own name.
fn started_with_an_expired_pair(bed: &Kept) -> Result<()> {
    put(&bed.machine, BACKUP, NAMES, &bed.pki.expired_pair("nginx")?)?;
    start_with_files_of_the_backup(bed)?;
    told(&bed.daemon, "nginx", Reason::ServesExpired, &["10.0.0.153:443", "a certificate that expired at"])?;
    serves_the_present_one(bed)
}

/// Where nginx asks for client certificates it shakes hands with everybody, and answers 400.
const DEMANDING: &str = "server {
    listen 8444 ssl;
    ssl_certificate        /etc/nginx/ssl/nginx.internal.thinkheads.ai.crt;
    ssl_certificate_key    /etc/nginx/ssl/nginx.internal.thinkheads.ai.key;
    ssl_client_certificate /etc/nginx/ssl/phoenix_ca.crt;
    ssl_verify_client      on;
    ssl_verify_depth       2;
    location / { return 200; }
}
";

fn an_answer_400_is_a_refusal(bed: &Kept) -> Result<()> {
    let port = "10.0.0.153:8444";
    let write = |text: &str| -> Result<()> {
        bed.machine.write("/etc/nginx/conf.d/demanding.conf", text, 0o644)?;
        bed.machine.sh("nginx -t && systemctl reload nginx").map(drop)
    };
    write(DEMANDING)?;
    let mut entries = bed.entries.clone();
    entries[0]["verify"] = json!({
        "tls": port, "server_name": "nginx.internal.thinkheads.ai", "client": "nginx-mesh-client",
        "refuse_without_client": true, "http_get": "/", "expect_status": 200, "deadline": "3s",
    });
    in_force(&bed.daemon, &entries)?;
    Ask::at(port, "https://nginx.internal.thinkheads.ai/", bed.pki.root()).expect(400)?;
    let output = bed.daemon.certctl(["verify", "nginx"])?;
    ensure!(output.status.success(), "{output:?}");

    write(&DEMANDING.replace("client      on", "client      optional"))?;
    // nginx lets its old workers end what they have begun.
    let open = Ask::at(port, "https://nginx.internal.thinkheads.ai/", bed.pki.root());
    patience::until(|| open.expect(200).ok()).context("it is not open to anybody")?;
    told(&bed.daemon, "nginx", Reason::AcceptsAnyone, &[port, "ssl_verify_client on"]).map(drop)
}

/// nginx runs with the backup's pair, and its configuration names the right one again.
fn start_with_files_of_the_backup(bed: &Kept) -> Result<()> {
    let script = format!(
        "cd /etc/nginx/sites-available
         cp gateway right
         sed -i 's#{FILES}/nginx#{BACKUP}/nginx#' gateway
         systemctl restart nginx
         mv right gateway"
    );
    bed.machine.sh(&script).map(drop)
}

fn serves_the_present_one(bed: &Kept) -> Result<()> {
    bed.daemon.wait_entry("nginx", "is verified again", is_done)?;
    let wanted = serial(&bed.daemon, "nginx")?;
    let seen = serial_at(GATEWAY);
    ensure!(seen.as_ref() == Some(&wanted), "{seen:?} is served, not {wanted}");
    Ok(())
}
