//! `schema`: JSON Schemas and trying documents on them.

use std::path::PathBuf;

use ::http::Method;
use clap::{Args, Subcommand};
use delta_core::name::SchemaId;
use serde_json::Value;

use super::connection::Connection;
use super::failure::{Exit, Failure, Outcome};
use super::http::{Client, JSON};
use super::input;
use super::output::{self, Column};

pub(crate) const EXAMPLES: &str = "\
A schema whose id is a database's name applies to every document of that database.

Examples:
  deltadb schema put chat chat.schema.json         write it, for the database chat
  deltadb schema validate chat room-1.json         would this document be taken?
  deltadb schema get chat > chat.schema.json
  deltadb schema list";

const VALIDATE_EXAMPLES: &str = "\
Nothing is written. A document that breaks the schema is exit code 1, and every violation is printed.

Examples:
  deltadb schema validate chat room-1.json
  jq .room room-1.json | deltadb schema validate chat
  deltadb schema validate chat room-1.json --json | jq -r '.violations[].pointer'";

const VIOLATIONS: [Column; 3] =
    [Column::text("POINTER", "pointer"), Column::text("KEYWORD", "keyword"), Column::text("MESSAGE", "message")];

/// `deltadb schema`.
#[derive(Debug, Args)]
pub(crate) struct Schemas {
    #[command(subcommand)]
    command: Command,
}

/// A schema, and a file for it.
#[derive(Debug, Args)]
struct SchemaFile {
    /// The schema
    id: SchemaId,
    /// The file, or - for standard input
    #[arg(default_value = "-", hide_default_value = true)]
    file: PathBuf,
}

/// A schema.
#[derive(Debug, Args)]
struct SchemaName {
    /// The schema
    id: SchemaId,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the schemas
    #[command(after_help = "Examples:\n  deltadb schema list\n  deltadb schema list --json | jq -r '.[]'")]
    List,
    /// Read a schema
    #[command(after_help = "Examples:\n  deltadb schema get chat\n  deltadb schema get chat > chat.schema.json")]
    Get(SchemaName),
    /// Write a schema from a file or standard input
    #[command(
        after_help = "Documents that are stored already stay as they are.\n\nExamples:\n  deltadb schema put chat chat.schema.json\n  echo '{\"type\": \"object\"}' | deltadb schema put chat"
    )]
    Put(SchemaFile),
    /// Say whether a document matches a schema, without writing it
    #[command(after_help = VALIDATE_EXAMPLES)]
    Validate(SchemaFile),
    /// Delete a schema
    #[command(
        after_help = "Documents that were checked against it stay as they are.\n\nExamples:\n  deltadb schema delete chat\n  deltadb schema delete chat.v1 --json"
    )]
    Delete(SchemaName),
}

impl Schemas {
    pub(crate) fn run(self, connection: &Connection) -> Outcome {
        let client = Client::open(connection)?;
        match self.command {
            Command::List => list(connection, &client),
            Command::Get(SchemaName { id }) => output::document(&client.get(&["schema", id.as_str()])?.send()?.body),
            Command::Put(SchemaFile { id, file }) => {
                let schema = input::read(&file)?;
                let answer = client.call(Method::PUT, &["schema", id.as_str()])?.body(schema, JSON).send()?;
                output::done(connection, &answer, &format!("written schema {id}"))
            }
            Command::Validate(SchemaFile { id, file }) => {
                let document = input::read(&file)?;
                validate(connection, &client, &id, document)
            }
            Command::Delete(SchemaName { id }) => {
                let answer = client.call(Method::DELETE, &["schema", id.as_str()])?.send()?;
                output::done(connection, &answer, &format!("deleted schema {id}"))
            }
        }
    }
}

fn list(connection: &Connection, client: &Client) -> Outcome {
    output::names(connection, &client.get(&["admin", "schemas"])?.send()?)
}

fn validate(connection: &Connection, client: &Client, id: &SchemaId, document: Vec<u8>) -> Outcome {
    let call = client.call(Method::POST, &["schema", id.as_str(), "validate"])?;
    let answer = call.body(document, JSON).send()?;
    let result = answer.json()?;
    let violations = result.get("violations").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let valid = result.get("valid").and_then(Value::as_bool).unwrap_or_default();
    match (connection.json, valid) {
        (true, _) => output::json(&answer.body)?,
        (false, true) => output::line(&format!("the document matches schema {id}"))?,
        (false, false) => output::write(output::table(&VIOLATIONS, violations, true).as_bytes())?,
    }
    if valid {
        return Ok(());
    }
    let places = if violations.len() == 1 { "1 place".to_owned() } else { format!("{} places", violations.len()) };
    let detail = format!("the document breaks schema {id} in {places}; change it there, or the schema");
    Err(Failure::new(Exit::Failed, "schema_violation", detail))
}
