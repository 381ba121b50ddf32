//! Attacks that no ordinary program offers, carried out by this executable in a role of its own, and a way to
//! see them succeed and fail.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::process::exit;

use nix::sys::ptrace;
use nix::unistd::Pid;
use phoenix_sandbox::{CommandSpec, Ended, Finished, Profile, Strict};
use rustix::net::{AddressFamily, SocketType, socket};

use crate::lab::{LONG, run};

const ATTACKER_ROLE: &str = "--attack";

/// In the role of an attacker: tries, and exits with 0 if it succeeded.
pub(crate) fn attacker_main_if_asked() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [role, attack, target] = &arguments[..]
        && role == ATTACKER_ROLE
    {
        if let Err(error) = attempt(attack, target) {
            eprintln!("{attack}: {error}");
            exit(1);
        }
        exit(0);
    }
}

fn attempt(attack: &str, target: &str) -> std::io::Result<()> {
    match attack {
        "tcp" => TcpStream::connect(target).and_then(|mut stream| stream.write_all(b"x")),
        "listen" => std::net::TcpListener::bind(target).map(drop),
        "udp" => UdpSocket::bind("127.0.0.1:0")?.send_to(b"x", target).map(drop),
        "packet" => Ok(socket(AddressFamily::PACKET, SocketType::RAW, None).map(drop)?),
        "abstract" => {
            let mut greeting = [0];
            let mut stream = UnixStream::connect_addr(&SocketAddr::from_abstract_name(target)?)?;
            stream.read_exact(&mut greeting)
        }
        "unix" => UnixStream::connect(target).map(drop),
        "ptrace" => {
            let pid = Pid::from_raw(target.parse().map_err(std::io::Error::other)?);
            // Whoever is traced goes on when this process ends.
            Ok(ptrace::attach(pid)?)
        }
        _ => panic!("unknown attack {attack}"),
    }
}

/// A command that carries out this attack.
pub(crate) fn attack(name: &str, target: &str) -> CommandSpec {
    CommandSpec::new(["/proc/self/exe", ATTACKER_ROLE, name, target]).timeout(LONG)
}

/// The profile for programs that nothing was opened for.
pub(crate) fn closed() -> Profile {
    Profile::Strict(Strict::default())
}

pub(crate) fn succeeds(spec: &CommandSpec, profile: Profile) -> Finished {
    let finished = run(&spec.clone().profile(profile));
    assert_eq!(finished.ended, Ended::Exited(0), "{:?}: {}", spec.argv, finished.stderr.text());
    finished
}

pub(crate) fn fails(spec: &CommandSpec, profile: Profile) -> Finished {
    let finished = run(&spec.clone().profile(profile));
    assert!(
        matches!(finished.ended, Ended::Exited(1..) | Ended::Signaled(_)),
        "{:?}: {:?} {}",
        spec.argv,
        finished.ended,
        finished.stdout.text()
    );
    finished
}

/// The attack succeeds without the profile, so it is one, and fails with it.
pub(crate) fn stopped(spec: &CommandSpec, profile: Profile) {
    succeeds(spec, Profile::Plain);
    fails(spec, profile);
}
