//! HTTP/2 on one connection, with a tower service behind it: RPC.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::transport::server::TcpConnectInfo;

use crate::listen::activity::Activity;
use crate::listen::stream::Watched;
use crate::listen::{Ends, Protocol, drive};

/// How many requests one connection may have in flight.
const STREAMS_MAX: u32 = 256;
/// How many streams a client may open and reset before the connection is closed: "rapid reset", CVE-2023-44487.
const RESET_STREAMS_MAX: usize = 20;
/// How many streams we may have to reset for a client's mistakes before the connection is closed, CVE-2025-8671.
const ERROR_STREAMS_MAX: usize = 1024;
/// How often a client is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// How long it may take to say so.
const PING_DEADLINE: Duration = Duration::from_secs(10);
/// How many bytes of one answer wait for a client that does not read.
const SEND_BUFFER_BYTES_MAX: usize = 1 << 20;

/// HTTP/2 with a tower service.
#[derive(Debug)]
pub(crate) struct Http2<S> {
    http: http2::Builder<TokioExecutor>,
    service: S,
    deadline: Duration,
}

impl<S> Http2<S> {
    /// Serves a service; a request's header may have so many bytes, and its answer must begin within the deadline.
    pub(crate) fn new(service: S, header_bytes_max: usize, deadline: Duration) -> Self {
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_pending_accept_reset_streams(RESET_STREAMS_MAX)
            .max_local_error_reset_streams(ERROR_STREAMS_MAX)
            .max_header_list_size(u32::try_from(header_bytes_max).unwrap_or(u32::MAX))
            .max_send_buf_size(SEND_BUFFER_BYTES_MAX)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_DEADLINE);
        Self { http, service, deadline }
    }
}

impl<S> Protocol for Http2<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    const ALPN: &[u8] = b"h2";
    const MULTIPLEXED: bool = true;

    fn connection(
        self: Arc<Self>,
        stream: Watched,
        ends: Ends,
        activity: Arc<Activity>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (service, seen, deadline) = (self.service.clone(), activity.clone(), self.deadline);
        let info = TcpConnectInfo { local_addr: Some(ends.local), remote_addr: Some(ends.remote) };
        let certificate = ends.certificate;
        let service = service_fn(move |request: Request<Incoming>| {
            let in_flight = InFlight::new(seen.clone());
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(info.clone());
            if let Some(certificate) = &certificate {
                request.extensions_mut().insert(certificate.clone());
            }
            let mut service = service.clone();
            async move {
                let answer = async {
                    poll_fn(|cx| service.poll_ready(cx)).await?;
                    service.call(request).await
                };
                let response = match tokio::time::timeout(deadline, answer).await {
                    Ok(response) => response?,
                    Err(_) => Status::deadline_exceeded(
                        "the server did not answer in time (request_deadline); a write may or may not have happened",
                    )
                    .into_http(),
                };
                Ok::<_, Infallible>(response.map(|body| Answer { body, _in_flight: in_flight }))
            }
        });
        let connection = self.http.serve_connection(TokioIo::new(stream), service);
        async move {
            drive(Box::pin(connection), &activity, |connection| connection.graceful_shutdown()).await;
        }
    }
}

/// A request, until its answer has been written or given up.
struct InFlight(Arc<Activity>);

impl InFlight {
    fn new(activity: Arc<Activity>) -> Self {
        activity.stream_opened();
        Self(activity)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.stream_ended();
    }
}

/// The body of an answer.
struct Answer {
    body: Body,
    _in_flight: InFlight,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
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
    use std::sync::Arc;
    use std::time::Duration;

    use futures::future::BoxFuture;
    use tokio::sync::Notify;
    use tokio::task::JoinHandle;
    use tokio_util::sync::CancellationToken;
    use tonic::service::Routes;
    use tonic::transport::Endpoint;
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;

    use super::*;
    use crate::config::Config;
    use crate::duration::ConfigDuration;
    use crate::listen::{Front, serve_http2};

    /// A door with a service behind it, and what stops it.
    async fn open<S>(
        service: S,
        request_deadline: Duration,
    ) -> (String, CancellationToken, JoinHandle<anyhow::Result<()>>)
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
            + Clone
            + Send
            + Sync
            + 'static,
    {
        let request_deadline = ConfigDuration(request_deadline);
        let front = Front::new(&Config { request_deadline, ..Config::default() }).unwrap();
        let door = front.bind("127.0.0.1:0".parse().unwrap(), "--grpc-addr").await.unwrap();
        let url = door.url();
        let stop = CancellationToken::new();
        (url, stop.clone(), tokio::spawn(serve_http2(door, service, stop)))
    }

    async fn client(url: &str) -> Result<HealthClient<tonic::transport::Channel>, tonic::transport::Error> {
        Endpoint::from_shared(url.to_owned()).unwrap().connect().await.map(HealthClient::new)
    }

    fn request() -> HealthCheckRequest {
        HealthCheckRequest { service: String::new() }
    }

    /// A service whose answer, a status of its own, waits for a sign.
    #[derive(Debug, Clone, Default)]
    struct Slow {
        called: Arc<Notify>,
        sign: Arc<Notify>,
    }

    impl Service<Request<Body>> for Slow {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

        fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _request: Request<Body>) -> Self::Future {
            let slow = self.clone();
            Box::pin(async move {
                slow.called.notify_one();
                slow.sign.notified().await;
                Ok(Status::already_exists("the answer").into_http())
            })
        }
    }

    #[tokio::test]
    async fn a_tonic_service_answers_calls_and_streams() {
        let (_, health) = tonic_health::server::health_reporter();
        let (url, stop, served) = open(Routes::new(health), Duration::from_secs(30)).await;
        let mut client = client(&url).await.unwrap();
        assert_eq!(client.check(request()).await.unwrap().into_inner().status, 1);
        let mut watching = client.watch(request()).await.unwrap().into_inner();
        assert_eq!(watching.message().await.unwrap().unwrap().status, 1);
        drop(watching);
        stop.cancel();
        served.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_call_in_flight_is_answered_while_the_door_closes() {
        let slow = Slow::default();
        let (url, stop, served) = open(slow.clone(), Duration::from_secs(30)).await;
        let mut calling = client(&url).await.unwrap();
        let call = tokio::spawn(async move { calling.check(request()).await });
        slow.called.notified().await;
        stop.cancel();
        while client(&url).await.is_ok() {}
        slow.sign.notify_one();
        assert_eq!(call.await.unwrap().unwrap_err().message(), "the answer");
        served.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_call_that_takes_too_long_is_answered_so() {
        let (url, _stop, _served) = open(Slow::default(), Duration::from_millis(250)).await;
        let status = client(&url).await.unwrap().check(request()).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
        assert!(status.message().contains("request_deadline"), "{status}");
    }
}
