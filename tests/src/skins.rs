//! Clients that do through a socket what the trait `Entities` says, so that its conformance suite runs on the product's
//! skins.

pub mod credentials;
pub mod grpc;
pub mod rest;
