//! Clients that other people's generators make of the committed OpenAPI document drive a running server.
//!
//! The programs under `sdk/` are what a stranger would write on such a client, and are run as they stand.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use delta_tests::packages;
use delta_tests::start::ADMIN_KEY;

use crate::support::{directory, run, serve, skipped, workspace};

/// What each of the programs prints.
const SAID: &str = "logged in: admin read write admin
put: 201 version 1
got: {\"total\":12.5,\"lines\":[\"nails\"]}
conflict: 2 412 precondition_failed
map: {\"o-2\":1,\"ключ 2\":1}
keys: [\"o-1\",\"o-2\",\"ключ 2\"]
absent: 404 not_found
refused: 400 schema_violation type at /total
stranger: 401 unauthorized
";

fn project(language: &str) -> PathBuf {
    workspace().join("tests/sdk").join(language)
}

/// Where a language's packages are installed.
fn home(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// Runs a program on a generated client against a new server, and compares what it says.
#[track_caller]
fn drive(line: &[OsString], variables: &[(&str, &str)]) {
    let directory = directory();
    let server = serve(&directory).up();
    let url = format!("http://{}", server.address());
    let own = [("DELTADB_URL", url.as_str()), ("ADMIN_KEY", ADMIN_KEY)];
    let finished = run(line, &[&own, variables].concat());
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(0), SAID), "{finished:?}");
}

fn document() -> OsString {
    workspace().join("openapi/deltadb.json").into()
}

#[test]
fn the_python_client_drives_the_server() {
    let home = home("sdk-python");
    if let Err(why) = packages::python(&project("python").join("requirements.txt"), &home) {
        return skipped(&why);
    }
    let directory = directory();
    let mut line = vec![home.join("bin/openapi-python-client").into_os_string()];
    line.extend(["generate", "--meta=none", "--fail-on-warning", "--path"].map(OsString::from));
    line.extend([document(), "--config".into(), project("python").join("openapi-python-client.yml").into()]);
    line.extend(["--output-path".into(), directory.path().join("deltadb").into()]);
    let generated = run(&line, &[]);
    assert_eq!(generated.code, Some(0), "{generated:?}");

    let modules = directory.path().to_str().unwrap();
    let variables = [("PYTHONPATH", modules), ("PYTHONDONTWRITEBYTECODE", "1"), ("PYTHONIOENCODING", "utf-8")];
    drive(&[home.join("bin/python").into(), project("python").join("drive.py").into()], &variables);
}

#[test]
fn the_typescript_client_drives_the_server() {
    let home = home("sdk-typescript");
    if let Err(why) = packages::node(&project("typescript"), &home) {
        return skipped(&why);
    }
    // Beside `node_modules`, where the compiler and Node look for packages.
    let place = tempfile::Builder::new().prefix("drive-").tempdir_in(&home).unwrap();
    for name in ["package.json", "tsconfig.json", "drive.ts"] {
        fs::copy(project("typescript").join(name), place.path().join(name)).unwrap();
    }
    let tool = |name: &str| home.join("node_modules/.bin").join(name).into_os_string();
    let types = place.path().join("deltadb.ts").into_os_string();
    let generated = run(&[tool("openapi-typescript"), document(), "--output".into(), types], &[]);
    assert_eq!(generated.code, Some(0), "{generated:?}");
    let compiled = run(&[tool("tsc"), "--project".into(), place.path().into()], &[]);
    assert_eq!((compiled.code, compiled.stdout.as_str()), (Some(0), ""), "{compiled:?}");
    drive(&["node".into(), place.path().join("out/drive.js").into()], &[]);
}
