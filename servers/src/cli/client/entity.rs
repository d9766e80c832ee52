//! `get`, `put`, `patch` and `delete`: one document at a time.

use std::path::PathBuf;

use ::http::{Method, StatusCode, header};
use anyhow::Context;
use clap::{ArgGroup, Args};
use delta_core::name::{DatabaseName, EntityKey, SchemaId};
use serde_json::Value;

use super::connection::Connection;
use super::failure::{Exit, Failure, Outcome};
use super::http::{Answer, BAD_ANSWER, Call, Client, JSON};
use super::{bulk, export, input, output};

/// The two kinds of patches.
const MERGE_PATCH: &str = "application/merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";

pub(crate) const GET_EXAMPLES: &str = "\
The document's bytes are printed exactly as they were written; with --lines, line breaks between its tokens are spaces.

Examples:
  deltadb get chat room-1                          print a document
  deltadb get chat room-1 --pointer /members/0     print a part of it (RFC 6901)
  deltadb get chat room-1 -o room-1.json           write it to a file
  deltadb get chat room-1 --metadata               its version, ETag and size, without the document
  deltadb get chat --lines > rooms.ndjson          every document, as `deltadb put chat --lines` takes them";

const GET_USAGE: &str = "\
deltadb get [OPTIONS] <DATABASE> <KEY>
       deltadb get [OPTIONS] <DATABASE> --lines";

pub(crate) const PUT_EXAMPLES: &str = "\
A document is any JSON value. With KEY it is read from FILE, or from standard input. --map and --lines write many, in
requests of up to 1,000 documents and 1 MiB; each request is written whole or not at all.

Examples:
  deltadb put chat room-1 room-1.json              write a document from a file
  echo '{\"members\": []}' | deltadb put chat room-1     from standard input
  deltadb put chat room-1 room-1.json --if-none-match '*'       only if there is none yet
  deltadb put chat room-1 room-1.json --if-match '\"3-0011223344556677\"'   only if it is still that version
  deltadb put chat --map rooms.json                {\"room-1\": {…}, \"room-2\": {…}}
  deltadb put chat --lines rooms.ndjson            {\"key\": \"room-1\", \"document\": {…}} on each line";

pub(crate) const PATCH_EXAMPLES: &str = "\
The patch is read from FILE, or from standard input. Without --if-match the server tries again when somebody else
changes the document at the same time.

Examples:
  echo '{\"topic\": \"tea\", \"draft\": null}' | deltadb patch chat room-1       set one member, remove another
  deltadb patch chat room-1 change.json --json-patch    a list of operations (RFC 6902)";

pub(crate) const DELETE_EXAMPLES: &str = "\
Deleting what is not there is no error.

Examples:
  deltadb delete chat room-1
  deltadb delete chat room-1 --if-match '\"3-0011223344556677\"'   only if it is still that version";

/// An entity.
#[derive(Debug, Args)]
pub(crate) struct Entity {
    /// The database
    database: DatabaseName,
    /// The entity's key
    key: EntityKey,
}

impl Entity {
    fn call<'a>(&self, client: &'a Client, method: Method) -> Outcome<Call<'a>> {
        client.call(method, &["entity", self.database.as_str(), self.key.as_str()])
    }
}

/// `deltadb get`.
#[derive(Debug, Args)]
#[command(override_usage = GET_USAGE, group = ArgGroup::new("wanted").required(true).args(["key", "lines"]))]
pub(crate) struct Get {
    /// The database
    database: DatabaseName,
    /// The entity's key
    key: Option<EntityKey>,
    /// Every document, one {"key": …, "document": …} a line
    #[arg(long, conflicts_with_all = ["pointer", "metadata"])]
    lines: bool,
    /// With --lines: only keys that begin with this
    #[arg(long, value_name = "TEXT", requires = "lines")]
    prefix: Option<String>,
    /// Only the part at this JSON Pointer
    #[arg(long, value_name = "POINTER", conflicts_with = "metadata")]
    pointer: Option<String>,
    /// Version, ETag, time and size instead of the document
    #[arg(long)]
    metadata: bool,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Get {
    pub(crate) fn run(self, connection: &Connection) -> Outcome {
        let Some(key) = self.key else {
            return export::run(connection, &self.database, self.prefix.as_deref(), self.output.as_deref());
        };
        let entity = Entity { database: self.database, key };
        let client = Client::open(connection)?;
        if self.metadata {
            let answer = match entity.call(&client, Method::HEAD)?.send() {
                // The answer to a HEAD has no room to say what is wrong; that to a GET does.
                Err(failure) if failure.code() == BAD_ANSWER => entity.call(&client, Method::GET)?.send()?,
                answer => answer?,
            };
            return metadata(connection, &entity, &answer);
        }
        let call = entity.call(&client, Method::GET)?;
        let answer = call.query_if("pointer", self.pointer.as_deref()).send()?;
        match &self.output {
            None => output::document(&answer.body),
            Some(file) => {
                let written = std::fs::write(file, &answer.body);
                Ok(written.with_context(|| format!("cannot write {}; check the path", file.display()))?)
            }
        }
    }
}

fn metadata(connection: &Connection, entity: &Entity, answer: &Answer) -> Outcome {
    let etag = answer.header(header::ETAG.as_str());
    let size: Option<u64> = answer.header(header::CONTENT_LENGTH.as_str()).and_then(|size| size.parse().ok());
    let metadata = serde_json::json!({
        "key": entity.key.as_str(),
        "size": size,
        "version": etag.and_then(version_of),
        "etag": etag,
        "updated": answer.header(header::LAST_MODIFIED.as_str()),
    });
    if connection.json {
        return output::json(metadata.to_string().as_bytes());
    }
    let members = ["key", "size", "version", "etag", "updated"].map(|name| (name, name));
    output::write(output::fields(&metadata, &members).as_bytes())
}

/// The version that an ETag begins with.
fn version_of(etag: &str) -> Option<u64> {
    etag.trim_start_matches('"').split('-').next()?.parse().ok()
}

const PUT_USAGE: &str = "\
deltadb put [OPTIONS] <DATABASE> <KEY> [FILE]
       deltadb put [OPTIONS] <DATABASE> --map <FILE>
       deltadb put [OPTIONS] <DATABASE> --lines <FILE>";

/// `deltadb put`.
#[derive(Debug, Args)]
#[command(override_usage = PUT_USAGE, group = ArgGroup::new("what").required(true).args(["key", "map", "lines"]))]
pub(crate) struct Put {
    /// The database
    database: DatabaseName,
    /// The entity's key
    key: Option<EntityKey>,
    /// The file with the document, or - for standard input
    #[arg(requires = "key", default_value = "-", hide_default_value = true)]
    file: PathBuf,
    /// Write every member of the object in this file as a document; - for standard input
    #[arg(long, value_name = "FILE")]
    map: Option<PathBuf>,
    /// Write the documents of a file with one {"key": …, "document": …} a line; - for standard input
    #[arg(long, value_name = "FILE")]
    lines: Option<PathBuf>,
    /// Check against this schema
    #[arg(long, value_name = "ID")]
    schema: Option<SchemaId>,
    /// Only if the stored document has this ETag
    #[arg(long, value_name = "ETAG", requires = "key")]
    if_match: Option<String>,
    /// Only if there is no document with this ETag; * for none at all
    #[arg(long, value_name = "ETAG", requires = "key")]
    if_none_match: Option<String>,
}

impl Put {
    pub(crate) fn run(self, connection: &Connection) -> Outcome {
        let schema = self.schema.as_ref().map(SchemaId::as_str);
        let target = bulk::Target { connection, database: &self.database, schema };
        match (self.key, &self.map, &self.lines) {
            (Some(key), ..) => {
                let entity = Entity { database: self.database, key };
                let document = input::read(&self.file)?;
                let client = Client::open(connection)?;
                let call = entity.call(&client, Method::PUT)?.query_if("schema_id", schema);
                let call = call.header_if(header::IF_MATCH, self.if_match.as_deref())?;
                let call = call.header_if(header::IF_NONE_MATCH, self.if_none_match.as_deref())?;
                written(connection, &entity, &call.body(document, JSON).send()?)
            }
            (None, Some(map), _) => bulk::put_map(&target, map),
            (None, None, Some(lines)) => bulk::put_lines(&target, lines),
            (None, None, None) => Err(Failure::new(Exit::Failed, "usage", "give a KEY, --map or --lines")),
        }
    }
}

/// Says what became of one document.
fn written(connection: &Connection, entity: &Entity, answer: &Answer) -> Outcome {
    if connection.json {
        return output::json(&answer.body);
    }
    let verb = if answer.status == StatusCode::CREATED { "created" } else { "written" };
    let etag = answer.header(header::ETAG.as_str());
    let version = etag.and_then(version_of).map_or_else(String::new, |version| format!(", version {version}"));
    let etag = etag.map_or_else(String::new, |etag| format!(", ETag {}", output::printable(etag)));
    output::line(&format!("{verb} {}/{}{version}{etag}", entity.database, output::printable(entity.key.as_str())))
}

/// `deltadb patch`.
#[derive(Debug, Args)]
pub(crate) struct Patch {
    #[command(flatten)]
    entity: Entity,
    /// The file with the patch, or - for standard input
    #[arg(default_value = "-", hide_default_value = true)]
    file: PathBuf,
    /// The patch is an object to merge into the document (RFC 7396); this is the default
    #[arg(long, conflicts_with = "json_patch")]
    merge: bool,
    /// The patch is a list of operations (RFC 6902)
    #[arg(long)]
    json_patch: bool,
    /// Only if the stored document has this ETag
    #[arg(long, value_name = "ETAG")]
    if_match: Option<String>,
}

impl Patch {
    pub(crate) fn run(self, connection: &Connection) -> Outcome {
        let patch = input::read(&self.file)?;
        let client = Client::open(connection)?;
        let call = self.entity.call(&client, Method::PATCH)?;
        let call = call.header_if(header::IF_MATCH, self.if_match.as_deref())?;
        let answer = call.body(patch, if self.json_patch { JSON_PATCH } else { MERGE_PATCH }).send()?;
        written(connection, &self.entity, &answer)
    }
}

/// `deltadb delete`.
#[derive(Debug, Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    entity: Entity,
    /// Only if the stored document has this ETag
    #[arg(long, value_name = "ETAG")]
    if_match: Option<String>,
}

impl Delete {
    pub(crate) fn run(self, connection: &Connection) -> Outcome {
        let client = Client::open(connection)?;
        let call = self.entity.call(&client, Method::DELETE)?;
        let answer = call.header_if(header::IF_MATCH, self.if_match.as_deref())?.send()?;
        let name = format!("{}/{}", self.entity.database, output::printable(self.entity.key.as_str()));
        let existed = answer.json()?.get("existed").and_then(Value::as_bool).unwrap_or(true);
        let words = if existed { format!("deleted {name}") } else { format!("there was no {name}") };
        output::done(connection, &answer, &words)
    }
}
