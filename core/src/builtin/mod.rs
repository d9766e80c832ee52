//! What needs no plug-in crate: the reference storage, keys given by value, and the two credentials every store has.

pub mod admin_key;
pub mod memory;
pub mod sessions;
pub mod static_keys;
