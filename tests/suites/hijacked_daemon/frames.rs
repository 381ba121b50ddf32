//! Names, texts, frames, their order and their number.

use std::fs;
use std::os::unix::fs::symlink;

use anyhow::{Context, Result, ensure};
use phoenix_protocol::executor::VERSION;
use phoenix_protocol::frame::MAX_REQUEST;
use phoenix_testkit::snapshot::Snapshot;
use serde_json::{Value, json};

use crate::rig::{Prey, operations, with_text};

#[test]
fn what_the_manifest_does_not_name_cannot_be_acted_on() -> Result<()> {
    let prey = Prey::new()?;
    let mut session = prey.session()?;
    session.issue("web")?;
    let (target, state) = (prey.scratch.join("target"), prey.scratch.join("state"));
    let before = (Snapshot::of(&target)?, Snapshot::of(&state)?);
    let good = session.entry("web")?;
    let zeros = "0".repeat(64);
    for (name, digest) in [
        (json!("shadow"), &good["digest"]),
        (json!("web"), &json!(zeros)),
        (json!("web"), &json!("")),
        (json!("plain"), &good["digest"]),
        (json!("../web"), &good["digest"]),
        (json!("/etc/shadow"), &good["digest"]),
        (json!("web\u{0}"), &good["digest"]),
        (json!(""), &good["digest"]),
        (json!(["web"]), &good["digest"]),
    ] {
        for operation in operations(&json!({"name": name, "digest": digest}), &zeros) {
            if operation.get("entry").or(operation.get("entries")).is_none() {
                continue;
            }
            // What is no name at all ends the connection: the frame makes no sense.
            let mut session = prey.session()?;
            session.send(operation.clone())?;
            let answer = session.receive()?;
            let refused = answer.as_ref().is_none_or(|answer| answer["result"].get("Err").is_some());
            ensure!(refused, "{operation}: {answer:?}");
        }
    }
    Snapshot::of(&target)?.same_as(&before.0)?;
    Snapshot::of(&state)?.same_as(&before.1)
}

#[test]
fn no_text_of_its_own_becomes_a_command_a_path_or_a_fact() -> Result<()> {
    let prey = Prey::new()?;
    let mut session = prey.session()?;
    session.issue("client")?;
    let entry = session.entry("client")?;
    let canary = prey.scratch.join("canary");
    let touch = format!("touch {}", canary.display());
    let target = prey.scratch.join("target");
    let before = Snapshot::of(&target)?;
    let texts = [
        format!("$({touch})"),
        format!("`{touch}`"),
        format!("; {touch} #"),
        format!("x && {touch}"),
        format!("| {touch}"),
        format!("\n{touch}\n"),
        format!("\u{0}{touch}"),
        canary.display().to_string(),
        format!("../../../..{}", canary.display()),
        format!("--output={}", canary.display()),
        "-h".to_owned(),
        "%s%n%n%n".to_owned(),
        "\u{202e}\u{feff}\u{7f}".to_owned(),
        "{serial}".to_owned(),
        String::new(),
        "A".repeat(50_000),
    ];
    for text in &texts {
        for operation in with_text(&entry, text) {
            session.refused(operation)?;
        }
    }
    ensure!(!canary.exists(), "something was run or written");
    Snapshot::of(&target)?.same_as(&before)
}

#[test]
fn links_in_the_target_lead_nowhere() -> Result<()> {
    let prey = Prey::new()?;
    let mut session = prey.session()?;
    for _ in 0..2 {
        session.issue("web")?;
    }
    let entry = session.entry("web")?;
    let outside = prey.scratch.join("outside");
    fs::create_dir(&outside)?;
    for file in ["cert.pem", "key.pem", "ca.pem"] {
        fs::copy(prey.target("web").join(file), outside.join(file))?;
    }
    let before = Snapshot::of(&outside)?;
    let mutations = ["prepare", "restore", "rollback", "install_roots", "adopt"];
    let all_refused = |session: &mut crate::rig::Session<'_>| -> Result<()> {
        for op in mutations {
            let reason = session.refused(json!({"op": op, "entry": entry}))?;
            ensure!(["symlink", "unreadable"].contains(&reason.as_str()), "{op}: {reason}");
        }
        let seen = session.granted(json!({"op": "observe", "entry": entry}))?;
        ensure!(seen["live"]["leaf"].is_null(), "a link was followed: {seen}");
        Snapshot::of(&outside)?.same_as(&before)
    };
    // The directory itself.
    fs::rename(prey.target("web"), prey.target("aside"))?;
    symlink(&outside, prey.target("web"))?;
    all_refused(&mut session)?;
    fs::remove_file(prey.target("web"))?;
    fs::rename(prey.target("aside"), prey.target("web"))?;
    // Each live name.
    for file in ["cert.pem", "key.pem"] {
        fs::remove_file(prey.target("web").join(file))?;
        symlink(outside.join(file), prey.target("web").join(file))?;
    }
    all_refused(&mut session)
}

#[test]
fn what_is_no_frame_ends_its_connection_and_nothing_else() -> Result<()> {
    let prey = Prey::new()?;
    let frame =
        |body: &[u8]| [&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes()[..], body].concat();
    let too_long = u32::try_from(MAX_REQUEST + 1)?.to_be_bytes();
    let mut deep = b"{\"id\":1,\"op\":\"snapshot\",\"refresh\":".to_vec();
    deep.extend(b"[".repeat(100_000));
    for bytes in [
        too_long.to_vec(),
        u32::MAX.to_be_bytes().to_vec(),
        frame(b""),
        frame(b"null"),
        frame(b"{}"),
        frame(b"\xff\xfe\x00"),
        frame(&deep),
        frame(br#"{"id":1,"op":"read_key","entry":{"name":"web","digest":""}}"#),
        frame(br#"{"id":-1,"op":"snapshot","refresh":true,"offset":0}"#),
        frame(br#"{"id":1,"op":"snapshot","refresh":true,"offset":1e99}"#),
        frame(br#"{"id":1,"op":"run_check","entry":{"name":"web","digest":""},"check":-1}"#),
        frame(br#"{"id":1,"op":"sign","entry":{"name":"web","digest":""},"fingerprint":"","scheme":"RSA_PKCS1_SHA256","message":""}"#),
        frame(br#"{"id":1,"op":"rollback","entry":{"name":"web","digest":""},"to":"oldest"}"#),
    ] {
        let mut session = prey.session()?;
        session.raw(&bytes)?;
        ensure!(session.receive()?.is_none(), "answered: {:?}", String::from_utf8_lossy(&bytes));
    }
    // A frame that never ends holds nobody up.
    let mut torn = prey.session()?;
    torn.raw(&[0, 0, 1, 0, b'{'])?;
    prey.session()?.entry("web")?;
    Ok(())
}

#[test]
fn requests_out_of_order_or_twice_are_refused() -> Result<()> {
    let prey = Prey::new()?;
    let mut early = prey.silent()?;
    ensure!(early.refused(json!({"op": "snapshot", "refresh": true, "offset": 0}))? == "bad-request");
    ensure!(early.refused(json!({"op": "hello", "version": VERSION + 1}))? == "bad-request");
    ensure!(early.refused(json!({"op": "snapshot", "refresh": true, "offset": 0}))? == "bad-request");

    let mut session = prey.session()?;
    let entry = session.entry("web")?;
    for op in ["restore", "rollback", "install_roots"] {
        ensure!(session.refused(json!({"op": op, "entry": entry}))? == "missing", "{op}");
    }
    session.refused(json!({"op": "activate", "entries": [entry]}))?;
    session.refused(json!({"op": "activate", "entries": []}))?;
    let installed = session.issue("web")?;
    ensure!(installed["live"]["trusted"] == true, "{installed}");
    ensure!(session.refused(json!({"op": "activate", "entries": [entry, entry]}))? == "bad-request");

    // The command waits: its id is in use meanwhile, and everything else goes on.
    let id = session.send(json!({"op": "activate", "entries": [entry]}))?;
    let twice = session.ask(json!({"id": id, "op": "observe", "entry": entry}))?;
    ensure!(twice["result"]["Err"]["reason"] == "bad-request", "{twice}");
    session.granted(json!({"op": "observe", "entry": entry}))?;
    fs::write(prey.scratch.join("gate/go"), "")?;
    let done = session.receive()?.context("the command was not answered")?;
    ensure!(done["id"] == id && done["result"].get("Ok").is_some(), "{done}");
    prey.told_no_secret()
}

/// More than the executor keeps open, from all the connections that it serves.
const FLOOD: u64 = 800;

#[test]
fn a_flood_is_answered_and_leaves_the_executor_small() -> Result<()> {
    let prey = Prey::new()?;
    let mut session = prey.session()?;
    session.issue("web")?;
    let entry = session.entry("web")?;
    let requests = |session: &mut crate::rig::Session<'_>| -> Result<()> {
        let mut writer = session.stream.try_clone()?;
        let entry = entry.clone();
        let sender = std::thread::spawn(move || -> Result<()> {
            for id in 0..FLOOD {
                let op = ["observe", "adopt", "restore", "prepare"][(id % 4) as usize];
                let request = json!({"id": 10_000 + id, "op": op, "entry": entry});
                phoenix_protocol::frame::write(&mut writer, &request, MAX_REQUEST)?;
            }
            Ok(())
        });
        let answers: Result<Vec<Option<Value>>> = (0..FLOOD).map(|_| session.receive()).collect();
        ensure!(answers?.iter().all(Option::is_some), "the connection was closed");
        sender.join().ok().context("the sender failed")?
    };
    requests(&mut session)?;
    // Far more connections than are served: the surplus is closed, and what stays silent is in nobody's way for long.
    let crowd: Vec<_> = (0..200).map(|_| prey.silent()).collect::<Result<_>>()?;
    drop(crowd);
    let status = fs::read_to_string(format!("/proc/{}/status", prey.executor.pid()))?;
    let number = |name: &str| -> Result<u64> {
        let line = status.lines().find(|line| line.starts_with(name)).context("no such line")?;
        Ok(line.split_whitespace().nth(1).context("no number")?.parse()?)
    };
    ensure!(number("VmHWM:")? < 64 * 1024, "{} KiB", number("VmHWM:")?);
    ensure!(number("Threads:")? < 64, "{} threads", number("Threads:")?);
    session.granted(json!({"op": "observe", "entry": entry}))?;
    phoenix_testkit::patience::until(|| prey.session().ok().map(drop)).context("no connection any more")
}
