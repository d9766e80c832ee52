//! The join token: what a process shows to take part in a cluster.
//!
//! It comes from a file that main and workers are given, at least [`TOKEN_BYTES_MIN`] long. With `--dev` a main makes one at
//! each start and leaves it in the user's state directory under its gRPC port, where a worker of the same user finds it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use delta_core::keys::{Secret, SecretText};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::secrets::read_file;

/// The shortest token: nobody guesses 16 random bytes.
const TOKEN_BYTES_MIN: usize = 16;

/// A join token as a main keeps it: only its digest, and comparisons take the same time whatever is wrong.
#[derive(Debug)]
pub(crate) struct JoinToken(Secret<32>);

impl JoinToken {
    pub(crate) fn new(token: &SecretText) -> Self {
        Self(Secret::new(Sha256::digest(token.expose()).into()))
    }

    /// Whether a presented text is the token.
    pub(crate) fn is(&self, presented: &str) -> bool {
        Sha256::digest(presented).as_slice().ct_eq(self.0.expose()).into()
    }
}

/// The token in a file.
pub(crate) fn read(file: &Path) -> Result<SecretText> {
    let token = read_file(file, "join token")?;
    if token.expose().len() < TOKEN_BYTES_MIN {
        bail!(
            "the join token in {} is shorter than {TOKEN_BYTES_MIN} bytes and could be guessed; \
             `openssl rand -hex 32` makes one",
            file.display()
        );
    }
    Ok(token)
}

/// Makes the token of a development main, and leaves it where its workers look.
pub(crate) fn leave_dev(port: u16) -> Result<SecretText> {
    let file = dev_file(port)?;
    let token = SecretText::new(Secret::<32>::random()?.to_hex().as_str());
    let directory = file.parent().unwrap_or(Path::new("."));
    crate::roles::store::make_private_directory(directory)?;
    // Under another name first, so that a worker never reads half of it.
    let new = file.with_extension("new");
    let write = || -> std::io::Result<()> {
        match fs::remove_file(&new) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut opened = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        opened.write_all(format!("{}\n", token.expose()).as_bytes())?;
        fs::rename(&new, &file)
    };
    write().with_context(|| format!("cannot leave a join token in {}; give --join-token-file", file.display()))?;
    Ok(token)
}

/// Where the token of the development main on a port lies.
pub(crate) fn dev_file(port: u16) -> Result<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local/state")));
    let state = state.context("there is no HOME to leave a join token in; give --join-token-file FILE")?;
    Ok(state.join("deltadb").join(format!("join-{port}")))
}
