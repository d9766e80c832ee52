//! What is the same for every call.
//!
//! The credential is looked at before the message is read. A handler's panic fails its own call and nothing else. What
//! tonic itself refuses, a message that is too large or cannot be read, gets the status that the table of errors has.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use delta_core::auth::unauthorized;
use delta_core::{Error, Result};
use futures::FutureExt;
use http::{HeaderMap, Request, Response, StatusCode, header};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::transport::server::TcpConnectInfo;
use tonic::{Code, Status};
use tracing::{Instrument, Span};

use crate::app::App;
use crate::cluster::MESSAGE_BYTES_MAX;
use crate::cluster::main::Call;
use crate::grpc::Skin;
use crate::grpc::api::delta::v1::cluster_server::{ClusterServer, SERVICE_NAME as CLUSTER};
use crate::grpc::api::delta::v1::databases_server::{DatabasesServer, SERVICE_NAME as DATABASES};
use crate::grpc::api::delta::v1::entities_server::{EntitiesServer, SERVICE_NAME as ENTITIES};
use crate::grpc::api::delta::v1::schemas_server::{SERVICE_NAME as SCHEMAS, SchemasServer};
use crate::grpc::api::deltadb::main_worker_server::{MainWorkerServer, SERVICE_NAME as MAIN_WORKER};
use crate::grpc::open::Open;
use crate::grpc::status::{deadline_exceeded, status};
use crate::listen::peer::PeerCertificate;
use crate::trace;

/// The services that need a credential.
pub(crate) const SERVICES: [&str; 5] = [ENTITIES, DATABASES, SCHEMAS, MAIN_WORKER, CLUSTER];
/// Their calls that need none.
const PUBLIC: [&str; 2] = ["/delta.v1.Schemas/List", "/delta.v1.Schemas/Get"];
/// A call whose message has a field for the credential.
const PROCESS: &str = "/deltadb.MainWorker/Process";
/// The calls of workers, which need a cluster's credential where there is a cluster.
const SUBSCRIBE: &str = "/deltadb.MainWorker/Subscribe";
const WORK: &str = "/delta.v1.Cluster/Work";
/// The read that may be answered from memory.
const READS: [&str; 1] = ["/delta.v1.Entities/Get"];
/// The longest number of a deadline, in digits.
const TIMEOUT_DIGITS_MAX: usize = 8;

/// Every service of the port.
#[derive(Clone)]
pub(crate) struct Grpc(Arc<Services>);

struct Services {
    app: Arc<App>,
    message_bytes_max: usize,
    entities: EntitiesServer<Skin>,
    databases: DatabasesServer<Skin>,
    schemas: SchemasServer<Skin>,
    main_worker: MainWorkerServer<Skin>,
    cluster: ClusterServer<Skin>,
    /// What needs no credential: health and reflection; and the answer for what there is not.
    open: Open,
}

impl Grpc {
    /// The services of an app beside open ones; a message may have so many bytes.
    pub(crate) fn new(app: Arc<App>, open: Open, message_bytes_max: usize) -> Self {
        let skin = || Skin(app.clone());
        Self(Arc::new(Services {
            entities: EntitiesServer::new(skin()).max_decoding_message_size(message_bytes_max),
            databases: DatabasesServer::new(skin()).max_decoding_message_size(message_bytes_max),
            schemas: SchemasServer::new(skin()).max_decoding_message_size(message_bytes_max),
            main_worker: MainWorkerServer::new(skin()).max_decoding_message_size(message_bytes_max),
            cluster: ClusterServer::new(skin()).max_decoding_message_size(MESSAGE_BYTES_MAX),
            open,
            message_bytes_max,
            app,
        }))
    }
}

impl Service<Request<Body>> for Grpc {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let services = self.0.clone();
        Box::pin(async move {
            let is_grpc = |value: &http::HeaderValue| value.as_bytes().starts_with(b"application/grpc");
            if !request.headers().get(header::CONTENT_TYPE).is_some_and(is_grpc) {
                let mut refused = Response::new(Body::empty());
                *refused.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
                return Ok(refused);
            }
            let span = trace::request(request.headers(), READS.contains(&request.uri().path()));
            Ok(match span.is_none() {
                true => services.counted(request, &span).await,
                false => services.counted(request, &span).instrument(span.clone()).await,
            })
        })
    }
}

/// Answers within the time that the caller gave, if it gave one. A fault in one call must not take its connection's other
/// calls with it.
async fn guarded(answer: impl Future<Output = Response<Body>>, timeout: Option<Duration>) -> Response<Body> {
    let answer = AssertUnwindSafe(answer).catch_unwind();
    let answered = match timeout {
        None => Ok(answer.await),
        Some(timeout) => tokio::time::timeout(timeout, answer).await,
    };
    match answered {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => status(&Error::internal("a call's handler panicked")).into_http(),
        Err(_) => deadline_exceeded().into_http(),
    }
}

impl Services {
    /// The answer to a call, which is counted.
    async fn counted(&self, request: Request<Body>, span: &Span) -> Response<Body> {
        let in_flight = self.app.calls.begin(request.uri().path());
        let answer = match timeout(request.headers()) {
            Ok(timeout) => guarded(self.answer(request), timeout).await,
            Err(error) => status(&error).into_http(),
        };
        let code = code(answer.headers());
        trace::answered(span, in_flight.method(), ("rpc.grpc.status_code", i32::from(code).into()), is_failure(code));
        in_flight.answered(code);
        answer
    }

    async fn answer(&self, mut request: Request<Body>) -> Response<Body> {
        let path = request.uri().path();
        let named = path.split('/').nth(1).unwrap_or_default();
        let Some(service) = SERVICES.into_iter().find(|service| *service == named) else {
            return self.open.call(request).await;
        };
        if !PUBLIC.contains(&path)
            && let Err(error) = self.authenticate(&mut request).await
        {
            return status(&error).into_http();
        }
        let answered = match service {
            ENTITIES => self.entities.clone().call(request).await,
            DATABASES => self.databases.clone().call(request).await,
            SCHEMAS => self.schemas.clone().call(request).await,
            CLUSTER => self.cluster.clone().call(request).await,
            _ => self.main_worker.clone().call(request).await,
        };
        self.in_our_words(answered.unwrap_or_else(|never| match never {}))
    }

    /// Finds out who is asking, and leaves it with the request.
    async fn authenticate(&self, request: &mut Request<Body>) -> Result<()> {
        let peer = request.extensions().get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr);
        let subscribes = request.uri().path() == SUBSCRIBE;
        if let Some(cluster) = self.app.cluster.as_ref().filter(|_| subscribes || request.uri().path() == WORK) {
            let credential = bearer(request.headers())?;
            let from = self.app.client(peer, request.headers());
            let certificate = request.extensions().get::<PeerCertificate>();
            let call = Call { subscribes, bearer: credential, certificate, peer: peer.map(|peer| peer.ip()) };
            let admitted = self.app.judged(from, cluster.admit(&call))?;
            request.extensions_mut().insert(admitted);
            return Ok(());
        }
        let Some(credential) = bearer(request.headers())? else {
            return if request.uri().path() == PROCESS { Ok(()) } else { Err(missing_credential()) };
        };
        let who = self.app.authenticate(credential, self.app.client(peer, request.headers())).await?;
        request.extensions_mut().insert(who);
        Ok(())
    }

    /// What tonic refused on its own, as an error of ours; handlers' statuses have details.
    fn in_our_words(&self, response: Response<Body>) -> Response<Body> {
        let headers = response.headers();
        let code = code(headers);
        if code == Code::Ok || headers.contains_key(Status::GRPC_STATUS_DETAILS) {
            return response;
        }
        let error = match code {
            Code::OutOfRange => Error::too_large(format!(
                "the message is larger than {} bytes (grpc_max_recv_msg_size); send several smaller ones",
                self.message_bytes_max
            )),
            Code::Internal => Error::invalid("bad_message", "the message is not what this method takes; see proto/"),
            _ => return response,
        };
        status(&error).into_http()
    }
}

/// The code in an answer's headers; an answer that has none there is one that goes well.
fn code(headers: &HeaderMap) -> Code {
    headers.get(Status::GRPC_STATUS).map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()))
}

/// Whether a code is a fault of the server's.
fn is_failure(code: Code) -> bool {
    matches!(code, Code::Internal | Code::Unavailable | Code::Unknown | Code::DeadlineExceeded)
}

/// The bearer token of a call's metadata; `None` if there is no credential of any kind.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    let token = text.and_then(|text| text.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    match token.map(|(_, token)| token.trim_start_matches(' ')) {
        Some(token) if !token.is_empty() => Ok(Some(token)),
        _ => Err(unauthorized("the metadata's authorization is not of the form \"Bearer KEY\"")),
    }
}

/// A call without a credential.
pub(crate) fn missing_credential() -> Error {
    unauthorized("this needs a credential: send the metadata authorization: Bearer KEY")
}

/// How long the caller waits: at most eight digits and a unit.
fn timeout(headers: &HeaderMap) -> Result<Option<Duration>> {
    let Some(value) = headers.get("grpc-timeout") else { return Ok(None) };
    let parsed = value.to_str().ok().and_then(|text| {
        let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let plain = digits.len() <= TIMEOUT_DIGITS_MAX && digits.bytes().all(|byte| byte.is_ascii_digit());
        let count: u64 = if plain { digits.parse().ok()? } else { return None };
        match unit {
            "H" => Some(Duration::from_secs(count * 3_600)),
            "M" => Some(Duration::from_secs(count * 60)),
            "S" => Some(Duration::from_secs(count)),
            "m" => Some(Duration::from_millis(count)),
            "u" => Some(Duration::from_micros(count)),
            "n" => Some(Duration::from_nanos(count)),
            _ => None,
        }
    });
    match parsed {
        Some(timeout) => Ok(Some(timeout)),
        None => {
            Err(Error::invalid("invalid_timeout", "grpc-timeout is up to eight digits and one of H, M, S, m, u, n"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(http::HeaderName::from_static(name), value.parse().unwrap())])
    }

    #[tokio::test]
    async fn a_panic_and_a_deadline_end_their_own_call() {
        let code = |response: Response<Body>| Status::from_header_map(response.headers()).unwrap().code();
        let panics = guarded(async { panic!("a fault") }, None);
        assert_eq!(code(panics.await), Code::Internal);
        let sleeps = guarded(std::future::pending(), Some(Duration::ZERO));
        assert_eq!(code(sleeps.await), Code::DeadlineExceeded);
        let fine = guarded(async { Response::new(Body::empty()) }, Some(Duration::from_secs(60)));
        assert_eq!(fine.await.status(), StatusCode::OK);
    }

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        let read = |text| timeout(&with("grpc-timeout", text));
        assert_eq!(timeout(&HeaderMap::new()).unwrap(), None);
        for (text, millis) in [("1H", 3_600_000), ("2M", 120_000), ("3S", 3_000), ("4m", 4), ("99999999n", 99)] {
            assert_eq!(read(text).unwrap().unwrap().as_millis(), millis, "{text}");
        }
        for bad in ["", "1", "S", "-1S", "+1S", "999999999S", "1x", "1 S"] {
            assert_eq!(read(bad).unwrap_err().code(), "invalid_timeout", "{bad}");
        }
    }

    #[test]
    fn a_credential_is_one_bearer_token() {
        assert_eq!(bearer(&HeaderMap::new()).unwrap(), None);
        assert_eq!(bearer(&with("authorization", "bEARER  k")).unwrap(), Some("k"));
        for bad in ["", "Bearer", "Bearer ", "Basic YTpi", "k"] {
            assert_eq!(bearer(&with("authorization", bad)).unwrap_err().code(), "unauthorized", "{bad}");
        }
        let mut two = with("authorization", "Bearer a");
        two.append("authorization", "Bearer b".parse().unwrap());
        assert!(bearer(&two).is_err());
    }
}
