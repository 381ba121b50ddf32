//! A line to the executor of the box, as root in the box: what the daemon would ask of it.

use anyhow::{Context, Result, ensure};
use phoenix_core::facts::Observation;
use phoenix_core::reason::Trouble;
use phoenix_protocol::executor::{Answer, Response, VERSION};

use crate::bed::Bed;

/// Says hello, looks up an entry, asks for one operation on it and prints the answer.
const ASK: &str = r#"
import json, socket, sys
version, operation, name = sys.argv[1:]
executor = socket.socket(socket.AF_UNIX)
executor.connect("/run/phoenix-executor/executor.sock")
stream = executor.makefile("rwb")
def ask(number, **request):
    frame = json.dumps({"id": number, **request}).encode()
    stream.write(len(frame).to_bytes(4, "big") + frame)
    stream.flush()
    return stream.read(int.from_bytes(stream.read(4), "big"))
ask(1, op="hello", version=int(version))
snapshot = json.loads(ask(2, op="snapshot", refresh=True, offset=0))["result"]["Ok"]["snapshot"]
digest = next(one["digest"] for one in snapshot["entries"] if one["entry"]["name"] == name)
sys.stdout.buffer.write(ask(3, op=operation, entry={"name": name, "digest": digest}))
"#;

/// Asks for an operation that needs nothing but an entry.
pub(crate) fn ask(bed: &Bed, operation: &str, name: &str) -> Result<Response> {
    let version = VERSION.to_string();
    let said = bed.hypervisor.run(["python3", "-c", ASK, &version, operation, name])?;
    ensure!(said.status.success(), "{operation} {name}: {said:?}\n{}", bed.journal()?);
    serde_json::from_slice(&said.stdout).with_context(|| format!("not an answer: {said:?}"))
}

/// Has the executor look whether the guest still has what was delivered.
pub(crate) fn recheck(bed: &Bed, name: &str) -> Result<Result<Observation, Trouble>> {
    match ask(bed, "recheck", name)?.result {
        Ok(Answer::Observed(observation)) => Ok(Ok(*observation)),
        Ok(other) => anyhow::bail!("no observation: {other:?}"),
        Err(trouble) => Ok(Err(trouble)),
    }
}
