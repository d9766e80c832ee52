//! gRPC: the other skin over [`Entities`](delta_core::entities::Entities), for programs.
//!
//! Handlers parse names, ask, and answer, as REST's do. What is the same for every call, the credential before the
//! message, the deadline, a handler's panic, is in [`call`]; it takes the place of tonic's own server and router.

pub mod api;
mod call;
mod cluster;
mod databases;
mod entities;
mod main_worker;
mod open;
mod schemas;
pub(crate) mod status;

use std::sync::Arc;

use delta_core::auth::Principal;
use delta_core::{Error, Result};
use tonic::{Request, Response, Status};

use crate::app::App;

pub(crate) use call::Grpc;
pub(crate) use open::Open;

/// What the handlers work with.
#[derive(Debug, Clone)]
pub(crate) struct Skin(Arc<App>);

/// Who is asking and for what; [`call`] found out who.
fn caller<T>(request: Request<T>) -> Result<(Principal, T)> {
    let (_, mut extensions, message) = request.into_parts();
    let who = extensions.remove::<Principal>().ok_or_else(call::missing_credential)?;
    Ok((who, message))
}

fn answer<T>(result: Result<T>) -> std::result::Result<Response<T>, Status> {
    result.map(Response::new).map_err(|error| status::status(&error))
}

/// A name of ours, or `None` for an empty field.
fn optional<T: std::str::FromStr<Err = Error>>(text: &str) -> Result<Option<T>> {
    if text.is_empty() { Ok(None) } else { text.parse().map(Some) }
}
