//! `keys`: API keys, whose secret is shown once.

use ::http::Method;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::super::eprint_line;
use super::connection::Connection;
use super::failure::Outcome;
use super::http::{Client, JSON};
use super::output::{self, Column};
use crate::duration;

pub(crate) const EXAMPLES: &str = "\
Examples:
  deltadb keys create --name ci --permission read --expires-in 7d
  deltadb keys list
  deltadb keys delete 4f1c2b";

const CREATE_EXAMPLES: &str = "\
The secret is printed once and cannot be shown again: keep it at once. --json prints the server's whole answer.

Examples:
  deltadb keys create --name backup --permission read
  deltadb keys create --name chat-service --permission read,write --scope 'chat*:read,write' --expires-in 90d
  deltadb keys create --name ci --permission read --json | jq -r .secret > ci.key";

const KEYS: [Column; 6] = [
    Column::text("ID", "id"),
    Column::text("NAME", "name"),
    Column::text("PERMISSIONS", "permissions"),
    Column::text("SCOPES", "scopes"),
    Column::text("CREATED", "created_at"),
    Column::text("EXPIRES", "expires_at"),
];

/// `deltadb keys`.
#[derive(Debug, Args)]
pub(crate) struct Keys {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create an API key and print its secret, once
    #[command(after_help = CREATE_EXAMPLES)]
    Create(Create),
    /// List the API keys, without their secrets
    #[command(after_help = "Examples:\n  deltadb keys list\n  deltadb keys list --json | jq -r '.[].name'")]
    List,
    /// Delete an API key; it and its sessions stop at once
    #[command(after_help = "Examples:\n  deltadb keys delete 4f1c2b\n  deltadb keys delete 4f1c2b --json")]
    Delete {
        /// The key's id, as `keys list` shows it
        id: String,
    },
}

/// `deltadb keys create`.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// What the key is for
    #[arg(long)]
    name: String,
    /// What it may do: read, write or admin; several with commas
    #[arg(long, value_name = "PERMISSION", value_delimiter = ',', required = true)]
    permission: Vec<String>,
    /// Only in databases of this name, a * at its end for any that begin so: DATABASE:ACTION,…; may be repeated
    #[arg(long, value_name = "SCOPE", value_parser = scope)]
    scope: Vec<Value>,
    /// When it ends by itself, like 24h or 7d; never if this is not given
    #[arg(long, value_name = "DURATION", value_parser = expiry)]
    expires_in: Option<String>,
}

/// `chat*:read,write` as the API writes it.
fn scope(text: &str) -> Result<Value, String> {
    let wrong = || "write a scope like 'chat*:read,write'".to_owned();
    let (database, actions) = text.rsplit_once(':').ok_or_else(wrong)?;
    let actions: Vec<&str> = actions.split(',').map(str::trim).collect();
    if database.is_empty() || actions.contains(&"") {
        return Err(wrong());
    }
    Ok(json!({"database": database, "actions": actions}))
}

/// A duration that is one, in the user's own words.
fn expiry(text: &str) -> Result<String, String> {
    duration::parse(text).map(|_| text.to_owned())
}

impl Keys {
    pub(crate) fn run(self, connection: &Connection) -> Outcome {
        let client = Client::open(connection)?;
        match self.command {
            Command::Create(create) => create.run(connection, &client),
            Command::List => output::items(connection, &client.get(&["api", "keys"])?.send()?, &KEYS),
            Command::Delete { id } => {
                let answer = client.call(Method::DELETE, &["api", "keys", &id])?.send()?;
                output::done(connection, &answer, &format!("deleted key {}", output::printable(&id)))
            }
        }
    }
}

impl Create {
    fn run(self, connection: &Connection, client: &Client) -> Outcome {
        let mut body = Map::new();
        body.insert("name".into(), self.name.into());
        body.insert("permissions".into(), self.permission.into());
        if let Some(expiry) = self.expires_in {
            body.insert("expires_in".into(), expiry.into());
        }
        if !self.scope.is_empty() {
            body.insert("scopes".into(), self.scope.into());
        }
        let body = Value::Object(body).to_string();
        let answer = client.call(Method::POST, &["api", "keys"])?.body(body, JSON).send()?;
        let members = ["id", "name", "permissions", "scopes", "expires_at", "secret"].map(|name| (name, name));
        output::object(connection, &answer, &members)?;
        if !connection.json {
            eprint_line("the secret is not shown again; keep it now");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_a_database_and_actions() {
        assert_eq!(scope("chat*:read, write").unwrap(), json!({"database": "chat*", "actions": ["read", "write"]}));
        for bad in ["", "chat", ":read", "chat:", "chat:read,"] {
            assert!(scope(bad).is_err(), "{bad}");
        }
    }
}
