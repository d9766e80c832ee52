//! `databases`: which there are, their settings, and dropping one.

use std::time::Duration;

use ::http::Method;
use clap::{Args, Subcommand};
use delta_core::name::{DatabaseName, SchemaId};
use serde_json::{Map, Value};

use super::super::eprint_line;
use super::connection::Connection;
use super::failure::{Exit, Failure, Outcome};
use super::http::{Client, JSON};
use super::{input, output};
use crate::cli::progress;

pub(crate) const EXAMPLES: &str = "\
Examples:
  deltadb databases                                    those that you may read
  deltadb databases show chat                          its settings
  deltadb databases set chat --schema chat.v1 --require-schema true
  deltadb databases drop chat                          asks first, and shows how far it is
  deltadb databases drop chat --yes                    for a script";

/// How often a drop is asked how far it is.
const DROP_POLL: Duration = Duration::from_millis(250);
/// The settings that `set` sends back when they are not to change.
const SETTINGS: [&str; 2] = ["schema_id", "require_schema"];

/// `deltadb databases`.
#[derive(Debug, Args)]
pub(crate) struct Databases {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the databases that you may read; the same as without a command
    #[command(after_help = "Examples:\n  deltadb databases list\n  deltadb databases list --json | jq -r '.[]'")]
    List,
    /// Show a database's settings
    #[command(after_help = "Examples:\n  deltadb databases show chat\n  deltadb databases show chat --json")]
    Show {
        /// The database
        database: DatabaseName,
    },
    /// Change a database's settings; those that are not named stay
    #[command(after_help = SET_EXAMPLES)]
    Set(Set),
    /// Drop a database with everything in it
    #[command(
        after_help = "A drop that was cut short goes on when it is asked for again.\n\nExamples:\n  deltadb databases drop chat\n  deltadb databases drop chat --yes"
    )]
    Drop {
        /// The database
        database: DatabaseName,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

const SET_EXAMPLES: &str = "\
Examples:
  deltadb databases set chat --schema chat.v1                check every document against chat.v1
  deltadb databases set chat --require-schema true           refuse a document that no schema applies to
  deltadb databases set chat --no-schema                     no schema of its own";

/// `deltadb databases set`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("setting").required(true).multiple(true).args(["schema", "no_schema", "require_schema"]))]
pub(crate) struct Set {
    /// The database
    database: DatabaseName,
    /// Check every document against this schema
    #[arg(long, value_name = "ID", conflicts_with = "no_schema")]
    schema: Option<SchemaId>,
    /// Bind the database to no schema
    #[arg(long)]
    no_schema: bool,
    /// Whether a document that no schema applies to is refused
    #[arg(long, value_name = "BOOL")]
    require_schema: Option<bool>,
}

impl Databases {
    pub(crate) fn run(self, connection: &Connection) -> Outcome {
        let client = Client::open(connection)?;
        match self.command.unwrap_or(Command::List) {
            Command::List => list(connection, &client),
            Command::Show { database } => show(connection, &client, &database),
            Command::Set(set) => set.run(connection, &client),
            Command::Drop { database, yes } => drop_database(connection, &client, &database, yes),
        }
    }
}

fn list(connection: &Connection, client: &Client) -> Outcome {
    output::names(connection, &client.get(&["api", "databases"])?.send()?)
}

fn show(connection: &Connection, client: &Client, database: &DatabaseName) -> Outcome {
    let answer = client.get(&["api", "databases", database.as_str()])?.send()?;
    if connection.json {
        return output::json(&answer.body);
    }
    let all = answer.json()?;
    let members = all.as_object().into_iter().flatten().map(|(name, _)| (name.as_str(), name.as_str()));
    output::write(output::fields(&all, &members.collect::<Vec<_>>()).as_bytes())
}

impl Set {
    fn run(self, connection: &Connection, client: &Client) -> Outcome {
        let path = ["api", "databases", self.database.as_str()];
        let mut settings = match client.get(&path)?.send() {
            Ok(answer) => match answer.json()? {
                Value::Object(all) => all,
                _ => Map::new(),
            },
            Err(failure) if failure.exit() == Exit::NotFound => Map::new(),
            Err(failure) => return Err(failure),
        };
        settings.retain(|name, value| SETTINGS.contains(&name.as_str()) && !value.is_null());
        if self.no_schema {
            settings.remove("schema_id");
        }
        if let Some(schema) = &self.schema {
            settings.insert("schema_id".into(), schema.as_str().into());
        }
        if let Some(require) = self.require_schema {
            settings.insert("require_schema".into(), require.into());
        }
        let body = Value::Object(settings).to_string();
        let answer = client.call(Method::PUT, &path)?.body(body, JSON).send()?;
        output::done(connection, &answer, &format!("set up {}", self.database))
    }
}

fn drop_database(connection: &Connection, client: &Client, database: &DatabaseName, yes: bool) -> Outcome {
    if !yes {
        let prompt = format!("This drops {database} and everything in it. Type its name to go on: ");
        match input::ask(&prompt)? {
            Some(answer) if answer == database.as_str() => {}
            Some(_) => {
                return Err(Failure::new(Exit::Failed, "not_confirmed", "that is not its name; nothing was dropped"));
            }
            None => {
                let detail = "a drop cannot be undone; say --yes where there is no terminal to ask on";
                return Err(Failure::new(Exit::Failed, "not_confirmed", detail));
            }
        }
    }
    let path = ["api", "databases", database.as_str()];
    let answer = client.call(Method::DELETE, &path)?.send()?;
    let progress = progress::spinner();
    let mut told = None;
    // It is gone once its settings are not found any more.
    loop {
        let state = match client.get(&path)?.send() {
            Ok(state) => state.json()?,
            Err(failure) if failure.exit() == Exit::NotFound => break,
            Err(failure) => {
                progress.finish_and_clear();
                return Err(failure.advise("the drop goes on; `deltadb databases show` says how far it is"));
            }
        };
        let removed = state.get("removed").and_then(Value::as_u64).unwrap_or_default();
        progress.set_message(format!("dropping {database}: {removed} documents are removed"));
        let trouble = state.get("trouble").and_then(Value::as_str).map(str::to_owned);
        if let Some(trouble) = trouble.as_deref().filter(|_| trouble != told) {
            progress.suspend(|| eprint_line(&format!("the server tries again: {}", output::printable(trouble))));
        }
        told = trouble;
        std::thread::sleep(DROP_POLL);
    }
    progress.finish_and_clear();
    output::done(connection, &answer, &format!("dropped {database}"))
}
