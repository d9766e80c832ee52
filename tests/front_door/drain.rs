//! A server that is told to stop lets in nobody, answers what it has, and ends with 0.

use std::io::{Read, Write};
use std::net::TcpStream;

use delta_tests::http::connect;
use delta_tests::start::ADMIN_KEY;

use crate::support::{directory, serve};

use super::{read_to_end, statuses};

#[test]
fn requests_in_flight_are_answered_and_nobody_else_is_let_in() {
    let directory = directory();
    let server = serve(&directory).up();
    let address = server.address();
    let mut idle = connect(address).unwrap();
    let mut begun: Vec<TcpStream> = (0..20).map(|_| connect(address).unwrap()).collect();
    for (at, stream) in begun.iter_mut().enumerate() {
        let head = format!("PUT /entity/db/k{at} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {ADMIN_KEY}\r\n");
        // The server says that it waits for the body: the request is in flight.
        stream.write_all(format!("{head}Content-Length: 4\r\nExpect: 100-continue\r\n\r\n").as_bytes()).unwrap();
        stream.read_exact(&mut [0; 25]).unwrap();
        stream.write_all(b"12").unwrap();
    }
    server.terminate();
    // The port is closed before anything else happens.
    while connect(address).is_ok() {}
    assert_eq!(idle.read(&mut [0; 1]).unwrap(), 0, "a connection without a request is closed");
    for stream in &mut begun {
        stream.write_all(b"34").unwrap();
        let answers = read_to_end(stream);
        assert_eq!(statuses(&answers), [201], "{answers}");
        assert!(answers.contains("connection: close"), "{answers}");
    }
    let ended = server.ended();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let server = serve(&directory).up();
    for at in 0..20 {
        assert_eq!(server.admin().get(&format!("/entity/db/k{at}")).expect(200).text(), "1234");
    }
}

#[test]
fn a_request_that_does_not_end_is_given_ten_seconds() {
    let directory = directory();
    let server = serve(&directory).args(&["--body-deadline=1h", "--request-deadline=1h"]).up();
    let mut stream = connect(server.address()).unwrap();
    let head = format!("PUT /entity/db/k HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {ADMIN_KEY}\r\n");
    stream.write_all(format!("{head}Content-Length: 4\r\nExpect: 100-continue\r\n\r\n").as_bytes()).unwrap();
    stream.read_exact(&mut [0; 25]).unwrap();
    let ended = server.stop();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(ended.output.contains("some requests did not end in time"), "{ended:?}");
}
