//! A collector of spans: OTLP over gRPC, which keeps what it gets.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::task::JoinHandle;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// It ends when it is dropped.
pub(super) struct Collector {
    address: SocketAddr,
    kept: Kept,
    serving: JoinHandle<()>,
}

/// What came: the spans, and everything about their senders as text.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<(Vec<Span>, String)>>);

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut kept = self.0.lock().unwrap();
        for of_resource in request.into_inner().resource_spans {
            kept.1.push_str(&format!("{of_resource:?}"));
            kept.0.extend(of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
        Ok(Response::new(ExportTraceServiceResponse { partial_success: None }))
    }
}

impl Collector {
    pub(super) fn start() -> Self {
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let (address, kept) = (incoming.local_addr().unwrap(), Kept::default());
        let service = TraceServiceServer::new(kept.clone());
        let serving = tokio::spawn(async move {
            Server::builder().add_service(service).serve_with_incoming(incoming).await.unwrap();
        });
        Self { address, kept, serving }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every span that came.
    pub(super) fn spans(&self) -> Vec<Span> {
        self.kept.0.lock().unwrap().0.clone()
    }

    /// Everything that came.
    pub(super) fn text(&self) -> String {
        self.kept.0.lock().unwrap().1.clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
