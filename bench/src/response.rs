//! As much of HTTP/1.1 responses as a generator needs: the status, and where the next response begins.

use anyhow::{Context, Result};

/// A response that is wholly there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Where the body begins.
    pub(crate) body_at: usize,
    /// Head and body.
    pub(crate) bytes: usize,
}

/// Reads a response at the start of what was received; `None` while a part of it is missing.
pub(crate) fn parse(received: &[u8]) -> Result<Option<Response>> {
    let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let body_at = end + 4;
    let mut lines = received.get(..end).unwrap_or_default().split(|&byte| byte == b'\n');
    let status = lines.next().and_then(|line| number(line.get(9..12)?)).context("the answer is not HTTP")?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_at_checked("content-length:".len())?;
        name.eq_ignore_ascii_case(b"content-length:").then(|| number(value)).flatten()
    });
    let bytes = body_at + length.context("the answer has no Content-Length")?;
    let status = u16::try_from(status)?;
    Ok((received.len() >= bytes).then_some(Response { status, body_at, bytes }))
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_there_when_its_body_is() {
        let whole = b"HTTP/1.1 201 Created\r\nEtag: \"1\"\r\ncontent-LENGTH: 4\r\n\r\nbody";
        for cut in 0..whole.len() {
            assert_eq!(parse(&whole[..cut]).unwrap(), None, "{cut}");
        }
        let response = Response { status: 201, body_at: whole.len() - 4, bytes: whole.len() };
        assert_eq!(parse(whole).unwrap(), Some(response));
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        assert!(parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
        assert!(parse(b"garbage\r\n\r\n").is_err());
    }
}
