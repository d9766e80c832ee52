//! The load generator for gRPC: N calls in flight in a closed loop, on one thread, a few on each connection.
//!
//! It stands on the `h2` crate: messages are encoded once and then only patched, and answers are counted, not decoded, so
//! that little of what it costs is charged to the server beside it. Every status is checked.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use delta_server::grpc_api::delta::v1 as wire;
use h2::client::SendRequest;
use prost::Message;
use tokio::net::TcpStream;

use crate::load::{Outcome, Plan};
use crate::request::{Keys, Requests};

/// Calls in flight on one connection.
const CALLS_A_CONNECTION: usize = 8;
/// How long the last answers may take.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How much of an answer may be on its way; more than any here.
const WINDOW_BYTES: u32 = 1 << 20;

/// What is called.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Method {
    Get,
    Put,
}

impl Method {
    fn path(self) -> &'static str {
        match self {
            Self::Get => "/delta.v1.Entities/Get",
            Self::Put => "/delta.v1.Entities/Put",
        }
    }
}

/// GETs, or PUTs where there is a document, as messages with their prefix of five bytes.
pub(crate) fn messages(document: Option<&str>, keys: Keys) -> Result<Requests> {
    const KEY: &str = "k000000000";
    let (database, key) = ("bench".to_owned(), KEY.to_owned());
    let message = match document {
        None => wire::GetEntityRequest { database, key, ..Default::default() }.encode_to_vec(),
        Some(document) => {
            let document = Bytes::copy_from_slice(document.as_bytes());
            wire::PutEntityRequest { database, key, document, ..Default::default() }.encode_to_vec()
        }
    };
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(message.len())?);
    bytes.put_slice(&message);
    let at =
        bytes.windows(KEY.len()).position(|window| window == KEY.as_bytes()).context("a message without its key")?;
    Ok(Requests::of_bytes(bytes.to_vec(), at, keys))
}

/// Runs a plan; its `connections` are calls in flight.
pub(crate) fn run(
    addr: SocketAddr,
    method: Method,
    token: &str,
    requests: &mut Requests,
    plan: Plan,
) -> Result<Outcome> {
    let request = http::Request::post(format!("http://{addr}{}", method.path()))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", format!("Bearer {token}"))
        .body(())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(load(addr, &request, requests, plan))
}

struct State<'a> {
    requests: &'a mut Requests,
    sent: u64,
    latencies: Vec<u32>,
}

async fn load(addr: SocketAddr, request: &http::Request<()>, requests: &mut Requests, plan: Plan) -> Result<Outcome> {
    let mut clients = Vec::new();
    for _ in 0..plan.connections.div_ceil(CALLS_A_CONNECTION) {
        clients.push(connect(addr).await?);
    }
    let state = RefCell::new(State { requests, sent: 0, latencies: Vec::with_capacity(1 << 20) });
    let started = Instant::now();
    let callers = clients.iter().cycle().take(plan.connections);
    let calls = futures::future::try_join_all(callers.map(|client| {
        let client = client.clone();
        calls(client, request, &state, (started, plan))
    }));
    let most = plan.duration_max.saturating_add(SILENCE_MAX);
    tokio::time::timeout(most, calls).await.context("the server has not answered")??;
    let mut latencies = state.into_inner().latencies;
    Ok(Outcome::of(&mut latencies, started.elapsed()))
}

async fn connect(addr: SocketAddr) -> Result<SendRequest<Bytes>> {
    let stream = TcpStream::connect(addr).await.with_context(|| format!("cannot connect to {addr}"))?;
    stream.set_nodelay(true)?;
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(WINDOW_BYTES).initial_connection_window_size(WINDOW_BYTES);
    let (client, connection) = builder.handshake(stream).await?;
    // Ends with its last request; an error of it is an error of each call.
    tokio::spawn(connection);
    Ok(client)
}

/// One call after the other.
async fn calls(
    mut client: SendRequest<Bytes>,
    request: &http::Request<()>,
    state: &RefCell<State<'_>>,
    (started, plan): (Instant, Plan),
) -> Result<()> {
    loop {
        let message = {
            let mut state = state.borrow_mut();
            if started.elapsed() >= plan.duration_max || state.sent >= plan.requests_max {
                return Ok(());
            }
            state.sent += 1;
            Bytes::copy_from_slice(state.requests.next())
        };
        let sent = Instant::now();
        client = call(client, request.clone(), message).await?;
        let nanos = u32::try_from(sent.elapsed().as_nanos()).unwrap_or(u32::MAX);
        state.borrow_mut().latencies.push(nanos);
    }
}

async fn call(client: SendRequest<Bytes>, request: http::Request<()>, message: Bytes) -> Result<SendRequest<Bytes>> {
    let mut client = client.ready().await?;
    let (response, mut body) = client.send_request(request, false)?;
    body.send_data(message, true)?;
    let (head, mut body) = response.await?.into_parts();
    while let Some(data) = body.data().await {
        let bytes = data?.len();
        body.flow_control().release_capacity(bytes)?;
    }
    // A call that is refused at once has its status in the head.
    let trailers = body.trailers().await?.unwrap_or(head.headers);
    let [status, said] = ["grpc-status", "grpc-message"].map(|name| trailers.get(name));
    ensure!(status.is_some_and(|status| status == "0"), "a call ended with status {status:?}: {said:?}");
    Ok(client)
}
