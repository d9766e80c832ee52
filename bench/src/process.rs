//! The servers that are compared: child processes on free ports, ended by their own process id, after an error too.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::{machine, response};

/// The admin key of the server under test.
pub(crate) const ADMIN_KEY: &str = "bench-admin-key";
/// How long a server may take to start.
const START_MAX: Duration = Duration::from_secs(60);
/// How often a starting server is asked.
const POLL: Duration = Duration::from_millis(2);

/// A running server; dropping it kills it, with `kill -9`, and waits for its end.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) addr: SocketAddr,
    /// Where gRPC is, if it has a port of its own.
    pub(crate) grpc_addr: SocketAddr,
    child: Child,
    /// Who does its work, if it does not do it itself.
    worker: Option<Worker>,
    log: PathBuf,
    started: Instant,
}

/// A worker of a main; dropping it kills it.
#[derive(Debug)]
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    /// `deltadb serve` over a directory of its own.
    pub(crate) fn deltadb(binary: &Path, directory: &Path, preload: Option<&Path>) -> Result<Self> {
        let [addr, grpc_addr] = [free_address()?, free_address()?];
        let mut command = Command::new(binary);
        command.args(["serve", "--dev", "--rest-addr", &addr.to_string(), "--grpc-addr", &grpc_addr.to_string()]);
        command.arg("--data-dir").arg(directory.join("delta")).env("ADMIN_KEY", ADMIN_KEY);
        let mut server = Self::start("deltadb", addr, command, directory, preload)?;
        server.grpc_addr = grpc_addr;
        Ok(server)
    }

    /// `deltadb serve --multi-main` over a directory that other processes may write.
    pub(crate) fn deltadb_on_fs(binary: &Path, directory: &Path) -> Result<Self> {
        let [addr, grpc_addr] = [free_address()?, free_address()?];
        let mut command = Command::new(binary);
        command.args(["serve", "--dev", "--multi-main", "--rest-addr", &addr.to_string()]);
        command.args(["--grpc-addr", &grpc_addr.to_string(), "--data-dir"]).arg(directory.join("keys"));
        command.arg("--shared-fs").arg(directory.join("shared")).env("ADMIN_KEY", ADMIN_KEY);
        let mut server = Self::start("deltadb fs", addr, command, directory, None)?;
        server.grpc_addr = grpc_addr;
        Ok(server)
    }

    /// `deltadb main` and one `deltadb worker` over the same kind of directory.
    pub(crate) fn deltadb_cluster(binary: &Path, directory: &Path) -> Result<Self> {
        let [addr, grpc_addr] = [free_address()?, free_address()?];
        let (shared, token) = (directory.join("shared"), directory.join("join.token"));
        std::fs::write(&token, "a-join-token-of-the-bench\n")?;
        let mut command = Command::new(binary);
        command.args(["main", "--dev", "--rest-addr", &addr.to_string(), "--grpc-addr", &grpc_addr.to_string()]);
        command.arg("--data-dir").arg(directory.join("keys")).env("ADMIN_KEY", ADMIN_KEY);
        command.arg("--shared-fs").arg(&shared).arg("--join-token-file").arg(&token);
        let mut server = Self::start("main", addr, command, directory, None)?;
        server.grpc_addr = grpc_addr;
        let mut command = Command::new(binary);
        command.args(["worker", "--worker-id", "w1", "--main-addr", &grpc_addr.to_string()]);
        command.arg("--shared-fs").arg(&shared).arg("--join-token-file").arg(&token);
        let output = File::create(directory.join("worker.log"))?;
        let child = command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).spawn()?;
        server.worker = Some(Worker(child));
        server.until("it has a worker", |server| server.get("/health/ready").is_ok_and(|(status, _)| status == 200))?;
        Ok(server)
    }

    /// The bare poem server of this program.
    pub(crate) fn bare(directory: &Path, document_bytes: usize) -> Result<Self> {
        let addr = free_address()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bare", "--addr", &addr.to_string(), "--document-bytes", &document_bytes.to_string()]);
        Self::start("bare poem", addr, command, directory, None)
    }

    /// The bare tonic server of this program.
    pub(crate) fn bare_grpc(directory: &Path, document_bytes: usize) -> Result<Self> {
        let addr = free_address()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bare", "--grpc", "--addr", &addr.to_string(), "--document-bytes", &document_bytes.to_string()]);
        Self::start("bare tonic", addr, command, directory, None)
    }

    /// Redis, durable on every write. `None` where it is not installed.
    pub(crate) fn redis(directory: &Path, preload: Option<&Path>) -> Result<Option<Self>> {
        if Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().is_err() {
            return Ok(None);
        }
        let addr = free_address()?;
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &addr.port().to_string(), "--dir"]).arg(directory);
        command.args(["--appendonly", "yes", "--appendfsync", "always", "--save", ""]);
        Self::start("redis", addr, command, directory, preload).map(Some)
    }

    fn start(
        name: &'static str,
        addr: SocketAddr,
        mut command: Command,
        directory: &Path,
        preload: Option<&Path>,
    ) -> Result<Self> {
        let log = directory.join(format!("{name}.log"));
        let output = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        if let Some(library) = preload {
            command.env("LD_PRELOAD", library);
        }
        let started = Instant::now();
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let mut server = Self { name, addr, grpc_addr: addr, child, worker: None, log, started };
        server.until("it listens", |server| TcpStream::connect(server.addr).is_ok())?;
        Ok(server)
    }

    /// Waits until something holds, for [`START_MAX`] since the start; how long after the start that was.
    pub(crate) fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) -> Result<Duration> {
        while !holds(self) {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended before {what}, with {status}: {}", self.name, self.log());
            }
            if self.started.elapsed() > START_MAX {
                bail!("{} did not get so far that {what}: {}", self.name, self.log());
            }
            std::thread::sleep(POLL);
        }
        Ok(self.started.elapsed())
    }

    /// One GET on a connection of its own: status and body.
    pub(crate) fn get(&self, path: &str) -> Result<(u16, String)> {
        let mut stream = TcpStream::connect(self.addr)?;
        stream.set_read_timeout(Some(START_MAX))?;
        let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {ADMIN_KEY}\r\n\r\n", self.addr);
        stream.write_all(head.as_bytes())?;
        let (mut answer, mut part) = (Vec::new(), vec![0; 64 << 10]);
        loop {
            let bytes = stream.read(&mut part)?;
            answer.extend_from_slice(part.get(..bytes).unwrap_or_default());
            if let Some(whole) = response::parse(&answer)? {
                let body = answer.get(whole.body_at..whole.bytes).unwrap_or_default();
                return Ok((whole.status, String::from_utf8_lossy(body).into_owned()));
            }
            if bytes == 0 {
                bail!("{} closed a connection", self.name);
            }
        }
    }

    /// Processor time used so far, in user and kernel mode, a worker's with it.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let ids = [Some(self.child.id()), self.worker.as_ref().map(|worker| worker.0.id())];
        let used = ids.into_iter().flatten().map(|id| machine::process_ticks(&id.to_string(), 2));
        Ok(machine::duration(used.sum::<Result<_>>()?))
    }

    /// Resident memory, in bytes.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("/proc names no VmRSS")?;
        let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kilobytes << 10)
    }

    fn log(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        log.lines().rev().take(5).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join(" | ")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
