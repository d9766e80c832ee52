//! The contract again on file systems that are mounted for it, where this user may mount.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Space for a store and its conformance tests.
const IMAGE_BYTES: u64 = 400 << 20;

/// A mount that ends with the value.
struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        succeeds(Command::new("umount").arg("-l").arg(self.0));
    }
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// Runs the contract of a shared store, with its temporary directories on a mount.
fn contract_holds_on(mounted: &Path, kind: &str) {
    let this = std::env::current_exe().unwrap();
    let output = Command::new(this).arg("contract::shared").env("TMPDIR", mounted).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{kind}: {text}");
    assert!(text.contains("test result: ok. 4"), "{kind}: too few tests ran: {text}");
}

#[test]
fn the_contract_holds_on_an_overlay() {
    let directory = tempfile::tempdir().unwrap();
    let [lower, upper, work, merged] = ["lower", "upper", "work", "merged"].map(|name| directory.path().join(name));
    for directory in [&lower, &upper, &work, &merged] {
        fs::create_dir(directory).unwrap();
    }
    let [lowers, uppers, works] = [&lower, &upper, &work].map(|path| path.display().to_string());
    let options = format!("lowerdir={lowers},upperdir={uppers},workdir={works}");
    if !succeeds(Command::new("mount").args(["-t", "overlay", "overlay", "-o", &options]).arg(&merged)) {
        return eprintln!("SKIPPED: an overlay cannot be mounted here");
    }
    let mounted = Mounted(&merged);
    contract_holds_on(mounted.0, "overlay");
}

#[test]
fn the_contract_holds_on_xfs() {
    let directory = tempfile::tempdir().unwrap();
    let (image, point) = (directory.path().join("image"), directory.path().join("point"));
    fs::create_dir(&point).unwrap();
    fs::File::create(&image).unwrap().set_len(IMAGE_BYTES).unwrap();
    let made = succeeds(Command::new("mkfs.xfs").arg("-q").arg(&image));
    if !made || !succeeds(Command::new("mount").args(["-o", "loop"]).args([&image, &point])) {
        return eprintln!("SKIPPED: XFS cannot be made or mounted here");
    }
    let mounted = Mounted(&point);
    contract_holds_on(mounted.0, "xfs");
}
