//! `list`: a database's keys in order, page by page.

use clap::Args;
use delta_core::name::DatabaseName;
use serde::Deserialize;
use serde_json::Value;

use super::super::eprint_line;
use super::connection::Connection;
use super::failure::Outcome;
use super::http::Client;
use super::output::{self, Column};

pub(crate) const EXAMPLES: &str = "\
Up to --limit keys are printed; if there are more, a line on standard error says so.

Examples:
  deltadb list chat                                the first keys and their sizes
  deltadb list chat --prefix room- --metadata      with version, time, schema and ETag
  deltadb list chat --all --json | jq -r '.items[].key'     every key, for a program";

/// The most keys in one page.
pub(crate) const PAGE_KEYS_MAX: u64 = 1_000;

const COLUMNS: [Column; 2] = [Column::number("SIZE", "size"), Column::text("KEY", "key")];
const METADATA_COLUMNS: [Column; 6] = [
    Column::number("SIZE", "size"),
    Column::number("VERSION", "version"),
    Column::text("UPDATED", "updated_at"),
    Column::text("ETAG", "etag"),
    Column::text("SCHEMA", "schema_id"),
    Column::text("KEY", "key"),
];

/// `deltadb list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// The database
    database: DatabaseName,
    /// Only keys that begin with this
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// The most keys to print
    #[arg(long, value_name = "COUNT", default_value_t = PAGE_KEYS_MAX, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// Every key, however many there are
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Also version, time, schema and ETag of each
    #[arg(long)]
    metadata: bool,
    /// Go on after an earlier list, whose next_cursor this is
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

impl List {
    pub(crate) fn run(self, connection: &Connection) -> Outcome {
        let client = Client::open(connection)?;
        let mut left = if self.all { u64::MAX } else { self.limit };
        let mut cursor = self.cursor.clone();
        let mut pages = Pages { json: connection.json, metadata: self.metadata, started: false, any: false };
        loop {
            let limit = left.min(PAGE_KEYS_MAX);
            let query = Query { database: &self.database, prefix: self.prefix.as_deref(), metadata: self.metadata };
            let page = query.page(&client, limit, cursor.as_deref())?;
            let items = &page.items;
            pages.print(items)?;
            left = left.saturating_sub(items.len() as u64);
            cursor = page.next_cursor;
            if cursor.is_none() || left == 0 {
                return pages.end(cursor.as_deref());
            }
        }
    }
}

/// Which keys are wanted.
pub(crate) struct Query<'a> {
    pub(crate) database: &'a DatabaseName,
    pub(crate) prefix: Option<&'a str>,
    pub(crate) metadata: bool,
}

/// Some of them.
#[derive(Debug, Deserialize)]
pub(crate) struct Page {
    pub(crate) items: Vec<Value>,
    pub(crate) next_cursor: Option<String>,
}

impl Query<'_> {
    /// The keys after those that a cursor ends.
    pub(crate) fn page(&self, client: &Client, limit: u64, cursor: Option<&str>) -> Outcome<Page> {
        let call = client.get(&["api", "databases", self.database.as_str(), "keys"])?;
        let call = call.query("limit", &limit.to_string());
        let call = call.query_if("prefix", self.prefix).query_if("cursor", cursor);
        call.query_if("metadata", self.metadata.then_some("true")).send()?.parse()
    }
}

/// Pages as one table, or as one JSON object of the form of a page; each is printed as it arrives.
struct Pages {
    json: bool,
    metadata: bool,
    started: bool,
    any: bool,
}

impl Pages {
    fn print(&mut self, items: &[Value]) -> Outcome {
        let text = if self.json {
            let items: Vec<String> = items.iter().map(Value::to_string).collect();
            let start = if self.started { "" } else { "{\"items\":[" };
            let comma = if self.any && !items.is_empty() { "," } else { "" };
            format!("{start}{comma}{}", items.join(","))
        } else {
            output::table(if self.metadata { &METADATA_COLUMNS } else { &COLUMNS }, items, !self.started)
        };
        self.started = true;
        self.any |= !items.is_empty();
        output::write(text.as_bytes())
    }

    fn end(&self, cursor: Option<&str>) -> Outcome {
        if self.json {
            return output::line(&format!("],\"next_cursor\":{}}}", Value::from(cursor)));
        }
        if cursor.is_some() {
            eprint_line("there are more keys; print them with --all, or a part with --prefix or --limit");
        }
        Ok(())
    }
}
