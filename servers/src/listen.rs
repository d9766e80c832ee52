//! The front door: accepts connections and serves HTTP/1.1 on each.
//!
//! poem is the service behind it; the accept loop is ours, because poem's sets no TCP_NODELAY, spins when the process is
//! out of file descriptors, and waits for a request's header without a deadline.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Endpoint, EndpointExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// How long a client may take for the header of a request, waiting between two requests included.
const HEADER_DEADLINE: Duration = Duration::from_secs(75);
/// How long requests in flight may take once the server is told to stop.
pub(crate) const DRAIN_DEADLINE: Duration = Duration::from_secs(10);
/// How long to wait when the process has no file descriptor left for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Takes an address; the error says which one, and what to do.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            anyhow!("{address} is taken by another process; stop that one or choose another --rest-addr")
        }
        _ => anyhow!("cannot listen on {address}: {error}; choose another --rest-addr"),
    })
}

/// Serves until `stop`, then lets requests in flight end within [`DRAIN_DEADLINE`].
pub(crate) async fn serve(
    listener: TcpListener,
    endpoint: impl Endpoint + 'static,
    stop: CancellationToken,
) -> Result<()> {
    let local = listener.local_addr()?;
    let endpoint = Arc::new(endpoint.map_to_response());
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_DEADLINE);
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let connection = connection(&http, stream, peer, local, endpoint.clone());
        let watched = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = watched.await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_DEADLINE, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end in time; their connections are cut");
    }
    Ok(())
}

/// One connection, ready to be driven.
fn connection<E: Endpoint<Output = poem::Response> + 'static>(
    http: &http1::Builder,
    stream: TcpStream,
    peer: SocketAddr,
    local: SocketAddr,
    endpoint: Arc<E>,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> + 'static {
    // Without it a small answer waits for the client's acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let (local, remote) = (LocalAddr(local.into()), RemoteAddr(peer.into()));
    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let endpoint = endpoint.clone();
        let request = (request, local.clone(), remote.clone(), http::uri::Scheme::HTTP).into();
        async move { Ok::<_, Infallible>(http::Response::from(endpoint.get_response(request).await)) }
    });
    http.serve_connection(TokioIo::new(stream), service)
}
