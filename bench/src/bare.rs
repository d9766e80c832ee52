//! What HTTP alone costs: a poem server that does nothing, on routes like ours and with answers of the size of ours.

use std::net::SocketAddr;

use anyhow::Result;
use bytes::Bytes;
use poem::listener::TcpListener;
use poem::web::Data;
use poem::{Body, EndpointExt, Response, Route, Server, get, handler, http::StatusCode};

use crate::request::document;

/// Serves until the process is killed.
pub(crate) fn run(addr: SocketAddr, document_bytes: usize) -> Result<()> {
    let document = Bytes::from(document(document_bytes));
    let routes = Route::new().at("/entity/:database/:key", get(read).put(write)).data(document);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(Server::new(TcpListener::bind(addr)).run(routes))?;
    Ok(())
}

#[handler]
fn read(document: Data<&Bytes>) -> Response {
    Response::builder().content_type("application/json").body(document.clone())
}

#[handler]
async fn write(body: Body) -> poem::Result<Response> {
    body.into_bytes().await?;
    Ok(Response::builder()
        .status(StatusCode::CREATED)
        .content_type("application/json; charset=utf-8")
        .body(r#"{"status":"ok","version":1}"#))
}
