//! Who is asking: the first thing every protected route finds out, before it reads a body.

use std::net::IpAddr;

use delta_core::auth::Principal;
use delta_core::keys::SecretText;
use poem::{FromRequest, Request, RequestBody};
use poem_openapi::SecurityScheme;
use poem_openapi::auth::{Bearer, BearerAuthorization};

use crate::rest::app_of;
use crate::rest::problem::Problem;

/// The admin key, an API key or a session token, as `Authorization: Bearer …`.
#[derive(SecurityScheme)]
#[oai(ty = "bearer", rename = "bearer", checker = "authenticate")]
pub(crate) struct Caller(pub(crate) Principal);

async fn authenticate(request: &Request, bearer: Bearer) -> poem::Result<Principal> {
    let app = app_of(request)?;
    Ok(app.authenticate(&bearer.token, address(request)?).await.map_err(Problem::from)?)
}

/// The address that a request's failed credentials count for.
fn address(request: &Request) -> poem::Result<IpAddr> {
    Ok(app_of(request)?.client(request.remote_addr().as_socket_addr().copied(), request.headers()))
}

/// Where a request comes from.
pub(crate) struct From(pub(crate) IpAddr);

impl<'a> FromRequest<'a> for From {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        address(request).map(Self)
    }
}

/// The credential that a request presents, as it is.
pub(crate) struct Presented(pub(crate) SecretText);

impl<'a> FromRequest<'a> for Presented {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        Ok(Self(SecretText::new(Bearer::from_request(request)?.token)))
    }
}
