use std::collections::BTreeSet;
use std::os::unix::fs::{PermissionsExt, symlink};

use delta_core::ErrorKind;
use delta_core::plugin::{Settings, open_keys};
use tempfile::TempDir;

use super::*;

fn key_id(text: &str) -> KeyId {
    KeyId::parse(text).unwrap()
}

/// A provider over a file in a directory that lives as long as it.
#[derive(Debug)]
struct Fixture {
    directory: TempDir,
    keys: FileKeys,
}

impl Fixture {
    fn empty() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let keys = FileKeys::new(Config { path: directory.path().join("keys"), key_id: key_id("bare") });
        Self { directory, keys }
    }

    fn with(text: &str) -> Self {
        let fixture = Self::empty();
        fixture.put(text, 0o600);
        fixture
    }

    fn put(&self, text: &str, mode: u32) {
        fs::write(&self.keys.path, text).unwrap();
        fs::set_permissions(&self.keys.path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.keys.path).unwrap()
    }

    fn files(&self) -> usize {
        fs::read_dir(self.directory.path()).unwrap().count()
    }
}

#[async_trait]
impl KeyProvider for Fixture {
    async fn keys(&self) -> Result<Vec<MasterKey>> {
        self.keys.keys().await
    }

    async fn create(&self, id: &KeyId) -> Result<MasterKey> {
        self.keys.create(id).await
    }
}

fn two_keys() -> String {
    format!("# ours\nold={}\n{}\n", "ab".repeat(32), "cd".repeat(32))
}

async fn fixture() -> Fixture {
    Fixture::with(&two_keys())
}

delta_core::conformance::keys!(fixture);

async fn ids(keys: &dyn KeyProvider) -> Vec<String> {
    keys.keys().await.unwrap().into_iter().map(|key| key.id.to_string()).collect()
}

#[tokio::test]
async fn a_missing_file_is_told_from_an_empty_one() {
    let fixture = Fixture::empty();
    let error = fixture.keys().await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::NotFound, "missing_key_file"));
    fixture.put("# nothing yet\n", 0o600);
    let error = fixture.keys().await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, "empty_key_file"));
}

#[tokio::test]
async fn the_file_is_read_again_each_time() {
    let fixture = fixture().await;
    assert_eq!(ids(&fixture).await, ["old", "bare"]);
    fixture.put(&format!("other={}", "ef".repeat(32)), 0o400);
    assert_eq!(ids(&fixture).await, ["other"]);
}

#[tokio::test]
async fn a_file_that_others_may_use_is_refused() {
    let fixture = fixture().await;
    for mode in [0o640, 0o604, 0o620, 0o601] {
        fixture.put(&two_keys(), mode);
        for error in [fixture.keys().await.unwrap_err(), fixture.create(&key_id("new")).await.unwrap_err()] {
            assert_eq!(error.code(), "exposed_key_file");
            assert!(error.to_string().contains(&format!("chmod 600 {}", fixture.keys.path.display())), "{error}");
        }
    }
    assert_eq!(fixture.text(), two_keys());
}

#[tokio::test]
async fn a_file_that_cannot_be_a_key_file_is_refused() {
    let fixture = Fixture::with(&"#".repeat(65 << 10));
    assert_eq!(fixture.keys().await.unwrap_err().code(), "invalid_key_file");
    let endless = FileKeys::new(Config { path: "/dev/zero".into(), key_id: key_id("bare") });
    assert!(endless.keys().await.is_err());
    let directory = FileKeys::new(Config { path: fixture.directory.path().into(), key_id: key_id("bare") });
    assert_eq!(directory.keys().await.unwrap_err().code(), "unreadable_key_file");
}

#[tokio::test]
async fn creating_makes_a_private_file_and_leaves_nothing_beside_it() {
    let fixture = Fixture::empty();
    let created = fixture.create(&key_id("new")).await.unwrap();
    assert_eq!(fixture.text(), format!("new={}\n", created.key.to_hex().as_str()));
    assert_eq!(fs::metadata(&fixture.keys.path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(fixture.files(), 1);
}

#[tokio::test]
async fn creating_keeps_every_line_that_was_there() {
    let fixture = fixture().await;
    let created = fixture.create(&key_id("new")).await.unwrap();
    assert_eq!(fixture.text(), format!("new={}\n{}", created.key.to_hex().as_str(), two_keys()));
    assert_eq!(ids(&fixture).await, ["new", "old", "bare"]);
    assert_eq!(fixture.files(), 1);
}

#[tokio::test]
async fn a_damaged_file_is_left_alone() {
    let fixture = Fixture::with("not a key\n");
    assert_eq!(fixture.create(&key_id("new")).await.unwrap_err().code(), "invalid_key_file");
    assert_eq!(fixture.text(), "not a key\n");
}

#[tokio::test]
async fn a_key_that_cannot_be_kept_says_what_to_do() {
    let keys = FileKeys::new(Config { path: "/proc/keys-of-ours".into(), key_id: key_id("bare") });
    let error = keys.create(&key_id("new")).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "keys_not_persistent"));
    assert!(error.to_string().contains("--previous-key") && error.to_string().contains("writable"), "{error}");
}

#[tokio::test]
async fn a_link_to_the_file_stays_a_link() {
    let fixture = fixture().await;
    let link = fixture.directory.path().join("link");
    symlink(&fixture.keys.path, &link).unwrap();
    let linked = FileKeys::new(Config { path: link.clone(), key_id: key_id("bare") });
    linked.create(&key_id("new")).await.unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(ids(&fixture).await, ["new", "old", "bare"]);
}

#[test]
fn creators_at_the_same_time_lose_no_key() {
    let fixture = Fixture::empty();
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let keys = FileKeys { path: fixture.keys.path.clone(), bare: key_id("bare") };
            scope.spawn(move || {
                for number in 0..8 {
                    runtime().block_on(keys.create(&key_id(&format!("{writer}-{number}")))).unwrap();
                }
            });
        }
    });
    let ids = runtime().block_on(ids(&fixture));
    assert_eq!((ids.len(), ids.iter().collect::<BTreeSet<_>>().len()), (32, 32));
}

#[tokio::test]
async fn the_plug_in_opens_from_settings_and_names_an_unknown_field() {
    let fixture = fixture().await;
    let settings = || Settings::default().with("path", fixture.keys.path.to_str().unwrap()).with("key_id", "main");
    let keys = open_keys("file", settings()).await.unwrap();
    assert_eq!(ids(&*keys).await, ["old", "main"]);
    let error = open_keys("file", settings().with("pth", "x")).await.unwrap_err();
    assert!(error.to_string().contains("plug-in file") && error.to_string().contains("`pth`"), "{error}");
}
