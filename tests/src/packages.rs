//! Programs of others that tests use, pinned, from their registries by their ordinary clients: installed once below
//! `target/`, and again when what is pinned changes. An error says why there are none; the test is skipped then.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

/// What says, in a directory, that everything was installed and from which pins.
const COMPLETE: &str = ".complete";

/// The packages of a requirements file, in a virtual environment at `home`.
pub fn python(requirements: &Path, home: &Path) -> Result<(), String> {
    let version = output(Command::new("python3").arg("--version"))?;
    let pins = version + &fs::read_to_string(requirements).map_err(|error| error.to_string())?;
    installed(home, &pins, || {
        output(Command::new("python3").args(["-m", "venv"]).arg(home))?;
        let mut install = Command::new(home.join("bin/python"));
        install.args(["-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check", "--requirement"]);
        output(install.arg(requirements)).map(drop)
    })
}

/// The packages of a `package-lock.json`, in `home/node_modules`.
pub fn node(project: &Path, home: &Path) -> Result<(), String> {
    let read = |name: &str| fs::read_to_string(project.join(name)).map_err(|error| error.to_string());
    let version = output(Command::new("node").arg("--version"))?;
    let pins = version + &read("package-lock.json")? + &read("package.json")?;
    installed(home, &pins, || {
        fs::create_dir_all(home).map_err(|error| error.to_string())?;
        for name in ["package.json", "package-lock.json"] {
            fs::copy(project.join(name), home.join(name)).map_err(|error| error.to_string())?;
        }
        output(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(home)).map(drop)
    })
}

/// Installs into an empty `home` unless that was done from these pins; one process and one thread at a time.
fn installed(home: &Path, pins: &str, install: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let lock = lock(home).map_err(|error| format!("cannot lock {}: {error}", home.display()))?;
    if fs::read_to_string(home.join(COMPLETE)).is_ok_and(|complete| complete == pins) {
        return Ok(());
    }
    match fs::remove_dir_all(home) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.to_string()),
        _ => {}
    }
    install()?;
    fs::write(home.join(COMPLETE), pins).map_err(|error| error.to_string())?;
    drop(lock);
    Ok(())
}

fn lock(home: &Path) -> io::Result<File> {
    home.parent().map_or(Ok(()), fs::create_dir_all)?;
    let file = File::create(home.with_extension("lock"))?;
    file.lock()?;
    Ok(file)
}

/// Runs a command to its end, in this process's environment, where package managers find proxies and certificates.
fn output(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("cannot run {name}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    Err(format!("{name} ended with {}: {last}", output.status))
}
