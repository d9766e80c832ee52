//! Which server a command talks to, and as whom.
//!
//! A credential is never an argument: `ps` and the shell's history show those. It comes from a file, from
//! `DELTADB_TOKEN`, or from the session that `deltadb login` saved for this server, in this order.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use clap::Args;
use delta_core::keys::SecretText;
use http::HeaderValue;
use reqwest::Url;
use url::Host;

use super::sessions;
use crate::{duration, secrets};

/// The variable with a credential.
pub(crate) const TOKEN_VARIABLE: &str = "DELTADB_TOKEN";

/// The flags of every client command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// The server
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "DELTADB_URL",
        hide_env_values = true,
        default_value = "http://127.0.0.1:8080"
    )]
    url: String,
    /// The file with an API key or token; else DELTADB_TOKEN, else the session of `deltadb login`
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Trust the authorities in this PEM file instead of the system's
    #[arg(long, global = true, value_name = "FILE", env = "DELTADB_CA_CERT", hide_env_values = true)]
    pub(crate) ca_cert: Option<PathBuf>,
    /// How long an answer may take
    #[arg(long, global = true, value_name = "DURATION", default_value = "60s", value_parser = timeout)]
    pub(crate) timeout: Duration,
    /// Print JSON, also for an error
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// The address of a server, with a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerUrl(pub(crate) Url);

impl FromStr for ServerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let example = "write it like http://127.0.0.1:8080";
        let mut url = Url::parse(text).map_err(|_| format!("this is not the address of a server; {example}"))?;
        if !["http", "https"].contains(&url.scheme()) || !url.has_host() {
            return Err(format!("a server's address begins with http:// or https://; {example}"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(format!("a password in an address shows in `ps`; use `deltadb login` or {TOKEN_VARIABLE}"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(format!("a server's address has no ? or #; {example}"));
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(Self(url))
    }
}

impl ServerUrl {
    /// Whether nothing that is sent there leaves this machine.
    pub(crate) fn is_this_machine(&self) -> bool {
        match self.0.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
    }
}

fn timeout(text: &str) -> Result<Duration, String> {
    match duration::parse(text)? {
        Duration::ZERO => Err("an answer takes some time; write a duration like 30s".into()),
        timeout => Ok(timeout),
    }
}

impl Connection {
    /// The server. It is parsed here, because the parser of the arguments would repeat a password in it.
    pub(crate) fn server(&self) -> Result<ServerUrl> {
        self.url.parse().map_err(|wrong: String| anyhow!("--url or DELTADB_URL: {wrong}"))
    }

    /// The credential that this command sends.
    pub(crate) fn credential(&self) -> Result<Credential> {
        if let Some(file) = &self.token_file {
            return Ok(Credential { token: Some(secrets::read_file(file, "token")?), from: Origin::File });
        }
        if let Some(token) = token_variable()? {
            return Ok(Credential { token: Some(token), from: Origin::Variable });
        }
        let session = sessions::find(&self.server()?)?;
        let from = if session.is_some() { Origin::Session } else { Origin::Nowhere };
        Ok(Credential { token: session.map(|session| session.token), from })
    }
}

/// What `DELTADB_TOKEN` holds, unless it is empty.
pub(crate) fn token_variable() -> Result<Option<SecretText>> {
    match std::env::var(TOKEN_VARIABLE) {
        Ok(token) if !token.trim().is_empty() => Ok(Some(SecretText::new(token.trim()))),
        Err(std::env::VarError::NotUnicode(_)) => bail!("the variable {TOKEN_VARIABLE} is not valid UTF-8"),
        _ => Ok(None),
    }
}

/// A credential and where it came from, which says what to do when it is refused.
#[derive(Debug)]
pub(crate) struct Credential {
    token: Option<SecretText>,
    from: Origin,
}

#[derive(Debug, Clone, Copy)]
enum Origin {
    File,
    Variable,
    Session,
    Nowhere,
}

impl Credential {
    /// No credential.
    pub(crate) fn none() -> Self {
        Self { token: None, from: Origin::Nowhere }
    }

    /// The token of a session.
    pub(crate) fn session(token: SecretText) -> Self {
        Self { token: Some(token), from: Origin::Session }
    }

    /// The header that carries it; it is marked so that nothing prints it.
    pub(crate) fn header(&self) -> Result<Option<HeaderValue>> {
        let Some(token) = &self.token else { return Ok(None) };
        let text = zeroize::Zeroizing::new(format!("Bearer {}", token.expose()));
        let header = HeaderValue::from_str(&text);
        let mut header =
            header.map_err(|_| anyhow!("the token holds characters that no token has; check where it comes from"))?;
        header.set_sensitive(true);
        Ok(Some(header))
    }

    /// What to do when the server does not know it.
    pub(crate) fn advice(&self) -> &'static str {
        match self.from {
            Origin::File => "the token is that of --token-file",
            Origin::Variable => "the token is that of DELTADB_TOKEN",
            Origin::Session => "the saved session has ended, run `deltadb login` again",
            Origin::Nowhere => "run `deltadb login`, or set DELTADB_TOKEN",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_in_one_way() {
        for (text, url) in [
            ("http://localhost:8080", "http://localhost:8080/"),
            ("HTTPS://DB.example:443/", "https://db.example/"),
            ("https://example/delta", "https://example/delta/"),
        ] {
            assert_eq!(text.parse::<ServerUrl>().unwrap().0.as_str(), url);
        }
    }

    #[test]
    fn this_machine_is_known() {
        for (text, here) in [
            ("http://localhost:1", true),
            ("http://127.0.0.2", true),
            ("https://[::1]:1", true),
            ("http://0.0.0.0", false),
            ("http://localhost.example", false),
            ("http://10.0.0.1", false),
        ] {
            assert_eq!(text.parse::<ServerUrl>().unwrap().is_this_machine(), here, "{text}");
        }
    }

    #[test]
    fn what_is_no_server_is_refused_and_not_repeated() {
        for text in
            ["", "localhost:8080", "127.0.0.1:8080", "ftp://x", "http://u:secret@x", "http://x?a=secret", "http://x#f"]
        {
            let refused = text.parse::<ServerUrl>().unwrap_err();
            assert!(!refused.contains("secret") && refused.lines().count() == 1, "{text}: {refused}");
        }
    }

    #[test]
    fn a_credential_is_never_shown() {
        let credential = Credential::session(SecretText::new("s3cret"));
        let header = credential.header().unwrap();
        assert!(!format!("{credential:?} {header:?}").contains("s3cret"));
        assert!(
            !format!("{:#}", Credential::session(SecretText::new("s3cret\n")).header().unwrap_err()).contains("s3cret")
        );
    }
}
