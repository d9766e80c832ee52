//! What a process can be.

mod harden;
mod keys;
pub(crate) mod serve;
mod store;
