//! HTTP/1.1 on one connection, with poem behind it.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderValue, header};
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use poem::Endpoint;
use poem::web::{LocalAddr, RemoteAddr};

use crate::listen::activity::{Activity, Phase};
use crate::listen::stream::Watched;
use crate::listen::{Ends, Protocol, drive};
use crate::rest::refusal;

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
        http.max_header_size(header_bytes_max);
        Self { http, endpoint: Arc::new(endpoint) }
    }
}

impl<E: Endpoint<Output = poem::Response> + 'static> Protocol for Http1<E> {
    const MULTIPLEXED: bool = false;

    fn connection(
        &self,
        stream: Watched,
        ends: Ends,
        activity: Arc<Activity>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (endpoint, seen) = (self.endpoint.clone(), activity.clone());
        let (local, remote) = (LocalAddr(ends.local.into()), RemoteAddr(ends.remote.into()));
        let service = service_fn(move |request: http::Request<Incoming>| {
            let (parts, body) = request.into_parts();
            let is_read = parts.method.is_safe();
            let body = received(body, &seen);
            let parts = (parts, local.clone(), remote.clone(), ends.scheme.clone()).into();
            let (endpoint, seen) = (endpoint.clone(), seen.clone());
            async move {
                let answer = endpoint.get_response(poem::Request::from_parts(parts, body));
                let response = in_time(answer, &seen, is_read).await;
                Ok::<_, Infallible>(answered(response, seen))
            }
        });
        let connection = self.http.serve_connection(TokioIo::new(stream), service);
        drive(connection, activity, |connection| connection.graceful_shutdown())
    }
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
async fn in_time(answer: impl Future<Output = poem::Response>, activity: &Activity, is_read: bool) -> poem::Response {
    let mut answer = pin!(answer);
    std::future::poll_fn(|cx| match answer.as_mut().poll(cx) {
        // The order wakes the connection's task, and that polls this.
        Poll::Pending if activity.is_overdue() => Poll::Ready(match activity.phase() {
            Phase::Body => refusal::slow_body(),
            _ => refusal::overdue(is_read),
        }),
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
