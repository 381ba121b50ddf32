//! A network namespace of a test's own, with the hypervisor's bridge in it.
//!
//! Namespaces belong to threads: [`inside`] runs a test on a thread of its own that has moved into a new one, and
//! whatever it starts, threads and programs alike, is in there, too. Nothing in it reaches the machine's own network.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Name of the bridge, as Proxmox VE calls its first one.
pub const BRIDGE: &str = "vmbr0";
/// Address of the hypervisor on the bridge.
pub const HYPERVISOR: &str = "10.0.0.1/24";

/// Makes the namespace and holds it until standard input ends.
const HOLD: &str = r#"ip link set lo up && ip link add "$1" type bridge && ip address add "$2" dev "$1" &&
ip link set "$1" up && echo up && exec cat >/dev/null"#;

/// Runs `body` in a new network namespace.
pub fn inside<T: Send>(body: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let run = || {
            enter()?;
            body()
        };
        let worker = thread::Builder::new().name(test_name()).spawn_scoped(scope, run)?;
        worker.join().map_err(|_| anyhow!("the test panicked in its namespace"))?
    })
}

/// The name of the test, which its messages carry.
fn test_name() -> String {
    thread::current().name().unwrap_or("namespace").to_owned()
}

fn enter() -> Result<()> {
    let mut holder = Command::new("unshare")
        .args(["--net", "sh", "-c", HOLD, "sh", BRIDGE, HYPERVISOR])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start unshare")?;
    let mut said = String::new();
    let stdout = holder.stdout.take().context("the holder of the namespace has no standard output")?;
    BufReader::new(stdout).read_line(&mut said)?;
    ensure!(said.trim() == "up", "no network namespace: its words are on standard error");
    let namespace = File::open(format!("/proc/{}/ns/net", holder.id()))?;
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .context("cannot move into the network namespace")?;
    // From here on this thread holds it.
    drop(holder.stdin.take());
    holder.wait()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;
    use crate::process::run;

    #[test]
    fn a_namespace_holds_its_own_addresses_and_programs_started_in_it_see_them() -> Result<()> {
        let address = (Ipv4Addr::new(10, 0, 0, 1), 0);
        inside(|| {
            TcpListener::bind(address)?;
            let seen = String::from_utf8(run("ip", ["-brief", "address"])?.stdout)?;
            ensure!(seen.contains("vmbr0") && !seen.contains("eth0"), "{seen}");
            Ok(())
        })?;
        assert!(TcpListener::bind(address).is_err(), "the machine itself has the address of the namespace");
        Ok(())
    }
}
