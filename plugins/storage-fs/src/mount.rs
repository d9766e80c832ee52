//! Whether the file system under a directory keeps the promises that this storage stands on.
//!
//! Over NFS and CIFS locks count between machines only where the mount says so, and a soft mount turns a slow server into a
//! failed write that may have been done. The mount options are read from `/proc/self/mountinfo` (proc(5)).

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use delta_core::{Error, Result};
use rustix::fs::fstatfs;
use rustix::system::uname;

/// Options under which a lock is not one, or a failure is not one: by kind of file system.
const REFUSED: &[(&str, &[&str])] = &[
    ("nfs", &["nolock", "local_lock=all", "local_lock=flock", "local_lock=posix", "soft", "softerr"]),
    ("nfs4", &["nolock", "local_lock=all", "local_lock=flock", "local_lock=posix", "soft", "softerr"]),
    ("cifs", &["nobrl", "soft"]),
    ("smb3", &["nobrl", "soft"]),
];

/// The magic numbers (statfs(2)) of ext2 to ext4, XFS, Btrfs, F2FS and tmpfs.
const LOCAL: [u32; 5] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x0102_1994];

/// Refuses a directory on a mount whose options break the promises; where nothing can be read, nothing is refused.
pub(crate) fn check(directory: &Path) -> Result<()> {
    let Ok(mounts) = std::fs::read_to_string("/proc/self/mountinfo") else { return Ok(()) };
    let directory = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    match refusal(&mounts, &directory) {
        Some((mount, option)) => {
            let message = format!(
                "{} is mounted at {} with the option {option}, under which other machines' locks or failed writes do not \
                 count; mount it without that option",
                directory.display(),
                mount.display()
            );
            Err(Error::invalid("unsafe_mount", message))
        }
        None => Ok(()),
    }
}

/// The directory, to be synced with its whole file system, where that makes each file durable and tells of every failure: on
/// file systems of this machine since Linux 5.8 (syncfs(2)).
pub(crate) fn whole_file_system(directory: &Path) -> io::Result<Option<File>> {
    let root = File::open(directory)?;
    let kind = fstatfs(&root)?.f_type;
    let release = uname().release().to_string_lossy().into_owned();
    let is_local = LOCAL.iter().any(|magic| i128::from(*magic) == i128::from(kind));
    Ok((is_local && since_5_8(&release)).then_some(root))
}

/// Whether a kernel's release, like `6.1.0-13-amd64`, is 5.8 or later.
fn since_5_8(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(5), Some(8))
}

/// The mount that holds a directory and its first refused option.
fn refusal(mounts: &str, directory: &Path) -> Option<(PathBuf, &'static str)> {
    let holding = mounts.lines().filter_map(parse).filter(|mount| directory.starts_with(&mount.point));
    // Of two mounts at one place the later one counts.
    let mount = holding.max_by_key(|mount| mount.point.components().count())?;
    let (_, refused) = REFUSED.iter().find(|(kind, _)| *kind == mount.kind)?;
    let option = refused.iter().find(|option| mount.options.iter().any(|given| given == *option))?;
    Some((mount.point, option))
}

struct Mount {
    point: PathBuf,
    kind: String,
    options: Vec<String>,
}

/// One line: `36 35 98:0 /root /mount/point options optional… - kind source options`.
fn parse(line: &str) -> Option<Mount> {
    let (here, there) = line.split_once(" - ")?;
    let mut here = here.split(' ').skip(4);
    let (point, own) = (unescape(here.next()?), here.next()?);
    let mut there = there.split(' ');
    let (kind, of_all) = (there.next()?.to_owned(), there.nth(1)?);
    let options = own.split(',').chain(of_all.split(',')).map(str::to_owned).collect();
    Some(Mount { point: point.into(), kind, options })
}

/// Spaces, tabs, newlines and backslashes are written as three octal digits.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
40 22 0:45 / /srv/good rw,relatime shared:20 - nfs4 host:/good rw,vers=4.2,hard,proto=tcp,local_lock=none
41 22 0:46 / /srv/soft rw,relatime - nfs4 host:/soft rw,vers=4.2,soft,local_lock=none
42 22 0:47 / /srv/old rw,relatime - nfs host:/old rw,vers=3,hard,nolock,local_lock=all
43 22 0:48 / /srv/with\\040space rw - cifs //host/share rw,nobrl
44 41 254:1 / /srv/soft/local rw,relatime - xfs /dev/vdb rw,attr2
45 22 0:49 / /srv/twice rw - nfs4 host:/a rw,soft
46 22 0:50 / /srv/twice rw - nfs4 host:/b rw,hard,local_lock=none
";

    #[test]
    fn mounts_that_break_the_promises_are_refused() {
        let refused = |directory: &str| refusal(MOUNTS, Path::new(directory)).map(|(_, option)| option);
        for fine in ["/", "/var/db", "/srv/good/db", "/srv/softer", "/srv/soft/local/db", "/srv/twice"] {
            assert_eq!(refused(fine), None, "{fine}");
        }
        assert_eq!(refused("/srv/soft/db"), Some("soft"));
        assert_eq!(refused("/srv/old"), Some("nolock"));
        assert_eq!(refused("/srv/with space/db"), Some("nobrl"));
    }

    #[test]
    fn kernels_are_told_by_their_release() {
        for (release, since) in [
            ("6.1.0-13-amd64", true),
            ("5.8.0", true),
            ("5.10", true),
            ("5.7.19", false),
            ("4.19.0", false),
            ("x", false),
        ] {
            assert_eq!(since_5_8(release), since, "{release}");
        }
    }

    #[test]
    fn the_directory_of_this_test_is_on_a_mount() {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let here = std::env::current_dir().unwrap();
        assert!(mounts.lines().filter_map(parse).any(|mount| here.starts_with(mount.point)));
        check(&here).unwrap();
    }
}
