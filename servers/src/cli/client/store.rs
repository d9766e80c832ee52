//! `workers` and `me`: what a server says about itself and about the caller.

use super::connection::Connection;
use super::failure::Outcome;
use super::http::Client;
use super::output::{self, Column};

pub(crate) const WORKERS_EXAMPLES: &str = "\
Examples:
  deltadb workers
  deltadb workers --json | jq '.[].cache'";

pub(crate) const ME_EXAMPLES: &str = "\
Examples:
  deltadb me                            who the saved session stands for
  deltadb me --token-file ci.key        what an API key may do";

const WORKERS: [Column; 6] = [
    Column::text("WORKER", "worker_id"),
    Column::text("STATUS", "status"),
    Column::text("KEY", "key_id"),
    Column::text("LAST SEEN", "last_seen"),
    Column::number("ACTIVE", "active_requests"),
    Column::text("TAGS", "tags"),
];

/// `deltadb workers`.
pub(crate) fn workers(connection: &Connection) -> Outcome {
    let answer = Client::open(connection)?.get(&["admin", "workers"])?.send()?;
    output::items(connection, &answer, &WORKERS)
}

/// `deltadb me`.
pub(crate) fn me(connection: &Connection) -> Outcome {
    let answer = Client::open(connection)?.get(&["api", "me"])?.send()?;
    let members =
        [("client", "client_id"), ("permissions", "permissions"), ("admin", "is_admin"), ("scopes", "scopes")];
    output::object(connection, &answer, &members)
}
