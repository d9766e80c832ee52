//! The nouns, contracts and data plane of DeltaDatabase.
//!
//! No network and no file I/O happens here: everything that touches the outside world is a plug-in behind one of four
//! traits ([`storage::Storage`], [`auth::Auth`], [`validator::Validator`], [`keys::KeyProvider`]). What a client can do
//! is one more trait, [`entities::Entities`], and [`engine::Engine`] does it on this machine.

pub mod address;
pub mod auth;
pub mod builtin;
pub mod cache;
pub mod check;
pub mod clock;
pub mod conformance;
pub mod copying;
pub mod cursor;
pub mod databases;
pub mod document;
pub mod engine;
pub mod entities;
pub mod error;
pub mod generations;
pub mod index;
pub mod keyring;
pub mod keys;
pub mod name;
pub mod patch;
pub mod plugin;
pub mod pointer;
pub mod records;
pub mod schemas;
pub mod seal;
pub mod storage;
pub mod superblock;
mod turns;
pub mod validator;
#[cfg(test)]
mod vectors;

pub use error::{Error, ErrorKind, Result};
