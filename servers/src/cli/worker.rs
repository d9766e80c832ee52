//! What `deltadb worker` takes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

pub(crate) const HELP: &str = "\
A worker dials its main and opens no port but one for its health, and one for metrics where it is asked to. It gets the
store's keys from the main, once it has shown the join token, or a certificate.

Examples:
  deltadb worker --dev --shared-fs ./shared/db --worker-id w1
  deltadb worker --main-addr 127.0.0.1:50051 --shared-fs ./shared/db --join-token-file ./join.token
  deltadb worker --main-addr 127.0.0.1:50051,127.0.0.1:50052 --shared-fs ./shared/db --join-token-file ./join.token
  deltadb worker --main-addr https://main.example:50051 --shared-fs /mnt/db --worker-id w1 \\
    --cluster-ca ca.pem --cluster-cert w1.pem --cluster-key w1.key";

/// Arguments of `worker`.
#[derive(Debug, Default, Args)]
pub(crate) struct WorkerArgs {
    /// Read settings from this TOML file
    #[arg(long, value_name = "FILE", env = "DELTADB_CONFIG")]
    config: Option<PathBuf>,
    /// Work for a `deltadb main --dev` of the same user, whose join token it finds by itself
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    dev: Option<bool>,
    /// Where the main's gRPC listens: host:port on this machine, https://host:port on another; again or after a comma for
    /// each further main of the store [default: 127.0.0.1:50051]
    #[arg(long, value_name = "ADDR")]
    main_addr: Vec<String>,
    /// How the worker is called, by its main and in what it writes [default: the host's name]
    #[arg(long, value_name = "ID")]
    worker_id: Option<String>,
    /// The file with the join token that the main was given
    #[arg(long, value_name = "FILE")]
    join_token_file: Option<PathBuf>,
    /// The certificate authority that the main's certificate is of, PEM
    #[arg(long, value_name = "FILE")]
    cluster_ca: Option<PathBuf>,
    /// The worker's certificate and its chain, PEM, shown in the place of the join token; its SAN is the worker's id
    #[arg(long, value_name = "FILE")]
    cluster_cert: Option<PathBuf>,
    /// The private key of --cluster-cert, PEM
    #[arg(long, value_name = "FILE")]
    cluster_key: Option<PathBuf>,
    /// Get the keys from another machine without a certificate or TLS: whoever can listen may have them
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    insecure_cluster: Option<bool>,
    /// Where gRPC listens, for health only [default: 127.0.0.1:0]
    #[arg(long, value_name = "ADDR")]
    grpc_addr: Option<String>,
    /// The directory of the store that the main has open [default: ./shared/db]
    #[arg(long, value_name = "DIR")]
    shared_fs: Option<PathBuf>,
    /// The storage plug-in [default: fs]
    #[arg(long, value_name = "NAME")]
    storage: Option<String>,
    /// When fs writes the sidecars for people and tools: lazy, sync or off [default: lazy]
    #[arg(long, value_name = "WHEN")]
    sidecar: Option<String>,
    /// Where fs looks for schemas [default: templates in the directory of --shared-fs]
    #[arg(long, value_name = "DIR")]
    templates_dir: Option<PathBuf>,
    /// The validator plug-in [default: jsonschema]
    #[arg(long, value_name = "NAME")]
    validator: Option<String>,
    /// Memory for opened documents, in bytes [default: 268435456]
    #[arg(long, value_name = "BYTES")]
    cache_bytes: Option<u64>,
    /// The most documents held in memory [default: as --cache-bytes allows]
    #[arg(long, value_name = "COUNT")]
    cache_size: Option<u64>,
    /// How long a document is held in memory, 0 for as long as it fits [default: 0]
    #[arg(long, value_name = "DURATION")]
    cache_ttl: Option<String>,
    /// How long a document is served from memory without asking the storage [default: 0]
    #[arg(long, value_name = "DURATION")]
    cache_max_stale: Option<String>,
    /// Where metrics are served, for Prometheus; without it they are not
    #[arg(long, value_name = "ADDR")]
    metrics_addr: Option<String>,
    /// Where spans are sent by OTLP over gRPC, like http://127.0.0.1:4317; without it OTEL_EXPORTER_OTLP_ENDPOINT counts
    #[arg(long, value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// How logs are written: text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl WorkerArgs {
    /// The fields that were given, by their names in the configuration.
    pub(crate) fn split(self) -> (Option<PathBuf>, BTreeMap<String, Value>) {
        let path = |path: Option<PathBuf>| path.map(|path| Value::from(path.to_string_lossy().into_owned()));
        let fields = [
            ("dev", self.dev.map(Value::from)),
            ("main_addr", (!self.main_addr.is_empty()).then(|| Value::from(self.main_addr.join(",")))),
            ("worker_id", self.worker_id.map(Value::from)),
            ("join_token_file", path(self.join_token_file)),
            ("cluster_ca", path(self.cluster_ca)),
            ("cluster_cert", path(self.cluster_cert)),
            ("cluster_key", path(self.cluster_key)),
            ("insecure_cluster", self.insecure_cluster.map(Value::from)),
            ("grpc_addr", self.grpc_addr.map(Value::from)),
            ("shared_fs", path(self.shared_fs)),
            ("storage", self.storage.map(Value::from)),
            ("sidecar", self.sidecar.map(Value::from)),
            ("templates_dir", path(self.templates_dir)),
            ("validator", self.validator.map(Value::from)),
            ("cache_bytes", self.cache_bytes.map(Value::from)),
            ("cache_size", self.cache_size.map(Value::from)),
            ("cache_ttl", self.cache_ttl.map(Value::from)),
            ("cache_max_stale", self.cache_max_stale.map(Value::from)),
            ("metrics_addr", self.metrics_addr.map(Value::from)),
            ("otlp_endpoint", self.otlp_endpoint.map(Value::from)),
            ("log_format", self.log_format.map(Value::from)),
        ];
        (self.config, fields.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?))).collect())
    }
}
