//! DeltaDatabase as a process: configuration, roles, REST, gRPC and the command line.
//!
//! A distribution with plug-ins of its own links them and calls [`run`]:
//! `use my_plugin as _; fn main() -> std::process::ExitCode { delta_server::run() }`.

mod app;
mod cli;
mod cluster;
mod config;
mod duration;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod grpc;
mod limiter;
mod listen;
mod metrics;
mod otlp;
mod plugins;
mod proxies;
mod rest;
mod roles;
mod secrets;
mod telemetry;
mod templates;
mod trace;

use std::process::ExitCode;

/// Requests allocate on one thread and free on another, which costs the C library's allocator a third of a PUT.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs the command that the process was started with, and gives its exit code: 0, or 1 with one line that says what
/// went wrong and what to do.
pub fn run() -> ExitCode {
    plugins::keep();
    cli::run(std::env::args_os().collect())
}

/// The OpenAPI document of this version, as JSON.
pub fn openapi() -> String {
    rest::document()
}

pub use grpc::api as grpc_api;

#[doc(hidden)]
pub use cluster::hop;

/// The descriptor set of every gRPC service of this version, encoded as `google.protobuf.FileDescriptorSet`.
pub fn grpc_descriptor() -> &'static [u8] {
    grpc::api::DESCRIPTOR
}

/// The names of the compiled-in plug-ins as `point/name`, in order.
pub fn plugin_names() -> Vec<String> {
    plugins::keep();
    delta_core::plugin::plugins().iter().map(|plugin| format!("{}/{}", plugin.open.point(), plugin.name)).collect()
}
