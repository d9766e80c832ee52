//! The client commands: a REST client of the routes that the OpenAPI document describes.
//!
//! They hold no rule of the database: names are parsed to fail early, and everything else is the server's answer, printed
//! as JSON or as a table. No client command opens a store, starts a plug-in or writes a log.

mod bulk;
mod connection;
mod database;
mod entity;
mod export;
mod failure;
mod http;
mod input;
mod keys;
mod list;
mod login;
mod output;
mod schema;
mod sessions;
mod store;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::eprint_line;
use connection::Connection;
use failure::{Exit, Outcome};
pub(crate) use output::printable;

/// What a command takes, and where it sends it.
#[derive(Debug, Args)]
pub(crate) struct With<T: Args> {
    #[command(flatten)]
    what: T,
    #[command(flatten)]
    connection: Connection,
}

/// Nothing to say but which server.
#[derive(Debug, Args)]
pub(crate) struct Nothing {}

/// A command that asks a server.
#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// Read a document, or all of a database
    #[command(after_help = entity::GET_EXAMPLES)]
    Get(With<entity::Get>),
    /// Write a document, or many
    #[command(after_help = entity::PUT_EXAMPLES)]
    Put(With<entity::Put>),
    /// Change a part of a document
    #[command(after_help = entity::PATCH_EXAMPLES)]
    Patch(With<entity::Patch>),
    /// Delete a document
    #[command(after_help = entity::DELETE_EXAMPLES)]
    Delete(With<entity::Delete>),
    /// List a database's keys, in order
    #[command(after_help = list::EXAMPLES)]
    List(With<list::List>),
    /// List, show, set up and drop databases
    #[command(after_help = database::EXAMPLES, args_conflicts_with_subcommands = false)]
    Databases(With<database::Databases>),
    /// List, read, write, try and delete JSON Schemas
    #[command(after_help = schema::EXAMPLES, arg_required_else_help = true)]
    Schema(With<schema::Schemas>),
    /// Create, list and delete API keys
    #[command(after_help = keys::EXAMPLES, arg_required_else_help = true)]
    Keys(With<keys::Keys>),
    /// List the processes that do the work
    #[command(after_help = store::WORKERS_EXAMPLES)]
    Workers(With<Nothing>),
    /// Save a session with a server, for later commands
    #[command(after_help = login::LOGIN_EXAMPLES)]
    Login(With<login::Login>),
    /// End the saved session and forget it
    #[command(after_help = login::LOGOUT_EXAMPLES)]
    Logout(With<Nothing>),
    /// Show who a server takes you for, and what you may do
    #[command(visible_alias = "whoami", after_help = store::ME_EXAMPLES)]
    Me(With<Nothing>),
}

impl ClientCommand {
    /// Runs the command; what goes wrong is one line on standard error.
    pub(crate) fn run(self) -> ExitCode {
        let json = self.connection().json;
        let Err(failure) = self.execute() else { return ExitCode::SUCCESS };
        match failure.exit() {
            Exit::Quiet => {}
            _ if json => eprint_line(&failure.json()),
            _ => eprint_line(&format!("error: {}", failure.line())),
        }
        ExitCode::from(failure.exit() as u8)
    }

    fn connection(&self) -> &Connection {
        match self {
            Self::Get(With { connection, .. })
            | Self::Put(With { connection, .. })
            | Self::Patch(With { connection, .. })
            | Self::Delete(With { connection, .. })
            | Self::List(With { connection, .. })
            | Self::Databases(With { connection, .. })
            | Self::Schema(With { connection, .. })
            | Self::Keys(With { connection, .. })
            | Self::Workers(With { connection, .. })
            | Self::Login(With { connection, .. })
            | Self::Logout(With { connection, .. })
            | Self::Me(With { connection, .. }) => connection,
        }
    }

    fn execute(self) -> Outcome {
        match self {
            Self::Get(With { what, connection }) => what.run(&connection),
            Self::Put(With { what, connection }) => what.run(&connection),
            Self::Patch(With { what, connection }) => what.run(&connection),
            Self::Delete(With { what, connection }) => what.run(&connection),
            Self::List(With { what, connection }) => what.run(&connection),
            Self::Databases(With { what, connection }) => what.run(&connection),
            Self::Schema(With { what, connection }) => what.run(&connection),
            Self::Keys(With { what, connection }) => what.run(&connection),
            Self::Workers(With { connection, .. }) => store::workers(&connection),
            Self::Login(With { what, connection }) => what.run(&connection),
            Self::Logout(With { connection, .. }) => login::logout(&connection),
            Self::Me(With { connection, .. }) => store::me(&connection),
        }
    }
}
