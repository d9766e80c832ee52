//! Secrets of the configuration: read as text, never quoted, and never part of [`crate::config::Config`].
//!
//! Each comes from the command line (with a warning, since `ps` shows it), the environment, a file of its own, or the
//! configuration file.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use delta_core::keys::{MasterKey, SecretText};
use delta_core::name::KeyId;
use figment::Figment;
use figment::providers::{Format, Toml};

use crate::config::ENV_PREFIX;

/// The fields that are secret.
pub(crate) const SECRET_FIELDS: [&str; 3] = ["master_key", "admin_key", "previous_key"];

/// The secrets that were given as values.
#[derive(Debug, Default)]
pub(crate) struct Secrets {
    pub(crate) master_key: Option<SecretText>,
    pub(crate) admin_key: Option<SecretText>,
    pub(crate) previous_keys: Vec<SecretText>,
}

impl Secrets {
    /// Takes what the command line has, and for the rest the environment, then the configuration file.
    pub(crate) fn load(flags: Self, file: Option<&Path>) -> Result<Self> {
        for (given, flag) in [
            (flags.master_key.is_some(), "--master-key"),
            (flags.admin_key.is_some(), "--admin-key"),
            (!flags.previous_keys.is_empty(), "--previous-key"),
        ] {
            if given {
                tracing::warn!("{flag} shows in `ps` and in the shell's history; a file or a variable does not");
            }
        }
        let file = Toml::file(file.unwrap_or_else(|| Path::new(""))).search(false);
        let file = Figment::from(file);
        let one = |field: &str| -> Result<Option<SecretText>> {
            match variable(field)? {
                Some(secret) => Ok(Some(secret)),
                None => in_file(&file, field),
            }
        };
        let previous = if flags.previous_keys.is_empty() {
            let all = one("previous_key")?;
            all.iter().flat_map(|all| all.expose().split(',')).map(SecretText::new).collect()
        } else {
            flags.previous_keys
        };
        Ok(Self {
            master_key: flags.master_key.map_or_else(|| one("master_key"), |key| Ok(Some(key)))?,
            admin_key: flags.admin_key.map_or_else(|| one("admin_key"), |key| Ok(Some(key)))?,
            previous_keys: previous,
        })
    }

    /// The earlier master keys, each given as `ID=HEX`.
    pub(crate) fn previous_master_keys(&self) -> Result<Vec<MasterKey>> {
        let parse = |given: &SecretText| {
            // Nothing of it is repeated: what stands before the sign may be the key.
            let wrong = || anyhow!("--previous-key must be ID=HEX: a key id, and the key as 64 hex digits");
            let (id, hex) = given.expose().split_once('=').ok_or_else(wrong)?;
            let id = KeyId::parse(id.trim()).map_err(|_| wrong())?;
            MasterKey::from_hex(id, hex).map_err(|_| wrong())
        };
        self.previous_keys.iter().map(parse).collect()
    }
}

/// The variable of a field: `DELTADB_MASTER_KEY`, or `MASTER_KEY` as scripts know it.
fn variable(field: &str) -> Result<Option<SecretText>> {
    let name = field.to_ascii_uppercase();
    for name in [format!("{ENV_PREFIX}{name}"), name] {
        match std::env::var(&name) {
            Ok(value) if value.is_empty() => {}
            Ok(value) => return Ok(Some(SecretText::new(value))),
            Err(std::env::VarError::NotPresent) => {}
            Err(std::env::VarError::NotUnicode(_)) => bail!("the variable {name} is not valid UTF-8"),
        }
    }
    Ok(None)
}

fn in_file(file: &Figment, field: &str) -> Result<Option<SecretText>> {
    match file.find_value(field) {
        Ok(value) => match value.into_string() {
            Some(text) => Ok(Some(SecretText::new(text))),
            None => bail!("{field} in the configuration file must be a string in quotes"),
        },
        Err(_) => Ok(None),
    }
}

/// The first line of a secret's file.
pub(crate) fn read_file(path: &Path, what: &str) -> Result<SecretText> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the {what} file {}; check its path and mode", path.display()))?;
    match text.lines().next().map(str::trim) {
        Some(line) if !line.is_empty() => Ok(SecretText::new(line)),
        _ => bail!("the first line of the {what} file {} is empty; put the key there", path.display()),
    }
}
