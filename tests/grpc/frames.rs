//! Calls as frames of HTTP/2: what a client of gRPC does not send, or does not let through.

use std::time::{Duration, Instant};

use delta_tests::start::ADMIN_KEY;
use h2::SendStream;
use h2::client::ResponseFuture;
use http::Request;
use tokio::net::TcpStream;

use super::{Port, get};

/// How long an answer may take that nothing holds up.
const SOON: Duration = Duration::from_secs(20);

/// Opens a call of `Get` with these headers beside the credential, and sends no message yet.
async fn call(port: &Port, headers: &[(&str, &str)]) -> (ResponseFuture, SendStream<bytes::Bytes>) {
    let stream = TcpStream::connect(port.server.grpc_address()).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::post(format!("http://{}/delta.v1.Entities/Get", port.server.grpc_address()))
        .header("te", "trailers")
        .header("authorization", format!("Bearer {ADMIN_KEY}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    client.ready().await.unwrap().send_request(request.body(()).unwrap(), false).unwrap()
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
    let (answer, _never_sent) = call(&port, &[("content-type", "application/grpc"), ("grpc-timeout", "200m")]).await;
    let answer = tokio::time::timeout(SOON, answer).await.unwrap().unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["grpc-status"].as_bytes()), (200, &b"4"[..]));
    assert!(begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_message_may_come_in_pieces() {
    let port = Port::open();
    port.put("k", "1").await;
    let (answer, mut message) = call(&port, &[("content-type", "application/grpc+proto")]).await;
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
        let (answer, _message) = call(&port, headers).await;
        assert_eq!(tokio::time::timeout(SOON, answer).await.unwrap().unwrap().status().as_u16(), 415, "{headers:?}");
    }
    // Compression that nobody agreed on.
    let (answer, mut message) = call(&port, &[("content-type", "application/grpc"), ("grpc-encoding", "gzip")]).await;
    message.send_data(framed(&get("k")), true).unwrap();
    let answer = tokio::time::timeout(SOON, answer).await.unwrap().unwrap();
    assert_eq!(answer.headers()["grpc-status"], "12", "{answer:?}");
}
