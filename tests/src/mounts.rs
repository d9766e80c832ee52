//! File systems of a test's own: a small one in memory, and a disk whose power can be cut.
//!
//! Only root may mount. What was mounted is unmounted with its value, whatever a server still does in it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The size of a disk: the smallest that mkfs.xfs takes.
const DISK_BYTES: u64 = 320 << 20;
/// How long others may hold a disk whose power is to come back.
const RESTORE_MAX: Duration = Duration::from_secs(60);

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("cannot run {program}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{program} {arguments:?}: {said}")) }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of a test")
}

/// A mounted file system.
#[derive(Debug)]
struct Mount(PathBuf);

impl Mount {
    fn new(arguments: &[&str], at: &Path) -> Result<Self, String> {
        run("mount", &[arguments, &[text(at)]].concat())?;
        Ok(Self(at.into()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // At once, for whoever comes next; what is still open keeps it until it is closed.
        if run("umount", &[text(&self.0)]).is_err() {
            drop(run("umount", &["--lazy", text(&self.0)]));
        }
    }
}

/// A file system in memory with little room.
#[derive(Debug)]
pub struct Small(Mount);

impl Small {
    /// One with this much room; the error says why this machine cannot make one.
    pub fn new(at: &Path, bytes: u64) -> Result<Self, String> {
        fs::create_dir_all(at).map_err(|error| error.to_string())?;
        let options = format!("size={bytes},mode=0700");
        Mount::new(&["-t", "tmpfs", "-o", &options, "tmpfs"], at).map(Self)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0.0
    }
}

/// How the power goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// What the file system had not yet told the disk is lost.
    Hard,
    /// The file system tells the disk what it has noted down, and nothing more.
    Noted,
}

/// A disk with XFS in a file. Cutting its power leaves what was synced, and takes the rest.
#[derive(Debug)]
pub struct Disk {
    image: PathBuf,
    at: PathBuf,
    mount: Option<Mount>,
}

impl Disk {
    /// A new one in a directory; the error says why this machine cannot make one.
    pub fn new(directory: &Path) -> Result<Self, String> {
        let (image, at) = (directory.join("disk"), directory.join("mounted"));
        let made = File::create_new(&image).and_then(|file| file.set_len(DISK_BYTES));
        made.and_then(|()| fs::create_dir(&at)).map_err(|error| error.to_string())?;
        run("mkfs.xfs", &["-q", text(&image)])?;
        let mut disk = Self { image, at, mount: None };
        disk.mount()?;
        // Whether its power can be cut is tried before anything counts.
        disk.cut(Cut::Hard)?;
        disk.restore()?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.at
    }

    fn mount(&mut self) -> Result<(), String> {
        self.mount = Some(Mount::new(&["-t", "xfs", "-o", "loop", text(&self.image)], &self.at)?);
        Ok(())
    }

    /// Cuts the power: every access fails from now on.
    pub fn cut(&self, cut: Cut) -> Result<(), String> {
        let command = match cut {
            Cut::Hard => "shutdown",
            Cut::Noted => "shutdown -f",
        };
        run("xfs_io", &["-x", "-c", command, text(&self.at)])
    }

    /// Turns the power on again; nobody may have anything open.
    pub fn restore(&mut self) -> Result<(), String> {
        let until = Instant::now() + RESTORE_MAX;
        loop {
            if let Some(mount) = self.mount.take() {
                run("umount", &[text(&self.at)])?;
                std::mem::forget(mount);
            }
            self.mount()?;
            // Whoever made a name space of mounts meanwhile still has the disk that is without power, and so this is it again.
            match fs::metadata(&self.at) {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > until => return Err(format!("the power does not come back: {error}")),
                Err(_) => thread::sleep(Duration::from_millis(50)),
            }
        }
    }
}
