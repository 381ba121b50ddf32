//! Connections that change their protocol, as consoles do, and large bodies: through the gateway and Traefik.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;

use anyhow::{Context, Result, ensure};
use phoenix_testkit::{network, patience};
use phoenix_tests::site::ask::Ask;
use phoenix_tests::site::until_sh;

use crate::nginx::{Bed, GATEWAY};

const HOST: &str = "console.internal.thinkheads.ai";
/// Where the service is, on the bridge that the machines are on.
const SERVICE: &str = "10.0.0.1:9000";
const ROUTER: &str = r#"http:
  routers:
    console:
      rule: "Host(`console.internal.thinkheads.ai`)"
      service: console
      entryPoints: [mesh]
  services:
    console:
      loadBalancer:
        servers:
          - url: "http://10.0.0.1:9000"
"#;

#[test]
fn consoles_and_large_bodies_pass_the_gateway_and_a_reload_leaves_consoles_open() -> Result<()> {
    network::inside(|| {
        let bed = Bed::new()?;
        let listener = TcpListener::bind(SERVICE).context("cannot listen on the bridge")?;
        // It ends with the test's process: nobody waits for it.
        thread::spawn(move || {
            for peer in listener.incoming().flatten() {
                thread::spawn(|| serve(peer));
            }
        });
        bed.traefik.write("/etc/traefik/dynamic/90-console.yml", ROUTER, 0o644)?;
        let router = "curl -s http://127.0.0.1:8080/api/http/routers/console@file | grep -q enabled";
        until_sh(&bed.traefik, "a router", router)?;
        let ask = Ask::at(GATEWAY, &format!("https://{HOST}/"), bed.pki.root());
        patience::until(|| ask.expect(200).ok()).with_context(|| format!("{:?}", ask.answer()))?;

        let mut console = Console::open(&bed)?;
        console.echo("before")?;
        bed.nginx.sh("nginx -t && systemctl reload nginx")?;
        console.echo("after the reload")?;

        let length = 3_000_000;
        let body = format!(
            "head -c {length} /dev/zero | curl --silent --fail --http1.1 --connect-to ::{GATEWAY} \
             --cacert /etc/nginx/ssl/mesh-ca.crt --data-binary @- https://{HOST}/"
        );
        let said = bed.nginx.sh(&body)?;
        ensure!(said.trim() == length.to_string(), "of a large body arrived: {said}");
        Ok(())
    })
}

/// Upgrades who asks for it, and repeats what it sends; tells others how long their body was.
fn serve(peer: TcpStream) -> Option<()> {
    let mut input = BufReader::new(peer.try_clone().ok()?);
    let mut output = peer;
    let (mut upgrade, mut length) = (false, 0);
    loop {
        let mut line = String::new();
        input.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let line = line.trim().to_ascii_lowercase();
        upgrade |= line == "upgrade: echo";
        length = line.strip_prefix("content-length: ").and_then(|text| text.parse().ok()).unwrap_or(length);
        if line.is_empty() {
            break;
        }
    }
    if upgrade {
        write!(output, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
            .ok()?;
        return std::io::copy(&mut input, &mut output).ok().map(drop);
    }
    let read = std::io::copy(&mut input.take(length), &mut std::io::sink()).ok()?.to_string();
    write!(output, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{read}", read.len())
        .ok()
}

/// A connection through the gateway that has been upgraded.
struct Console {
    openssl: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Console {
    fn open(bed: &Bed) -> Result<Self> {
        let mut command = Command::new("openssl");
        command.args([
            "s_client",
            "-quiet",
            "-verify_return_error",
            "-connect",
            GATEWAY,
            "-servername",
            HOST,
        ]);
        command.arg("-CAfile").arg(bed.pki.root());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut openssl = command.spawn().context("cannot start openssl")?;
        let input = openssl.stdin.take().context("no input")?;
        let output = BufReader::new(openssl.stdout.take().context("no output")?);
        let mut console = Self { openssl, input, output };
        write!(
            console.input,
            "GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
        )?;
        let status = console.line()?;
        ensure!(status.starts_with("HTTP/1.1 101"), "not upgraded: {status}");
        while !console.line()?.trim().is_empty() {}
        Ok(console)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.output.read_line(&mut line)? > 0, "the connection was ended");
        Ok(line)
    }

    fn echo(&mut self, words: &str) -> Result<()> {
        writeln!(self.input, "{words}")?;
        let back = self.line()?;
        ensure!(back.trim() == words, "{back} came back, not {words}");
        Ok(())
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = self.openssl.kill();
        let _ = self.openssl.wait();
    }
}
