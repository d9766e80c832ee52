//! `login` and `logout`: a session that later commands use, so that the key itself is kept nowhere.

use std::path::PathBuf;

use ::http::Method;
use clap::Args;
use delta_core::keys::SecretText;
use reqwest::Url;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::super::eprint_line;
use super::connection::{Connection, Credential, TOKEN_VARIABLE, token_variable};
use super::failure::{Exit, Failure, Outcome};
use super::http::{BAD_ANSWER, Client, JSON};
use super::sessions::{self, Session};
use super::{input, output};

pub(crate) const LOGIN_EXAMPLES: &str = "\
The key is asked for without showing it, or read from standard input where that is no terminal. What is kept is a
session that ends by itself, in deltadb/credentials.json in your configuration directory, for your eyes only (0600).

Examples:
  deltadb login                                              asks for the key
  deltadb login --key-file delta-data/dev-admin.key          a server that was started with --dev
  deltadb login --url https://db.example.org < ci.key";

pub(crate) const LOGOUT_EXAMPLES: &str = "\
Examples:
  deltadb logout
  deltadb logout --url https://db.example.org";

/// `deltadb login`.
#[derive(Debug, Args)]
pub(crate) struct Login {
    /// The file with the admin key or API key
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

impl Login {
    pub(crate) fn run(self, connection: &Connection) -> Outcome {
        let server = connection.server()?;
        let url = &server.0;
        let key = input::secret(self.key_file.as_deref(), "key", &format!("Key for {url}: "))?;
        if url.scheme() == "http" && !server.is_this_machine() {
            eprint_line(&format!("{url} gets the key unencrypted; use https where others may listen"));
        }
        let client = Client::with_credential(connection, Credential::none())?;
        let body = Zeroizing::new(json!({"key": key.expose()}).to_string());
        let call = client.call(Method::POST, &["api", "login"])?.body(body.as_bytes(), JSON);
        let answer = call.send().map_err(|failure| match failure.exit() {
            Exit::Refused => failure.advise("no session was saved"),
            _ => failure,
        })?;
        let answer = answer.json()?;
        let text = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned);
        let (Some(token), Some(client_id), Some(expires_at)) = (text("token"), text("client_id"), text("expires_at"))
        else {
            let detail = format!("{url} gave no session; check --url, and the server's version");
            return Err(Failure::new(Exit::Failed, BAD_ANSWER, detail));
        };
        let line = format!("logged in to {url} as {}", output::printable(&client_id));
        let line = format!("{line} until {}", output::printable(&expires_at));
        let permissions = answer.get("permissions");
        let shown = json!({"url": url.as_str(), "client_id": &client_id, "expires_at": &expires_at, "permissions": permissions});
        let session = Session { token: SecretText::new(token), client_id, expires_at };
        sessions::save(&server, session)?;
        if token_variable()?.is_some() {
            eprint_line(&format!("{TOKEN_VARIABLE} is set, and goes before this session"));
        }
        output::line(&if connection.json { shown.to_string() } else { line })
    }
}

/// `deltadb logout`.
pub(crate) fn logout(connection: &Connection) -> Outcome {
    let server = connection.server()?;
    let url = &server.0;
    let Some(session) = sessions::find(&server)? else {
        return said(connection, url, "there was no session", &format!("there is no session with {url}"));
    };
    let client = Client::with_credential(connection, Credential::session(session.token))?;
    let ended = client.call(Method::POST, &["api", "logout"])?.send();
    // It goes in any case: whoever logs out wants the file to be without it.
    sessions::forget(&server)?;
    match ended {
        Ok(_) => {}
        // It had ended before.
        Err(failure) if failure.exit() == Exit::Refused => {}
        Err(failure) => {
            let advice = format!("the session is forgotten here, and on the server it ends {}", session.expires_at);
            return Err(failure.advise(output::printable(&advice)));
        }
    }
    said(connection, url, "logged out", &format!("logged out of {url}"))
}

fn said(connection: &Connection, url: &Url, status: &str, line: &str) -> Outcome {
    match connection.json {
        true => output::line(&json!({"status": status, "url": url.as_str()}).to_string()),
        false => output::line(line),
    }
}
