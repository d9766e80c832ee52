//! What `proto/` says, as Rust: messages, servers and clients, made by `build.rs`.
//!
//! Messages have no `Debug`: they hold documents and credentials.

#![allow(
    missing_docs,
    clippy::allow_attributes_without_reason,
    clippy::large_enum_variant,
    reason = "generated; the definitions hold the sentences"
)]

/// The first clients' service.
pub mod deltadb {
    tonic::include_proto!("deltadb");
}

/// Everything that REST can do.
pub mod delta {
    /// The only version.
    pub mod v1 {
        tonic::include_proto!("delta.v1");
    }
}

/// The descriptor set of the definitions, encoded.
pub const DESCRIPTOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor.bin"));
