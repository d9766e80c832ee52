//! What a process can be.

pub(crate) mod harden;
pub(crate) mod keys;
pub(crate) mod serve;
pub(crate) mod store;
