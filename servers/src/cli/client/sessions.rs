//! The sessions that `deltadb login` saves: one for each server, in a file that only the user can read.
//!
//! The file is `deltadb/credentials.json` in the user's configuration directory, mode 0600 in a directory of mode 0700.
//! It is replaced as a whole, under a lock, so that two logins at the same time keep both sessions.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use delta_core::keys::SecretText;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::connection::ServerUrl;

/// The file's name.
const FILE: &str = "credentials.json";
/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The bits of a mode that let others in.
const OTHERS: u32 = 0o077;

/// A session with a server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Session {
    #[serde(serialize_with = "expose", deserialize_with = "hide")]
    pub(crate) token: SecretText,
    pub(crate) client_id: String,
    pub(crate) expires_at: String,
}

/// The file: sessions by the server's address.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Sessions {
    sessions: BTreeMap<String, Session>,
}

fn expose<S: Serializer>(token: &SecretText, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(token.expose())
}

fn hide<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretText, D::Error> {
    String::deserialize(deserializer).map(SecretText::new)
}

/// Where the sessions are kept.
pub(crate) fn directory() -> Result<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")));
    let base =
        base.context("there is no configuration directory; set HOME or XDG_CONFIG_HOME, or use DELTADB_TOKEN")?;
    Ok(base.join("deltadb"))
}

/// The session that was saved for a server. A machine without a configuration directory has none.
pub(crate) fn find(server: &ServerUrl) -> Result<Option<Session>> {
    let Ok(directory) = directory() else { return Ok(None) };
    Ok(load(&directory)?.sessions.remove(server.0.as_str()))
}

/// Saves a session, in place of an earlier one with the same server; gives the file.
pub(crate) fn save(server: &ServerUrl, session: Session) -> Result<PathBuf> {
    let directory = directory()?;
    change(&directory, |sessions| _ = sessions.insert(server.0.to_string(), session))
}

/// Forgets the session with a server.
pub(crate) fn forget(server: &ServerUrl) -> Result<()> {
    let directory = directory()?;
    change(&directory, |sessions| _ = sessions.remove(server.0.as_str())).map(drop)
}

fn load(directory: &Path) -> Result<Sessions> {
    let path = directory.join(FILE);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Sessions::default()),
        Err(error) => bail!("cannot read {}: {error}; check its owner and mode", path.display()),
    };
    let mode = file.metadata().with_context(|| format!("cannot read {}", path.display()))?.permissions().mode();
    if mode & OTHERS != 0 {
        bail!("{0} holds tokens and others can read it; run `chmod 600 {0}`, and log in anew", path.display());
    }
    let mut text = Zeroizing::new(String::new());
    let read = file.take(FILE_BYTES_MAX).read_to_string(&mut text);
    read.with_context(|| format!("cannot read {}", path.display()))?;
    // What does not parse is not quoted: it may be a token.
    let parsed = serde_json::from_str(&text).ok();
    parsed.with_context(|| format!("{} is damaged; delete it, and log in anew", path.display()))
}

fn change(directory: &Path, change: impl FnOnce(&mut BTreeMap<String, Session>)) -> Result<PathBuf> {
    let cannot = || format!("cannot save sessions in {}; check its owner and mode", directory.display());
    DirBuilder::new().recursive(true).mode(0o700).create(directory).with_context(cannot)?;
    let private =
        |name: &str| OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(directory.join(name));
    let lock = private("lock").with_context(cannot)?;
    lock.lock().with_context(cannot)?;
    let mut all = load(directory)?;
    change(&mut all.sessions);
    let text = Zeroizing::new(serde_json::to_string_pretty(&all)?);
    let (path, new) = (directory.join(FILE), format!("{FILE}.new"));
    // One that a crash left behind may have another mode.
    drop(fs::remove_file(directory.join(&new)));
    let mut file = private(&new).with_context(cannot)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.write_all(b"\n")).and_then(|()| file.sync_all());
    written.and_then(|()| fs::rename(directory.join(new), &path)).with_context(cannot)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(token: &str) -> Session {
        Session { token: SecretText::new(token), client_id: "admin".into(), expires_at: "2026-01-01T00:00:00Z".into() }
    }

    fn put(directory: &Path, server: &str, token: &str) -> PathBuf {
        change(directory, |sessions| _ = sessions.insert(server.into(), session(token))).unwrap()
    }

    #[test]
    fn sessions_are_kept_apart_and_private() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("config/deltadb");
        let path = put(&directory, "http://a/", "one");
        put(&directory, "http://b/", "two");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&directory)), (0o600, 0o700));
        let all = load(&directory).unwrap();
        assert_eq!(all.sessions["http://a/"].token.expose(), "one");
        assert!(!format!("{all:?}").contains("one"));
        change(&directory, |sessions| _ = sessions.remove("http://a/")).unwrap();
        assert_eq!(load(&directory).unwrap().sessions.into_keys().collect::<Vec<_>>(), ["http://b/"]);
    }

    #[test]
    fn logins_at_the_same_time_keep_every_session() {
        let directory = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for number in 0..8 {
                let directory = directory.path();
                scope.spawn(move || put(directory, &format!("http://{number}/"), "t"));
            }
        });
        assert_eq!(load(directory.path()).unwrap().sessions.len(), 8);
    }

    #[test]
    fn a_file_that_others_can_read_or_that_is_damaged_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = put(directory.path(), "http://a/", "s3cret");
        for mode in [0o640, 0o604, 0o660] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(load(directory.path()).unwrap_err().to_string().contains("chmod 600"), "{mode:o}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "{\"sessions\": {\"http://a/\": {\"token\": \"s3cret").unwrap();
        let refused = format!("{:#}", load(directory.path()).unwrap_err());
        assert!(refused.contains("is damaged") && !refused.contains("s3cret"), "{refused}");
    }
}
