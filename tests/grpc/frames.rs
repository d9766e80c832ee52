//! Calls as frames of HTTP/2: what a client of gRPC does not send, or does not let through.

use std::time::{Duration, Instant};

use delta_server::grpc_api::delta::v1 as wire;
use delta_server::grpc_api::deltadb::ProcessRequest;
use delta_tests::start::ADMIN_KEY;
use h2::SendStream;
use h2::client::ResponseFuture;
use http::Request;
use tokio::net::TcpStream;

use super::{Port, get};

/// How long an answer may take that nothing holds up.
const SOON: Duration = Duration::from_secs(20);

const GET: &str = "/delta.v1.Entities/Get";
const GRPC: (&str, &str) = ("content-type", "application/grpc");

/// Opens a call with these headers, and the credential if there is to be one, and sends no message yet.
async fn call(port: &Port, path: &str, headers: &[(&str, &str)]) -> (ResponseFuture, SendStream<bytes::Bytes>) {
    let stream = TcpStream::connect(port.server.grpc_address()).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::post(format!("http://{}{path}", port.server.grpc_address())).header("te", "trailers");
    if path == GET {
        request = request.header("authorization", format!("Bearer {ADMIN_KEY}"));
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    client.ready().await.unwrap().send_request(request.body(()).unwrap(), false).unwrap()
}

/// The code of a call that is refused.
async fn code(answer: ResponseFuture) -> String {
    let answer = tokio::time::timeout(SOON, answer).await.unwrap().unwrap();
    answer.headers()["grpc-status"].to_str().unwrap().to_owned()
}

/// A message with its prefix.
fn framed(message: &impl prost::Message) -> bytes::Bytes {
    let encoded = message.encode_to_vec();
    [&[0][..], &u32::try_from(encoded.len()).unwrap().to_be_bytes(), &encoded].concat().into()
}

#[tokio::test]
async fn a_call_whose_deadline_passes_is_answered_so() {
    let port = Port::open();
    let begun = Instant::now();
    let (answer, _never_sent) = call(&port, GET, &[GRPC, ("grpc-timeout", "200m")]).await;
    let answer = tokio::time::timeout(SOON, answer).await.unwrap().unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["grpc-status"].as_bytes()), (200, &b"4"[..]));
    assert!(begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_message_may_come_in_pieces() {
    let port = Port::open();
    port.put("k", "1").await;
    let (answer, mut message) = call(&port, GET, &[("content-type", "application/grpc+proto")]).await;
    let bytes = framed(&get("k"));
    for byte in bytes.chunks(1) {
        message.send_data(bytes::Bytes::copy_from_slice(byte), false).unwrap();
    }
    message.send_data(bytes::Bytes::new(), true).unwrap();
    let mut body = tokio::time::timeout(SOON, answer).await.unwrap().unwrap().into_body();
    assert!(body.data().await.unwrap().unwrap().starts_with(&[0, 0]));
    assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "0");
}

#[tokio::test]
async fn what_is_not_grpc_is_told_so() {
    let port = Port::open();
    for headers in [&[][..], &[("content-type", "application/json")]] {
        let (answer, _message) = call(&port, GET, headers).await;
        assert_eq!(tokio::time::timeout(SOON, answer).await.unwrap().unwrap().status().as_u16(), 415, "{headers:?}");
    }
    // Compression that nobody agreed on.
    let (answer, mut message) = call(&port, GET, &[GRPC, ("grpc-encoding", "gzip")]).await;
    message.send_data(framed(&get("k")), true).unwrap();
    assert_eq!(code(answer).await, "12");
}

/// The code that a whole call without a credential gets.
async fn nameless(port: &Port) -> String {
    let (answer, mut message) = call(port, "/deltadb.MainWorker/Process", &[GRPC]).await;
    message.send_data(framed(&ProcessRequest::default()), true).unwrap();
    code(answer).await
}

#[tokio::test]
async fn strangers_have_few_calls_and_others_do_not_notice() {
    let port = Port::open();
    port.put("k", "1").await;
    assert_eq!(nameless(&port).await, "16");
    let mut stalled = Vec::new();
    for _ in 0..64 {
        stalled.push(call(&port, "/deltadb.MainWorker/Process", &[GRPC]).await);
    }
    let begun = Instant::now();
    while nameless(&port).await != "14" {
        assert!(begun.elapsed() < SOON, "strangers hold no slots");
    }
    port.put("k", "2").await;
    drop(stalled);
    while nameless(&port).await != "16" {
        assert!(begun.elapsed() < SOON, "slots are not given back");
    }
}

#[tokio::test]
async fn a_message_that_needs_no_credential_is_small() {
    let port = Port::open();
    let message = wire::GetSchemaRequest { id: "x".repeat(8 << 10) };
    for path in ["/delta.v1.Schemas/Get", "/delta.v1.Schemas/List", "/grpc.health.v1.Health/Check"] {
        let (answer, mut sent) = call(&port, path, &[GRPC]).await;
        sent.send_data(framed(&message), true).unwrap();
        assert_eq!(code(answer).await, "11", "{path}");
    }
}
