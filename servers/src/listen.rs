//! The front door: accepts connections and serves HTTP/1.1 on each.
//!
//! poem is the service behind it; the accept loop is ours, because poem's sets no TCP_NODELAY, spins when the process is
//! out of file descriptors, and waits for a request's header without a deadline. Deadlines are kept by one watchdog for
//! all connections: a timer for each request would cost as much as serving it.

mod watchdog;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use poem::Endpoint;
use poem::web::{LocalAddr, RemoteAddr};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use watchdog::{Activity, Watchdog, Watched};

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
    endpoint: impl Endpoint<Output = poem::Response> + 'static,
    stop: CancellationToken,
) -> Result<()> {
    let local = listener.local_addr()?;
    let endpoint = Arc::new(endpoint);
    let http = http1::Builder::new();
    let watchdog = Watchdog::start();
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
        // Without it a small answer waits for the client's acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        let activity = watchdog.activity();
        let connection = connection(&http, stream, (local, peer), activity.clone(), endpoint.clone());
        watchdog.watch(connection, activity);
    }
    drop(listener);
    if !watchdog.drain(DRAIN_DEADLINE).await {
        tracing::warn!("some requests did not end in time; their connections are cut");
    }
    Ok(())
}

/// Drives one connection to its end.
fn connection<E: Endpoint<Output = poem::Response> + 'static>(
    http: &http1::Builder,
    stream: TcpStream,
    (local, peer): (SocketAddr, SocketAddr),
    activity: Arc<Activity>,
    endpoint: Arc<E>,
) -> impl Future<Output = ()> + Send + 'static {
    let (local, remote) = (LocalAddr(local.into()), RemoteAddr(peer.into()));
    let seen = activity.clone();
    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        seen.request();
        let (endpoint, seen) = (endpoint.clone(), seen.clone());
        let request = (request, local.clone(), remote.clone(), http::uri::Scheme::HTTP).into();
        async move {
            let response = endpoint.get_response(request).await;
            seen.response();
            Ok::<_, Infallible>(http::Response::from(response))
        }
    });
    let connection = http.serve_connection(TokioIo::new(Watched::new(stream, activity)), service);
    async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}
