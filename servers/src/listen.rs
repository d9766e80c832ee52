//! The front door: accepts connections and serves HTTP on each, within limits.
//!
//! poem and tonic are the services behind it; the accept loop is ours, because theirs set no TCP_NODELAY, spin when the
//! process is out of file descriptors, and wait for a request's header without a deadline. Deadlines are kept by one
//! watchdog for all connections: a timer for each request would cost as much as serving it.
//!
//! One [`Front`] for the process, one [`Door`] for each port:
//!
//! ```ignore
//! let front = Front::new(&config)?;
//! let rest = front.bind(config.rest_addr, "--rest-addr").await?;
//! let grpc = front.bind(config.grpc_addr, "--grpc-addr").await?;
//! tokio::spawn(listen::serve_http1(rest, endpoint, stop.clone())); // an endpoint of poem's
//! tokio::spawn(listen::serve_http2(grpc, routes, stop.clone())); // tonic::service::Routes, or any tower service
//! ```

mod activity;
mod http1;
mod http2;
mod limits;
pub(crate) mod peer;
mod stream;
mod tls;
mod watchdog;

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use http::uri::Scheme;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tonic::codegen::Service;

use crate::config::Config;
use activity::{Activity, Deadlines};
use http1::Http1;
use http2::Http2;
use limits::{ConnectionLimits, ConnectionStats, Slots};
use peer::{Authority, PeerCertificate};
use stream::Watched;
use tls::Tls;
use watchdog::Watchdog;

/// How long requests in flight may take once the server is told to stop.
pub(crate) const DRAIN_DEADLINE: Duration = Duration::from_secs(10);
/// How long to wait when the process has no file descriptor left for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often a door says that it lets nobody in.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(1);

/// What all ports of a process share: limits, deadlines and the certificate.
#[derive(Debug, Clone)]
pub(crate) struct Front {
    slots: Arc<Slots>,
    tls: Option<Arc<Tls>>,
    deadlines: Deadlines,
    header_bytes_max: usize,
}

impl Front {
    /// What the configuration says; with a certificate this must be called in a runtime, which watches its files.
    pub(crate) fn new(config: &Config) -> Result<Self> {
        let tls = match (&config.tls_cert, &config.tls_key) {
            (Some(cert), Some(key)) => Some(Tls::load(cert.clone(), key.clone())?),
            (None, None) => None,
            _ => bail!("--tls-cert and --tls-key go together; give both"),
        };
        tls.iter().try_for_each(Tls::watch)?;
        let limits = ConnectionLimits {
            connections_max: config.connections_max,
            connections_per_address_max: config.connections_per_address_max,
        };
        let deadlines = Deadlines {
            header: config.header_deadline.0,
            idle: config.idle_deadline.0,
            body: config.body_deadline.0,
            request: config.request_deadline.0,
        };
        Ok(Self {
            slots: Slots::new(limits.within(limits::raise_file_limit())),
            tls,
            deadlines,
            header_bytes_max: config.header_bytes_max,
        })
    }

    /// What became of the connections of all doors.
    pub(crate) fn connections(&self) -> ConnectionStats {
        self.slots.stats()
    }

    /// Takes an address; the error says which one, and what to do. `flag` is the one that chose it.
    pub(crate) async fn bind(&self, address: SocketAddr, flag: &str) -> Result<Door> {
        let listener = TcpListener::bind(address).await.map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => {
                anyhow!("{address} is taken by another process; stop that one or choose another {flag}")
            }
            _ => anyhow!("cannot listen on {address}: {error}; choose another {flag}"),
        })?;
        Ok(Door { local: listener.local_addr()?, listener, front: self.clone(), peers: None })
    }
}

/// A port that clients can come in by.
#[derive(Debug)]
pub(crate) struct Door {
    listener: TcpListener,
    local: SocketAddr,
    front: Front,
    /// Whose certificates the other ends of its connections may show.
    peers: Option<Authority>,
}

impl Door {
    /// Where it is, with the port that was chosen if it was to be any.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme(), self.local)
    }

    /// The port that was taken.
    pub(crate) fn port(&self) -> u16 {
        self.local.port()
    }

    /// The same, where a request's extensions have the [`PeerCertificate`] of whoever shows one of an authority.
    pub(crate) fn asking(self, peers: Option<Authority>) -> Self {
        Self { peers, ..self }
    }

    fn scheme(&self) -> Scheme {
        if self.front.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP }
    }
}

/// The two ends of a connection.
#[derive(Debug, Clone)]
struct Ends {
    local: SocketAddr,
    remote: SocketAddr,
    scheme: Scheme,
    certificate: Option<PeerCertificate>,
}

/// What is spoken on the connections of a door.
trait Protocol: Send + Sync + 'static {
    /// Its name in TLS (RFC 7301).
    const ALPN: &[u8];
    /// Whether several requests share a connection.
    const MULTIPLEXED: bool;

    /// Drives one connection to its end.
    fn connection(
        self: Arc<Self>,
        stream: Watched,
        ends: Ends,
        activity: Arc<Activity>,
    ) -> impl Future<Output = ()> + Send + 'static;
}

/// Serves HTTP/1.1 until `stop`, then lets requests in flight end within [`DRAIN_DEADLINE`].
pub(crate) async fn serve_http1(
    door: Door,
    endpoint: impl poem::Endpoint<Output = poem::Response> + 'static,
    stop: CancellationToken,
) -> Result<()> {
    let http = Http1::new(endpoint, door.front.header_bytes_max);
    serve(door, http, stop).await
}

/// Serves HTTP/2 until `stop`, then lets requests in flight end within [`DRAIN_DEADLINE`].
///
/// A request's extensions have tonic's `TcpConnectInfo`. An answer must *begin* within the request deadline, so that a
/// stream of the server's may last; whoever reads a stream of the client's begins its answer first.
pub(crate) async fn serve_http2<S>(door: Door, service: S, stop: CancellationToken) -> Result<()>
where
    S: Service<
            http::Request<tonic::body::Body>,
            Response = http::Response<tonic::body::Body>,
            Error = Infallible,
            Future: Send,
        > + Clone
        + Send
        + Sync
        + 'static,
{
    let http = Http2::new(service, door.front.header_bytes_max, door.front.deadlines.request);
    serve(door, http, stop).await
}

async fn serve<P: Protocol>(door: Door, protocol: P, stop: CancellationToken) -> Result<()> {
    let scheme = door.scheme();
    let Door { listener, local, front, peers } = door;
    let tls = front.tls.as_ref().map(|tls| tls.acceptor(P::ALPN, peers.as_ref())).transpose()?;
    let tls = tls.map(|acceptor| Handshake { acceptor, peers });
    if tls.is_none() && !local.ip().is_loopback() {
        tracing::warn!(
            "{local} is served without TLS, so that others may read credentials and documents on their way; give --tls-cert and --tls-key, or have a proxy in front that does it"
        );
    }
    let protocol = Arc::new(protocol);
    let watchdog = Watchdog::start(front.deadlines);
    let mut complaints = Complaints::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            // That client has gone again.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => {
                complaints.say(|| tracing::warn!(%error, %local, "cannot accept a connection"));
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let slot = match front.slots.take(remote.ip()) {
            Ok(slot) => slot,
            Err(full) => {
                complaints.say(|| tracing::warn!(%remote, "a connection was turned away: {full}"));
                continue;
            }
        };
        let activity = watchdog.activity(P::MULTIPLEXED);
        let ends = Ends { local, remote, scheme: scheme.clone(), certificate: None };
        let connection = connection(protocol.clone(), tls.clone(), stream, ends, activity.clone());
        watchdog.watch(connection, activity, slot);
    }
    drop(listener);
    if !watchdog.drain(DRAIN_DEADLINE).await {
        tracing::warn!("some requests did not end in time; their connections are cut");
    }
    Ok(())
}

/// How a connection becomes one of TLS.
#[derive(Clone)]
struct Handshake {
    acceptor: TlsAcceptor,
    peers: Option<Authority>,
}

/// Drives one connection to its end.
async fn connection<P: Protocol>(
    protocol: Arc<P>,
    tls: Option<Handshake>,
    stream: TcpStream,
    mut ends: Ends,
    activity: Arc<Activity>,
) {
    // This task stays the one that orders wake.
    poll_fn(|cx| {
        activity.listen(cx);
        Poll::Ready(())
    })
    .await;
    // Without it a small answer waits for the client's acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let stream = match tls {
        None => Either::Left(stream),
        Some(tls) => match Box::pin(tls.acceptor.accept(stream)).await {
            Ok(stream) => {
                let shown = stream.get_ref().1.peer_certificates();
                ends.certificate = tls.peers.as_ref().zip(shown).map(|(peers, chain)| peers.peer(chain));
                Either::Right(Box::new(stream))
            }
            Err(error) => return tracing::debug!(%error, remote = %ends.remote, "a TLS handshake failed"),
        },
    };
    activity.open();
    protocol.connection(Watched::new(stream, activity.clone()), ends, activity).await;
}

/// Drives a connection of hyper's until it ends, or until it is to rest.
///
/// It is boxed, because each future around it would take its size once more.
async fn drive<C>(mut connection: Pin<Box<C>>, activity: &Activity, leave: impl Fn(Pin<&mut C>)) -> Option<Pin<Box<C>>>
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut told = false;
    let ended = poll_fn(|cx| {
        if !told && activity.is_leaving() {
            leave(connection.as_mut());
            told = true;
        }
        match connection.as_mut().poll(cx) {
            Poll::Ready(ended) => Poll::Ready(Some(ended)),
            Poll::Pending if activity.rests() && !told => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    });
    match ended.await {
        None => return Some(connection),
        Some(Err(error)) => tracing::debug!(%error, "a connection ended early"),
        Some(Ok(())) => {}
    }
    None
}

/// Keeps a log readable while clients are turned away by the thousand.
#[derive(Debug, Default)]
struct Complaints(Option<Instant>);

impl Complaints {
    fn say(&mut self, say: impl FnOnce()) {
        if self.0.is_none_or(|last| last.elapsed() >= COMPLAINT_INTERVAL) {
            self.0 = Some(Instant::now());
            say();
        }
    }
}
