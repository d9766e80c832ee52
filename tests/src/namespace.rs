//! A network of one's own: a client that insists on port 8080 runs beside everything else, and meets only its server.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};

/// Brings the loopback interface up, says so, and then keeps the namespace until standard input ends.
const HOLD: &str = "ip link set lo up && echo ready && exec cat";

/// A network namespace with nothing in it but loopback; it ends with this value.
#[derive(Debug)]
pub struct Namespace {
    holder: Child,
    stdin: Option<ChildStdin>,
}

impl Namespace {
    /// A new namespace; `Err` says why this machine cannot make one.
    pub fn new() -> Result<Self, String> {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net", "sh", "-c", HOLD]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut holder = command.spawn().map_err(|error| format!("cannot run unshare: {error}"))?;
        let mut line = String::new();
        let mut stdout = BufReader::new(holder.stdout.take().expect("piped"));
        stdout.read_line(&mut line).map_err(|error| error.to_string())?;
        let stdin = holder.stdin.take();
        let namespace = Self { holder, stdin };
        if line.trim() == "ready" {
            Ok(namespace)
        } else {
            Err("unshare --net with ip (iproute2) does not work".into())
        }
    }

    /// What a command line begins with to run in here.
    pub fn prefix(&self) -> Vec<OsString> {
        let target = self.holder.id().to_string();
        ["nsenter", "--target", &target, "--user", "--net", "--preserve-credentials"].map(OsString::from).to_vec()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.stdin.take());
        drop(self.holder.kill());
        drop(self.holder.wait());
    }
}
