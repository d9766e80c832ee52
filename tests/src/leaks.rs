//! What no server may print, however much it logs: the keys it was started with, every credential that clients sent or
//! got, and what stood in documents.
//!
//! Clients note what they see, by the server's address; the harness searches everything a server printed when it ends.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Shorter words are too likely to be printed for another reason.
const SECRET_CHARS_MIN: usize = 12;
/// Shorter words of a document are too likely to be names.
const DOCUMENT_WORD_CHARS_MIN: usize = 16;
/// Of a longer word, this much is searched for.
const WORD_CHARS_MAX: usize = 64;
/// How much of a document is looked at.
const DOCUMENT_BYTES_MAX: usize = 4_096;
/// How many words are noted for one server.
const NOTED_MAX: usize = 2_000;
/// How credentials begin that servers make.
const PREFIXES: [&str; 2] = ["dk_", "ds_"];

static NOTED: Mutex<BTreeMap<SocketAddr, BTreeSet<String>>> = Mutex::new(BTreeMap::new());

fn noted() -> MutexGuard<'static, BTreeMap<SocketAddr, BTreeSet<String>>> {
    NOTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes words that a server was told or told, and must not print.
fn note(server: SocketAddr, words: impl IntoIterator<Item = String>) {
    let mut noted = noted();
    let known = noted.entry(server).or_default();
    for word in words {
        if known.len() < NOTED_MAX {
            known.insert(word);
        }
    }
}

/// Notes a credential: the whole of it, and its parts but for the prefix and the id.
pub fn note_credential(server: SocketAddr, credential: &str) {
    note(server, parts(credential));
}

fn parts(credential: &str) -> Vec<String> {
    let secret = match PREFIXES.iter().any(|prefix| credential.starts_with(prefix)) {
        true => credential.rsplit(['_', '.']).next(),
        false => None,
    };
    let words = [Some(credential), secret].into_iter().flatten();
    words.filter(|word| word.len() >= SECRET_CHARS_MIN).map(str::to_owned).collect()
}

/// Notes the credentials that an answer holds.
pub(crate) fn note_answer(server: SocketAddr, body: &[u8]) {
    if !body.windows(3).any(|start| PREFIXES.iter().any(|prefix| prefix.as_bytes() == start)) {
        return;
    }
    let text = String::from_utf8_lossy(body);
    let is_token = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    for token in text.split(|c| !is_token(c)).filter(|token| token.len() > 40) {
        if PREFIXES.iter().any(|prefix| token.starts_with(prefix)) {
            note_credential(server, token);
        }
    }
}

/// Notes the long words of a document.
pub fn note_document(server: SocketAddr, body: &[u8]) {
    let start = body.get(..DOCUMENT_BYTES_MAX).unwrap_or(body);
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-".contains(byte);
    let words = start.split(|byte| !is_word(byte)).filter(|word| word.len() >= DOCUMENT_WORD_CHARS_MIN);
    let words = words.map(|word| word.get(..WORD_CHARS_MAX).unwrap_or(word));
    note(server, words.map(|word| String::from_utf8_lossy(word).into_owned()));
}

/// The secrets on a command line, in variables, and in the files that they name.
pub(crate) fn given(arguments: &[String], variables: &[(String, String)]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut value = |name: &str, value: &str| {
        let name = name.trim_start_matches('-').to_ascii_lowercase().replace('-', "_");
        let name = name.trim_start_matches("deltadb_");
        let of_file = |file: &Path| fs::read_to_string(file).unwrap_or_default();
        match name {
            "admin_key" | "master_key" | "previous_key" | "token" => found.extend(secrets(value)),
            "admin_key_file" | "master_key_file" | "join_token_file" => {
                found.extend(secrets(&of_file(Path::new(value))))
            }
            "config" => {
                let text = of_file(Path::new(value));
                let lines = text
                    .lines()
                    .filter(|line| line.split('=').next().is_some_and(|name| name.trim().ends_with("_key")));
                lines.for_each(|line| found.extend(secrets(line)));
            }
            "data_dir" => ["dev-master.key", "dev-admin.key"]
                .iter()
                .for_each(|name| found.extend(secrets(&of_file(&Path::new(value).join(name))))),
            _ => {}
        }
    };
    for (at, argument) in arguments.iter().enumerate() {
        match argument.split_once('=') {
            Some((name, given)) => value(name, given),
            None => arguments.get(at + 1).iter().for_each(|given| value(argument, given)),
        }
    }
    variables.iter().for_each(|(name, given)| value(name, given));
    found
}

/// The secrets in a value, of which ids stand before a sign.
fn secrets(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let values = lines.flat_map(|line| line.split(',')).map(|value| value.rsplit('=').next().unwrap_or_default());
    let values =
        values.map(|value| value.trim_matches([' ', '"', '\''])).filter(|value| value.len() >= SECRET_CHARS_MIN);
    values.map(str::to_owned).collect()
}

/// Fails if a server at these addresses printed what it must not.
#[track_caller]
pub(crate) fn none_in(output: &str, given: &BTreeSet<String>, servers: &[SocketAddr]) {
    let mut words = given.clone();
    {
        let mut noted = noted();
        servers.iter().for_each(|server| words.extend(noted.remove(server).unwrap_or_default()));
    }
    none_of(output, &words);
}

/// The same of a process that works for a server: what that one was told counts for it too.
#[track_caller]
pub(crate) fn none_in_worker(output: &str, given: &BTreeSet<String>, server: SocketAddr) {
    let mut words = given.clone();
    words.extend(noted().get(&server).cloned().unwrap_or_default());
    none_of(output, &words);
}

#[track_caller]
fn none_of(output: &str, words: &BTreeSet<String>) {
    for word in words {
        let line = output.lines().find(|line| line.contains(word.as_str()));
        assert!(line.is_none(), "a server printed {word:?}, which it must not: {line:?}");
    }
}
