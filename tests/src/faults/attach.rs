//! `strace`, attached to a server that runs: it watches its calls, and makes some of them fail.
//!
//! Attaching late leaves the start of the server alone, and lets a fault meet one request: strace counts the calls of
//! each thread from here on.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::server::{end, wait};

/// How long strace may take to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// A `strace` that follows every thread of a process.
#[derive(Debug)]
pub struct Attached {
    strace: Child,
    output: PathBuf,
}

impl Attached {
    /// Attaches to a process; the error says why that cannot be done here.
    pub fn to(process: u32, arguments: &[OsString], output: &Path) -> Result<Self, String> {
        let mut command = Command::new("strace");
        command.arg("-f").arg("-p").arg(process.to_string()).arg("-o").arg(output).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut strace = command.spawn().map_err(|error| format!("cannot run strace: {error}"))?;
        let mut stderr = BufReader::new(strace.stderr.take().expect("piped"));
        let mut said = String::new();
        while !said.contains(" attached") {
            if stderr.read_line(&mut said).map_err(|error| error.to_string())? == 0 {
                end(&mut strace);
                return Err(format!("strace does not attach: {}", said.trim()));
            }
        }
        // It may say more, and must not wait for somebody to read it.
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        Ok(Self { strace, output: output.into() })
    }

    /// Lets the process go, which is running, and gives the calls that were seen, one a line.
    pub fn detach(self) -> String {
        let _ = kill_process(Pid::from_child(&self.strace), Signal::INT);
        self.ended()
    }

    /// Waits until the process is gone, and gives the calls that were seen. Asking strace to let a process go that is just
    /// being killed makes it wait for ever.
    pub fn ended(mut self) -> String {
        if wait(&mut self.strace, PATIENCE).is_none() {
            end(&mut self.strace);
        }
        fs::read_to_string(&self.output).expect("what strace wrote")
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        end(&mut self.strace);
    }
}

/// Why calls cannot be watched here, if so.
pub fn cannot_trace() -> Option<String> {
    let mut idle = match Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn() {
        Ok(idle) => idle,
        Err(error) => return Some(format!("cannot run cat: {error}")),
    };
    let attached = Attached::to(idle.id(), &[], Path::new("/dev/null"));
    let why = attached.map(Attached::detach).err();
    end(&mut idle);
    why.map(|why| format!("it needs strace (Debian: apt-get install strace) and the right to trace: {why}"))
}
