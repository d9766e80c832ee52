//! What the fuzz targets reach of this crate, and nobody else: no promise is made about it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use clap::FromArgMatches;

use crate::cli::args::{Cli, Command, ServeArgs};
use crate::cli::{go_flags, help, usage};
use crate::config::Config;
use crate::secrets::Secrets;

/// A secret that is given in every input, and may stand in no error and no `Debug`.
const PLANTED: &str = "planted-secret-0123456789";

/// Loads a configuration as `serve` does: the arguments, one a line, stand before the first zero byte, and the file
/// behind it. `scratch` is where the file is put.
pub fn configuration(data: &[u8], scratch: &Path) {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let arguments = parts.next().unwrap_or_default();
    let file = [format!("admin_key = \"{PLANTED}\"\n").as_bytes(), parts.next().unwrap_or_default()].concat();
    if std::fs::write(scratch, file).is_err() {
        return;
    }
    let given = arguments.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let first = ["deltadb".into(), "serve".into(), OsString::from(format!("--master-key={PLANTED}"))];
    let arguments = first.into_iter().chain(given.map(|line| OsString::from_vec(line.to_vec()))).collect();
    let said = load(arguments, scratch).unwrap_or_else(|error| error);
    assert!(!said.contains(PLANTED), "a secret is said: {said}");
}

fn load(arguments: Vec<OsString>, file: &Path) -> Result<String, String> {
    let arguments = go_flags::normalise(arguments);
    let matches = help::command().try_get_matches_from(&arguments);
    let parsed = matches.and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = parsed.map_err(|error| usage(&error, &arguments))?;
    let given = match cli.command {
        Command::Serve(given) => *given,
        _ => ServeArgs::default(),
    };
    let (_, fields, secrets) = given.split();
    let config = Config::load(Some(file), fields).map_err(|error| format!("{error:#}"))?;
    let secrets = Secrets::load(secrets, Some(file)).map_err(|error| format!("{error:#}"))?;
    let previous = secrets.previous_master_keys().map_err(|error| format!("{error:#}"))?;
    Ok(format!("{config:?} {secrets:?} {previous:?} {:?}", config.engine_limits()))
}
