//! Spans for a collector, by OTLP over gRPC, where the configuration names one.
//!
//! They leave in batches from a thread of their own: a collector that is slow or gone costs spans, never a request.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracerProvider, Tracer};

use crate::trace;

/// The variable that every program with OpenTelemetry takes.
const STANDARD_VARIABLE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// How long a batch may take to be sent.
const SEND_DEADLINE: Duration = Duration::from_secs(5);
/// How long the last batch may take when the process ends.
const FLUSH_DEADLINE: Duration = Duration::from_secs(2);
/// Who sends the spans, unless `OTEL_SERVICE_NAME` says otherwise.
const SERVICE: &str = "deltadb";

/// What sends spans; it is to be stopped, or the last ones are lost.
#[derive(Debug)]
pub(crate) struct Otlp(SdkTracerProvider);

impl Otlp {
    /// Starts to send to this endpoint, else to that of the standard variable; `None` where neither is given. Called in a
    /// runtime.
    pub(crate) fn start(endpoint: Option<&str>) -> Result<Option<Self>> {
        let standard = std::env::var(STANDARD_VARIABLE).ok().filter(|endpoint| !endpoint.is_empty());
        let Some(endpoint) = endpoint.map(str::to_owned).or(standard) else { return Ok(None) };
        let is_plain = url::Url::parse(&endpoint).is_ok_and(|url| url.scheme() == "http" && url.has_host());
        if !is_plain {
            bail!(
                "--otlp-endpoint: {endpoint:?} is not like http://127.0.0.1:4317; a collector on this machine can send on by TLS"
            );
        }
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).with_timeout(SEND_DEADLINE);
        let exporter = exporter.build().context("cannot send spans to --otlp-endpoint")?;
        let mut resource = Resource::builder();
        if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
            resource = resource.with_service_name(SERVICE);
        }
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build();
        trace::export();
        Ok(Some(Self(provider)))
    }

    /// What makes spans.
    pub(crate) fn tracer(&self) -> Tracer {
        self.0.tracer(SERVICE)
    }

    /// Sends what is left.
    pub(crate) fn stop(self) {
        if let Err(error) = self.0.shutdown_with_timeout(FLUSH_DEADLINE) {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}
