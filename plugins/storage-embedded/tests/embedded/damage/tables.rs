//! Damage to the tree's tables and to its lists of them: a panic of the tree's while it opens would end this process.

use super::*;

/// A store that has moved some of its writes into a table.
async fn with_tables() -> Store {
    let mut store = Store::new().await;
    let storage = open_with_small_buffers(store.path());
    let large = conformance::object(1, 100_000);
    for number in 0.. {
        let name = name(&format!("large{number}"));
        storage.put(&name, &large, &Expect::Absent).await.unwrap();
        store.filled.push((name, large.bytes().clone()));
        if tables(store.path()) > 0 {
            break;
        }
        assert!(number < 1_000, "nothing is moved into tables");
    }
    storage.close().await.unwrap();
    store
}

/// Every file and directory below the keyspaces.
fn kept(directory: &Path) -> Vec<PathBuf> {
    let mut kept = Vec::new();
    let mut left = vec![directory.join("tree/keyspaces")];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        kept.push(path);
    }
    kept.sort();
    kept
}

/// `current` and the list that it names, of eight keyspaces and the tree's own.
fn lists(store: &Store) -> Vec<PathBuf> {
    let keyspaces = (0..=8).map(|keyspace: u8| store.path().join("tree/keyspaces").join(keyspace.to_string()));
    let lists = keyspaces.flat_map(|keyspace| {
        let current = fs::read(keyspace.join("current")).unwrap();
        let number = u64::from_le_bytes(current[..8].try_into().unwrap());
        [keyspace.join("current"), keyspace.join(format!("v{number}"))]
    });
    lists.collect()
}

impl Store {
    /// The store is refused, the file is named, and everything is left as it was found.
    #[track_caller]
    fn assert_names(&self, file: &Path, what: &str) {
        let before = kept(self.path());
        let message = self.assert_damaged(what);
        assert!(message.contains(file.to_str().unwrap()), "{what} of {}: {message}", file.display());
        assert_eq!(kept(self.path()), before, "{what}: what is refused is left as it was found");
    }
}

#[tokio::test]
async fn damage_to_a_list_of_tables_is_refused_and_named() {
    let store = with_tables().await;
    for (turn, file) in lists(&store).into_iter().enumerate() {
        let whole = fs::read(&file).unwrap();
        let step = if whole.len() > 100 { 3 } else { 1 };
        for (at, byte) in whole.iter().enumerate().skip(turn % step).step_by(step) {
            let mask = [1, 0x80][(at + turn) % 2];
            write_at(&file, &[byte ^ mask], at as u64).unwrap();
            store.assert_names(&file, &format!("byte {at}"));
            write_at(&file, &[*byte], at as u64).unwrap();
        }
        for length in [0, 1, whole.len() / 2, whole.len() - 1] {
            fs::write(&file, &whole[..length]).unwrap();
            store.assert_names(&file, &format!("only {length} bytes"));
        }
        fs::remove_file(&file).unwrap();
        store.assert_names(&file, "no file");
        fs::write(&file, &whole).unwrap();
    }
    store.assert_whole("as it was").await;
}

#[tokio::test]
async fn a_keyspace_that_is_missing_is_refused_and_not_made_anew() {
    let store = with_tables().await;
    let elsewhere = tempfile::tempdir().unwrap();
    for keyspace in 0..=8 {
        let keyspace = store.path().join("tree/keyspaces").join(keyspace.to_string());
        let moved = elsewhere.path().join("moved");
        fs::rename(&keyspace, &moved).unwrap();
        store.assert_names(&keyspace, "no keyspace");
        fs::rename(&moved, &keyspace).unwrap();
    }
    store.assert_whole("as it was").await;
}

#[tokio::test]
async fn damage_to_a_table_is_refused_and_named_or_costs_what_lies_there() {
    let store = with_tables().await;
    let (mut refused, mut in_part, mut harmless) = (0, 0, 0);
    let mut tables = kept(store.path());
    tables.retain(|path| path.parent().unwrap().ends_with("tables"));
    for file in tables {
        let whole = fs::read(&file).unwrap();
        // The end of a table says where its parts are; each part has a checksum of its own.
        let sample = (0..whole.len()).step_by(whole.len() / 40 + 1).chain(whole.len().saturating_sub(150)..whole.len());
        for at in sample {
            write_at(&file, &[whole[at] ^ 0x80], at as u64).unwrap();
            match open(store.path()) {
                Err(_) => {
                    store.assert_names(&file, &format!("byte {at}"));
                    refused += 1;
                }
                Ok(storage) => match unreadable(&storage, &store.filled).await {
                    0 => harmless += 1,
                    _ => in_part += 1,
                },
            }
            write_at(&file, &whole[at..=at], at as u64).unwrap();
        }
        fs::write(&file, &whole[..whole.len() - 1]).unwrap();
        store.assert_names(&file, "a byte less");
        fs::remove_file(&file).unwrap();
        store.assert_names(&file, "no file");
        fs::write(&file, &whole).unwrap();
    }
    println!("{refused} refused, {in_part} in part, {harmless} harmless");
    assert!(refused > 0 && in_part > 0, "{refused} refused, {in_part} in part, {harmless} harmless");
    store.assert_whole("as it was").await;
}

/// How many of the objects are errors; the others are what they were.
async fn unreadable(storage: &EmbeddedStorage, filled: &[(ObjectName, bytes::Bytes)]) -> usize {
    let mut errors = 0;
    for (name, bytes) in filled {
        match storage.get(name).await {
            Ok(found) => assert_eq!(found.map(|found| found.bytes).as_ref(), Some(bytes), "{name:?}"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
                errors += 1;
            }
        }
    }
    errors
}
