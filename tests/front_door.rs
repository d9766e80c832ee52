//! The front door: what strangers may do to the server, and what that costs everybody else.

mod answers;
mod drain;
mod framing;
mod http2;
mod limits;
mod slow;
mod tls;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use delta_tests::http::connect;

/// Sends bytes as they are, and reads until the server closes the connection; a server that does not fails the test.
#[track_caller]
fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect(address).unwrap();
    stream.write_all(bytes).unwrap();
    read_to_end(&mut stream)
}

/// Everything until the server closes the connection.
#[track_caller]
fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answers = Vec::new();
    stream.read_to_end(&mut answers).unwrap();
    String::from_utf8(answers).unwrap()
}

/// The statuses of all answers in what a server sent.
fn statuses(answers: &str) -> Vec<u16> {
    answers.split("HTTP/1.1 ").skip(1).map(|answer| answer[..3].parse().unwrap()).collect()
}
