//! The product from outside: a harness that starts servers, an HTTP client that hides nothing, and the kill -9 loop.
//!
//! Nothing here waits by sleeping for a guessed time, uses a fixed port, or leaves the loopback interface. Whatever goes
//! wrong panics: this crate is tests.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "this crate is tests and what they stand on: a panic is a failed test"
)]

pub mod cluster;
pub mod faults;
pub mod http;
pub mod kill_loop;
pub mod leaks;
pub mod linear;
pub mod memory;
pub mod mounts;
pub mod namespace;
pub mod packages;
pub mod random;
pub mod server;
pub mod skins;
pub mod staffed;
pub mod start;
pub mod storages;
