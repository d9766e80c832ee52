//! The chat clients of the documents that the product was specified from run unchanged.
//!
//! Their code is taken out of the documents when the test runs, byte for byte, and is nowhere in this tree. The clients
//! insist on port 8080, so each test has a network of its own where the machine can make one. The example in three steps
//! is named in the second document's contents, but its code is not in it: ours is under `examples/chat`.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use delta_tests::namespace::Namespace;
use delta_tests::server::Server;
use delta_tests::start::{Finished, Start};
use serde_json::{Value, json};

use crate::support::{PROGRAM, data, dev, directory, has, run, serve, skipped};

/// The admin key that the clients of document 001 hold.
const SEEDS_ADMIN_KEY: &str = "mysecretkey";
const BASE: &str = "http://127.0.0.1:8080";
/// The library that the Python clients ask for, where the machine does not have it.
const REQUESTS: &str = "requests==2.32.5";

/// A document by its number.
fn document(number: &str) -> Option<String> {
    let directory = std::env::var_os("DELTA_TESTS_SEEDS_DIR").map(PathBuf::from)?;
    let entries = fs::read_dir(directory).ok()?.flatten().map(|entry| entry.path());
    let named = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(number));
    fs::read_to_string(entries.into_iter().find(named)?).ok()
}

/// The first fenced block of a language below a heading.
fn block<'a>(document: &'a str, heading: &str, language: &str) -> &'a str {
    let section = document.split_once(&format!("\n### {heading}\n")).unwrap().1;
    let code = section.split_once(&format!("\n```{language}\n")).unwrap().1;
    let end = code.find("\n```").unwrap() + 1;
    &code[..end]
}

/// Where a client finds its server on port 8080: a namespace, or this machine, one test at a time.
struct Place {
    namespace: Option<Namespace>,
    _turn: Option<MutexGuard<'static, ()>>,
}

impl Place {
    fn find() -> Result<Self, String> {
        static TURN: Mutex<()> = Mutex::new(());
        match Namespace::new() {
            Ok(namespace) => Ok(Self { namespace: Some(namespace), _turn: None }),
            Err(why) => {
                let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
                let free = std::net::TcpListener::bind("127.0.0.1:8080").is_ok();
                let place = Self { namespace: None, _turn: Some(turn) };
                if free { Ok(place) } else { Err(format!("{why}, and port 8080 is taken")) }
            }
        }
    }

    fn prefix(&self) -> Vec<OsString> {
        self.namespace.iter().flat_map(Namespace::prefix).collect()
    }

    fn up(&self, start: &Start) -> Server {
        start.clone().prefix(&self.prefix()).variable("DELTADB_REST_ADDR", "127.0.0.1:8080").up()
    }

    fn run(&self, line: &[&str], variables: &[(&str, &str)]) -> Finished {
        run(&[self.prefix(), line.iter().map(OsString::from).collect()].concat(), variables)
    }

    /// A stored session, read by curl.
    fn session(&self, session: &str, credential: &str) -> Value {
        let header = format!("Authorization: Bearer {credential}");
        let read = self.run(&["curl", "-sS", "-H", &header, &format!("{BASE}/entity/chatdb/{session}")], &[]);
        serde_json::from_str(&read.stdout).unwrap_or_else(|_| panic!("{read:?}"))
    }
}

/// A Python that can import `requests`; made once where the machine has none.
fn python() -> Option<&'static PathBuf> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    PYTHON.get_or_init(find_python).as_ref()
}

fn find_python() -> Option<PathBuf> {
    let imports = |python: &Path| run(&[python.into(), "-c".into(), "import requests".into()], &[]).code == Some(0);
    if !has("python3") {
        return None;
    }
    if imports(Path::new("python3")) {
        return Some("python3".into());
    }
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("seeds-venv");
    let python = venv.join("bin/python3");
    if !python.exists() {
        run(&["python3".into(), "-m".into(), "venv".into(), venv.into()], &[]);
    }
    if python.exists() && !imports(&python) {
        let install = ["-m", "pip", "install", "--quiet", REQUESTS].map(OsString::from);
        run(&[&[python.clone().into_os_string()], install.as_slice()].concat(), &[]);
    }
    (python.exists() && imports(&python)).then_some(python)
}

/// What a client says that it stored: role and text of each line `  stored [role]: text`.
fn stored(output: &str) -> Vec<(String, String)> {
    let parse = |line: &str| {
        let (role, text) = line.strip_prefix("  stored [")?.split_once("]: ")?;
        Some((role.to_owned(), text.to_owned()))
    };
    output.lines().filter_map(parse).collect()
}

fn messages(stored: &[(String, String)]) -> Value {
    let messages = stored.iter().map(|(role, text)| json!({"role": role, "content": text}));
    json!({"messages": messages.collect::<Vec<_>>()})
}

/// Users and assistants in turn, and every text as it stands in the client's code.
fn is_conversation(stored: &[(String, String)], count: usize, code: &str) {
    let expected: Vec<_> = ["user", "assistant"].into_iter().cycle().take(count).collect();
    assert_eq!(stored.iter().map(|(role, _)| role.as_str()).collect::<Vec<_>>(), expected);
    assert!(stored.iter().all(|(_, text)| !text.is_empty() && code.contains(text.as_str())), "{stored:?}");
}

/// The Python client of a document: what it prints last is what it stored, and a restart keeps it.
fn python_client(number: &str, start: fn(&tempfile::TempDir) -> Start, credential: fn(&tempfile::TempDir) -> String) {
    let Some(document) = document(number) else {
        return skipped("DELTA_TESTS_SEEDS_DIR names no directory with the documents");
    };
    let Some(python) = python() else { return skipped("there is no python3 with requests") };
    let place = match Place::find() {
        Ok(place) if has("curl") => place,
        Ok(_) => return skipped("there is no curl"),
        Err(why) => return skipped(&why),
    };
    let directory = directory();
    let code = block(&document, "Python client", "python");
    let file = directory.path().join("client.py");
    fs::write(&file, code).unwrap();
    let server = place.up(&start(&directory));
    let finished = place.run(&[python.to_str().unwrap(), file.to_str().unwrap()], &[]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    // Python prints the stored texts with `repr`: none of them has a quote or a backslash in it.
    let quoted = stored(&finished.stdout).into_iter();
    let stored: Vec<_> = quoted.map(|(role, text)| (role, text.trim_matches('\'').to_owned())).collect();
    is_conversation(&stored, 6, code);
    let mut last = vec![String::new(), "=== Session 'py_session_001' (6 messages) ===".to_owned()];
    last.extend(stored.iter().map(|(role, text)| format!("  [{role:<9}] {text}")));
    let lines: Vec<_> = finished.stdout.lines().collect();
    assert_eq!(lines[lines.len() - last.len()..], last);
    server.kill();
    let _server = place.up(&start(&directory));
    assert_eq!(place.session("py_session_001", &credential(&directory)), messages(&stored));
}

/// The shell client of a document.
fn shell_client(number: &str, start: fn(&tempfile::TempDir) -> Start, credential: fn(&tempfile::TempDir) -> String) {
    let Some(document) = document(number) else {
        return skipped("DELTA_TESTS_SEEDS_DIR names no directory with the documents");
    };
    if !["bash", "curl", "jq"].into_iter().all(has) {
        return skipped("this needs bash, curl and jq");
    }
    let place = match Place::find() {
        Ok(place) => place,
        Err(why) => return skipped(&why),
    };
    let directory = directory();
    let code = block(&document, "curl / shell", "bash");
    let file = directory.path().join("client.sh");
    fs::write(&file, code).unwrap();
    let server = place.up(&start(&directory));
    let finished = place.run(&["bash", file.to_str().unwrap()], &[]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let stored = stored(&finished.stdout);
    is_conversation(&stored, 4, code);
    // Last comes the session as `jq .` prints it.
    let shown = finished.stdout.split_once("\n\n=== Full session ===\n").unwrap().1;
    assert!(
        shown.starts_with("{\n  \"messages\": [\n    {\n      \"role\": \"user\",\n") && shown.ends_with("\n  ]\n}\n"),
        "{shown}"
    );
    assert_eq!(serde_json::from_str::<Value>(shown).unwrap(), messages(&stored));
    server.kill();
    let _server = place.up(&start(&directory));
    assert_eq!(place.session("bash_session_001", &credential(&directory)), messages(&stored));
}

/// Document 001: the server has the admin key that the clients hold.
fn with_admin_key(directory: &tempfile::TempDir) -> Start {
    serve(directory).variable("ADMIN_KEY", SEEDS_ADMIN_KEY)
}

fn admin_key(_: &tempfile::TempDir) -> String {
    SEEDS_ADMIN_KEY.into()
}

/// Document 000: clients log in by name, which a development server allows.
fn dev_key(directory: &tempfile::TempDir) -> String {
    fs::read_to_string(data(directory).join("dev-admin.key")).unwrap().trim().to_owned()
}

#[test]
fn the_python_client_of_document_000_runs_unchanged() {
    python_client("000_", dev, dev_key);
}

#[test]
fn the_shell_client_of_document_000_runs_unchanged() {
    shell_client("000_", dev, dev_key);
}

#[test]
fn the_python_client_of_document_001_runs_unchanged() {
    python_client("001_", with_admin_key, admin_key);
}

#[test]
fn the_shell_client_of_document_001_runs_unchanged() {
    shell_client("001_", with_admin_key, admin_key);
}

/// The quick start of document 001: the directory, the Main Worker on it, and an entity that comes and goes. The Processing
/// Worker of its third step has no counterpart yet.
#[test]
fn the_quick_start_of_document_001_works_on_a_shared_directory() {
    let Some(document) = document("001_") else {
        return skipped("DELTA_TESTS_SEEDS_DIR names no directory with the documents");
    };
    if !["bash", "curl"].into_iter().all(has) {
        return skipped("this needs bash and curl");
    }
    let place = match Place::find() {
        Ok(place) => place,
        Err(why) => return skipped(&why),
    };
    let directory = directory();
    let step = |heading: &str| {
        let line = format!("cd {} && {}", directory.path().display(), block(&document, heading, "bash"));
        // The fourth step says which, for a person's shell.
        let finished = place.run(&["bash", "-c", &line], &[("ADMIN_KEY", SEEDS_ADMIN_KEY)]);
        assert_eq!(finished.code, Some(0), "{finished:?}");
        finished.stdout
    };
    step("1. Create the shared filesystem directory");
    let code = block(&document, "2. Start the Main Worker", "bash");
    let (program, flags) = code.trim().split_once(char::is_whitespace).unwrap();
    let flags: Vec<&str> = flags.split_whitespace().filter(|word| *word != "\\").collect();
    let link = directory.path().join(program);
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(Start::bare(PROGRAM, &[]).program(), &link).unwrap();
    let start = with_admin_key(&directory).line(link.to_str().unwrap(), &flags).directory(directory.path());
    let start = start.prefix(&place.prefix());
    let server = start.up();
    let stored = step("4. Store an entity");
    assert!(stored.contains(r#""status":"ok""#), "{stored}");
    let printed = server.kill().output;
    assert!(printed.contains("Data:      ./shared/db\n"), "{printed}");
    let _server = start.up();
    let retrieved: Value = serde_json::from_str(&step("5. Retrieve the entity")).unwrap();
    assert_eq!(retrieved, json!({"messages": [{"role": "user", "content": "Hello!"}]}));
    assert_eq!(step("6. Delete the entity"), r#"{"status":"ok"}"#);
    assert!(directory.path().join("shared/db/_store").is_dir());
}
