//! HTTP/1.1 on one connection, with poem behind it.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderValue, Version, header};
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{HttpService as Service, service_fn};
use hyper_util::rt::TokioIo;
use poem::Endpoint;
use poem::web::{LocalAddr, RemoteAddr};
use tokio::io::AsyncWriteExt;

use crate::listen::activity::{Activity, Phase};
use crate::listen::stream::Watched;
use crate::listen::{Ends, Protocol, drive};
use crate::rest::refusal;

/// How much of a request hyper reads ahead at most; a header that may be larger is given the room.
const BUFFER_BYTES_MAX: usize = 256 << 10;

/// HTTP/1.1 with an endpoint of poem's.
#[derive(Debug)]
pub(crate) struct Http1<E> {
    http: http1::Builder,
    endpoint: Arc<E>,
}

impl<E: Endpoint<Output = poem::Response> + 'static> Http1<E> {
    /// Serves an endpoint; a request's header may have so many bytes.
    ///
    /// It may have 100 fields: hyper's limit, which is left alone because room for them is then on the stack.
    pub(crate) fn new(endpoint: E, header_bytes_max: usize) -> Self {
        let mut http = http1::Builder::new();
        http.max_header_size(header_bytes_max).max_buf_size(BUFFER_BYTES_MAX.max(header_bytes_max));
        Self { http, endpoint: Arc::new(endpoint) }
    }
}

impl<E: Endpoint<Output = poem::Response> + 'static> Protocol for Http1<E> {
    const ALPN: &[u8] = b"http/1.1";
    const MULTIPLEXED: bool = false;

    async fn connection(self: Arc<Self>, mut stream: Watched, ends: Ends, activity: Arc<Activity>) {
        // hyper has 16 KiB of buffers for a connection: it comes into being with a request, and ends when there are no
        // more for a moment.
        while poll_fn(|cx| stream.poll_wait(cx)).await {
            let connection = self.http.serve_connection(TokioIo::new(stream), self.service(&ends, &activity));
            let driven = drive(Box::pin(connection), &activity, |connection| connection.graceful_shutdown()).await;
            let Some(resting) = driven else { return };
            let parts = Pin::into_inner(resting).into_parts();
            stream = parts.io.into_inner().with_unread(parts.read_buf);
        }
        drop(stream.shutdown().await);
    }
}

impl<E: Endpoint<Output = poem::Response> + 'static> Http1<E> {
    /// What hyper gives the requests of a connection to.
    fn service(
        &self,
        ends: &Ends,
        activity: &Arc<Activity>,
    ) -> impl Service<Incoming, ResBody = Answer, Error = Infallible, Future: Send> {
        let (endpoint, seen, scheme) = (self.endpoint.clone(), activity.clone(), ends.scheme.clone());
        let (local, remote) = (LocalAddr(ends.local.into()), RemoteAddr(ends.remote.into()));
        service_fn(move |request: http::Request<Incoming>| {
            let (parts, body) = request.into_parts();
            let is_read = parts.method.is_safe();
            let body = received(body, &seen);
            let refused = is_ambiguous(&parts).then(refusal::ambiguous);
            let parts = (parts, local.clone(), remote.clone(), scheme.clone()).into();
            let (endpoint, seen) = (endpoint.clone(), seen.clone());
            // hyper would keep room for it on every connection, used or not.
            Box::pin(async move {
                let response = match refused {
                    Some(refused) => refused,
                    None => {
                        // Pinned here, and not called through the `Arc`: each layer would move the request once more.
                        let answer = pin!(E::call(&endpoint, poem::Request::from_parts(parts, body)));
                        in_time(answer, &seen, is_read).await.unwrap_or_else(poem::Error::into_response)
                    }
                };
                Ok::<_, Infallible>(answered(response, seen))
            })
        })
    }
}

/// Whether somebody else could read the request in another way than hyper does (RFC 9112, sections 3.2 and 6.1).
fn is_ambiguous(parts: &http::request::Parts) -> bool {
    let hosts = parts.headers.get_all(header::HOST).iter().count();
    let mut codings = parts.headers.get_all(header::TRANSFER_ENCODING).iter();
    let chunked = codings.next().is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    hosts > 1 || (hosts == 0 && parts.version == Version::HTTP_11) || !chunked || codings.next().is_some()
}

/// The body of a request, counted as it comes.
fn received(body: Incoming, activity: &Arc<Activity>) -> poem::Body {
    let has_body = !body.is_end_stream();
    activity.request(has_body);
    match has_body {
        true => BoxBody::new(Counted { body, activity: activity.clone() }).into(),
        false => poem::Body::empty(),
    }
}

/// Waits for an answer until the watchdog says that it is too late.
///
/// The handler ends then; a write that it has begun does not, because core runs it in a task of its own.
async fn in_time(
    mut answer: Pin<&mut impl Future<Output = poem::Result<poem::Response>>>,
    activity: &Activity,
    is_read: bool,
) -> poem::Result<poem::Response> {
    poll_fn(|cx| match answer.as_mut().poll(cx) {
        // The order wakes the connection's task, and that polls this.
        Poll::Pending if activity.is_overdue() => Poll::Ready(Ok(match activity.phase() {
            Phase::Body => refusal::slow_body(),
            _ => refusal::overdue(is_read),
        })),
        polled => polled,
    })
    .await
}

/// An answer on its way out.
fn answered(response: poem::Response, activity: Arc<Activity>) -> http::Response<Answer> {
    let mut response = http::Response::<BoxBody<Bytes, io::Error>>::from(response);
    // Nobody will read the rest of the body, so nothing can follow it.
    if activity.phase() == Phase::Body || activity.is_overdue() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    activity.answer();
    response.map(|body| Answer { body, activity })
}

/// A request's body that tells how much of it came.
struct Counted {
    body: Incoming,
    activity: Arc<Activity>,
}

impl Body for Counted {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => this.activity.body(frame.data_ref().map_or(0, Bytes::len)),
            Some(Err(_)) => {}
            None => this.activity.body_ended(),
        }
        Poll::Ready(frame.map(|frame| frame.map_err(io::Error::other)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer, which hyper drops once it has all of it.
struct Answer {
    body: BoxBody<Bytes, io::Error>,
    activity: Arc<Activity>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.activity.answered();
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio_util::sync::CancellationToken;

    use crate::config::Config;
    use crate::duration::ConfigDuration;
    use crate::listen::{Front, serve_http1};

    /// An endpoint that never answers.
    #[poem::handler]
    async fn never() -> &'static str {
        std::future::pending().await
    }

    #[tokio::test]
    async fn a_request_that_is_not_answered_in_time_is_told_what_that_means() {
        let request_deadline = ConfigDuration(Duration::from_millis(250));
        let front = Front::new(&Config { request_deadline, ..Config::default() }).unwrap();
        let door = front.bind("127.0.0.1:0".parse().unwrap(), "--rest-addr").await.unwrap();
        let address = door.local;
        tokio::spawn(serve_http1(door, never, CancellationToken::new()));
        let cases = [
            ("GET", "unavailable", "retry-after"),
            ("PUT", "outcome_unknown", "read before you try again"),
            ("DELETE", "outcome_unknown", "read before you try again"),
        ];
        for (method, code, part) in cases {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
            for part in [code, part, "connection: close", "application/problem+json"] {
                assert!(answer.contains(part), "{method}: {answer}");
            }
        }
    }
}
