//! What needs no plug-in crate: the reference storage, keys given by value, and the credentials every store has.

pub mod admin_key;
pub mod api_keys;
pub mod ledger;
pub mod memory;
pub mod sessions;
pub mod static_keys;
