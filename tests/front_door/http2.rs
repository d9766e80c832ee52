//! The gRPC port, at the level of HTTP/2 frames.

use std::io::{Read, Write};
use std::net::TcpStream;

use delta_tests::http::connect;
use delta_tests::server::Server;

use crate::support::{directory, serve, server};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Types of frames (RFC 9113, section 6).
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
/// `END_STREAM` and `END_HEADERS`.
const WHOLE: u8 = 5;
/// The code of a GOAWAY to a client that asks too much.
const ENHANCE_YOUR_CALM: u8 = 11;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A connection that has begun as HTTP/2 does.
fn begin(server: &Server) -> TcpStream {
    let mut stream = connect(server.grpc_address()).unwrap();
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, b"")].concat()).unwrap();
    stream
}

/// All frames until the server closes the connection, as type and payload.
#[track_caller]
fn frames(stream: &mut TcpStream) -> Vec<(u8, Vec<u8>)> {
    let mut bytes = Vec::new();
    // What was sent in vain may reset the connection behind the last frame.
    drop(stream.read_to_end(&mut bytes));
    let mut frames = Vec::new();
    let mut rest = bytes.as_slice();
    while let Some((head, after)) = rest.split_at_checked(9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        frames.push((head[3], after[..length].to_vec()));
        rest = &after[length..];
    }
    frames
}

#[test]
fn a_client_that_opens_and_resets_streams_is_sent_away() {
    let (_directory, server) = server();
    let mut stream = begin(&server);
    // POST http /, all from the static table.
    let opened_and_reset = |stream: u32| {
        [frame(HEADERS, WHOLE, stream, &[0x83, 0x86, 0x84]), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
    };
    let flood: Vec<u8> = (0..2_000).flat_map(|at| opened_and_reset(2 * at + 1)).collect();
    drop(stream.write_all(&flood));
    let frames = frames(&mut stream);
    let goodbye = frames.iter().find(|(kind, _)| *kind == GOAWAY).unwrap_or_else(|| panic!("no GOAWAY: {frames:?}"));
    assert_eq!(goodbye.1[7], ENHANCE_YOUR_CALM, "{frames:?}");
    server.anonymous().get("/health").expect(200);
}

#[test]
fn an_idle_connection_is_told_that_it_ends() {
    let directory = directory();
    let server = serve(&directory).args(&["--idle-deadline=500ms", "--header-deadline=1s"]).up();
    let frames = frames(&mut begin(&server));
    assert!(frames.iter().any(|(kind, _)| *kind == GOAWAY), "{frames:?}");
}

#[test]
fn a_connection_that_does_not_begin_is_cut() {
    let directory = directory();
    let server = serve(&directory).args(&["--idle-deadline=1h", "--header-deadline=500ms"]).up();
    for begun in [&b""[..], b"PRI * HTTP", PREFACE, b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let mut stream = connect(server.grpc_address()).unwrap();
        stream.write_all(begun).unwrap();
        let frames = frames(&mut stream);
        assert!(
            frames.iter().all(|(kind, _)| [SETTINGS, GOAWAY, WINDOW_UPDATE].contains(kind)),
            "{begun:?}: {frames:?}"
        );
    }
}

#[test]
fn a_header_that_is_too_large_is_refused() {
    let directory = directory();
    let server = serve(&directory).args(&["--header-bytes-max=8192", "--idle-deadline=1s"]).up();
    let mut stream = begin(&server);
    // Fields that are not indexed: name "x", value of 127 bytes and a length that goes on in the next byte.
    let field = [&[0, 1, b'x', 0x7f, 0x00][..], &[b'a'; 127]].concat();
    let large = [&[0x83, 0x86, 0x84][..], &field.repeat(100)].concat();
    stream.write_all(&frame(HEADERS, WHOLE, 1, &large)).unwrap();
    let frames = frames(&mut stream);
    // 431 in Huffman's code (RFC 7541, appendix B), since the static table does not have it.
    let status = |payload: &[u8]| payload.windows(3).any(|three| three == [0x69, 0x90, 0xff]);
    assert!(frames.iter().any(|(kind, payload)| *kind == HEADERS && status(payload)), "{frames:?}");
}
