//! What the commands take. Flags stay unset here where they were not given, so that the configuration's layers decide.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use delta_core::keys::SecretText;
use serde_json::Value;

use crate::cli::certs::{self, Certs};
use crate::cli::client::ClientCommand;
use crate::cli::offline::{FSCK_EXAMPLES, FsckArgs, MIGRATE_EXAMPLES, MigrateArgs};
use crate::cli::worker::{self, WorkerArgs};
use crate::secrets::Secrets;

/// An encrypted-at-rest JSON database.
#[derive(Debug, Parser)]
#[command(name = "deltadb", version, about = "An encrypted-at-rest JSON database", arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// A command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the database in this process: REST, gRPC, validation, encryption and storage
    #[command(after_help = SERVE_HELP)]
    Serve(Box<ServeArgs>),
    /// Run a Main Worker: REST, gRPC and the keys; Processing Workers do the rest
    #[command(after_help = MAIN_HELP)]
    Main(Box<ServeArgs>),
    /// Run a Processing Worker for a Main Worker
    #[command(after_help = worker::HELP)]
    Worker(Box<WorkerArgs>),
    /// Make an authority for development, and certificates of it for servers and workers
    #[command(subcommand, after_help = certs::EXAMPLES)]
    Certs(Certs),
    #[command(flatten)]
    Client(Box<ClientCommand>),
    /// Check every object of a store that no server has open
    #[command(after_help = FSCK_EXAMPLES)]
    Fsck(Box<FsckArgs>),
    /// Copy a store from one storage to another
    #[command(after_help = MIGRATE_EXAMPLES)]
    Migrate(Box<MigrateArgs>),
    /// List the plug-ins that are compiled in
    #[command(after_help = "Examples:\n  deltadb plugins")]
    Plugins,
    /// Print the OpenAPI document
    #[command(after_help = "Examples:\n  deltadb openapi > deltadb.json      the document to generate a client from")]
    Openapi,
    /// Print a completion script for a shell
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, or write one for each command
    #[command(after_help = MAN_EXAMPLES)]
    Man {
        /// Write every page into this directory
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  deltadb completions bash > ~/.local/share/bash-completion/completions/deltadb
  deltadb completions zsh > ~/.zfunc/_deltadb
  deltadb completions fish > ~/.config/fish/completions/deltadb.fish";

const MAN_EXAMPLES: &str = "\
Examples:
  deltadb man | man -l -                               read it
  deltadb man --dir /usr/local/share/man/man1          deltadb.1, deltadb-get.1, …";

const SERVE_HELP: &str = "\
Every flag is also a key of the TOML file (rest_addr = \"127.0.0.1:8080\") and a variable (DELTADB_REST_ADDR). Later
ones win: defaults, file, environment, command line. Go's spelling -flag=value is accepted.

Keys:
  A new store needs a master key. --master-key-file FILE makes the file if store and file are both new; without any
  key a new store generates one and prints it once, if standard output is a terminal. Keep it: without it the data
  is lost. To replace it, give the new one and --previous-key ID=HEX.

Examples:
  deltadb serve --dev
  deltadb serve --shared-fs ./shared/db
  deltadb serve --shared-fs ./shared/db --multi-main --rest-addr 127.0.0.1:8081
  deltadb serve --config /etc/deltadb.toml
  deltadb main --config /etc/deltadb.toml
  ADMIN_KEY=… MASTER_KEY=… deltadb serve --rest-addr 0.0.0.0:8080";

const MAIN_HELP: &str = "\
A main and its workers open the same store, with the storage fs or another that several processes can open. Over a store
that only one process can open, or without --join-token-file, --cluster-ca or --dev, a main does the work itself, as
`deltadb serve`.

Examples:
  deltadb main --dev --shared-fs ./shared/db
  deltadb main --shared-fs ./shared/db --join-token-file ./join.token --config /etc/deltadb.toml
  deltadb main --shared-fs /mnt/db --grpc-addr 0.0.0.0:50051 --tls-cert certs/server.pem --tls-key certs/server.key \\
    --cluster-ca certs/ca.pem";

/// Arguments of `serve`.
#[derive(Debug, Default, Args)]
pub(crate) struct ServeArgs {
    /// Read settings from this TOML file
    #[arg(long, value_name = "FILE", env = "DELTADB_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Make and keep all keys in the data directory, and serve this machine only
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    dev: Option<bool>,
    /// Where REST listens [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    rest_addr: Option<String>,
    /// Where gRPC listens [default: 127.0.0.1:50051]
    #[arg(long, value_name = "ADDR")]
    grpc_addr: Option<String>,
    /// Where data is kept [default: ./delta-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The storage plug-in [default: embedded, or fs with --shared-fs]
    #[arg(long, value_name = "NAME")]
    storage: Option<String>,
    /// Keep data in this directory, one file an entity, with the storage fs [default of fs: ./shared/db]
    #[arg(long, value_name = "DIR")]
    shared_fs: Option<PathBuf>,
    /// Let any number of processes serve the directory of --shared-fs; all of them need this flag
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    multi_main: Option<bool>,
    /// When fs writes the sidecars for people and tools: lazy, sync or off [default: lazy]
    #[arg(long, value_name = "WHEN")]
    sidecar: Option<String>,
    /// Where people put schemas, which count for the next write [default: templates in the directory of --shared-fs; with
    /// embedded, templates in the data directory if that exists at the start, and from then on for good]
    #[arg(long, value_name = "DIR")]
    templates_dir: Option<PathBuf>,
    /// The validator plug-in [default: jsonschema]
    #[arg(long, value_name = "NAME")]
    validator: Option<String>,
    /// How a new store names entities at rest: sealed or plain [default: sealed]
    #[arg(long, value_name = "MODE")]
    names: Option<String>,
    /// The file with the master key; made if store and file are both new
    #[arg(long, value_name = "FILE")]
    master_key_file: Option<PathBuf>,
    /// The master key, 64 hex digits; MASTER_KEY does not show in `ps`
    #[arg(long, value_name = "HEX")]
    master_key: Option<String>,
    /// How a new store calls its master key [default: main-key-v1]
    #[arg(long, value_name = "ID")]
    key_id: Option<String>,
    /// An earlier master key that data is still sealed under; may be repeated
    #[arg(long, value_name = "ID=HEX")]
    previous_key: Vec<String>,
    /// The file with the admin key
    #[arg(long, value_name = "FILE")]
    admin_key_file: Option<PathBuf>,
    /// The admin key; ADMIN_KEY does not show in `ps`
    #[arg(long, value_name = "KEY")]
    admin_key: Option<String>,
    /// The name this process signs its writes with [default: the host's name]
    #[arg(long, value_name = "ID")]
    worker_id: Option<String>,
    /// How long a session lasts [default: 24h]
    #[arg(long, value_name = "DURATION")]
    client_ttl: Option<String>,
    /// The file with what workers show to take part in a main's cluster, at least 16 bytes
    #[arg(long, value_name = "FILE")]
    join_token_file: Option<PathBuf>,
    /// The authority whose certificates workers of a main show over TLS, PEM; its SAN is the worker's id
    #[arg(long, value_name = "FILE")]
    cluster_ca: Option<PathBuf>,
    /// How long a worker of a main goes on before it subscribes again [default: 1h]
    #[arg(long, value_name = "DURATION")]
    worker_ttl: Option<String>,
    /// Let workers of other machines in without a certificate or TLS: whoever can listen may get the keys
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    insecure_cluster: Option<bool>,
    /// The largest body of a request, in bytes [default: 1048576]
    #[arg(long, value_name = "BYTES")]
    rest_max_body_size: Option<u64>,
    /// The largest message of a gRPC call, in bytes [default: 4194304]
    #[arg(long, value_name = "BYTES")]
    grpc_max_recv_msg_size: Option<u64>,
    /// The certificate and its chain, PEM; read again when the file changes, and on SIGHUP
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key, PEM
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// The largest header of a request, in bytes [default: 65536]
    #[arg(long, value_name = "BYTES")]
    header_bytes_max: Option<u64>,
    /// The most connections at a time, on all ports together [default: 10000]
    #[arg(long, value_name = "COUNT")]
    connections_max: Option<u64>,
    /// The most connections of one address; raise it for a proxy in front [default: 1000]
    #[arg(long, value_name = "COUNT")]
    connections_per_address_max: Option<u64>,
    /// How long the header of a request, or a TLS handshake, may take [default: 10s]
    #[arg(long, value_name = "DURATION")]
    header_deadline: Option<String>,
    /// How long a connection may wait for its next request [default: 75s]
    #[arg(long, value_name = "DURATION")]
    idle_deadline: Option<String>,
    /// How long a body may take that comes at less than 16 KiB a second [default: 10s]
    #[arg(long, value_name = "DURATION")]
    body_deadline: Option<String>,
    /// How long a request may take as a whole [default: 30s]
    #[arg(long, value_name = "DURATION")]
    request_deadline: Option<String>,
    /// How deep a document may nest [default: 128]
    #[arg(long, value_name = "LEVELS")]
    document_depth_max: Option<u64>,
    /// The most entities in one PUT [default: 1000]
    #[arg(long, value_name = "COUNT")]
    batch_entities_max: Option<u64>,
    /// Memory for opened documents, in bytes [default: 268435456]
    #[arg(long, value_name = "BYTES")]
    cache_bytes: Option<u64>,
    /// The most documents held in memory [default: as --cache-bytes allows]
    #[arg(long, value_name = "COUNT")]
    cache_size: Option<u64>,
    /// How long a document is held in memory, 0 for as long as it fits [default: 0]
    #[arg(long, value_name = "DURATION")]
    cache_ttl: Option<String>,
    /// With --multi-main: how long a document is served from memory without asking the storage [default: 0]
    #[arg(long, value_name = "DURATION")]
    cache_max_stale: Option<String>,
    /// Memory for the ordered keys of listings, in bytes [default: 268435456]
    #[arg(long, value_name = "BYTES")]
    key_index_bytes: Option<u64>,
    /// With --multi-main: how old a listing may be [default: 1s]
    #[arg(long, value_name = "DURATION")]
    list_max_stale: Option<String>,
    /// Wrong credentials that an address may send at once [default: 2000]
    #[arg(long, value_name = "COUNT")]
    auth_failure_burst: Option<u64>,
    /// Wrong credentials that an address may send each second after that [default: 10]
    #[arg(long, value_name = "COUNT")]
    auth_failure_rate: Option<u64>,
    /// Proxies whose X-Forwarded-For counts, like 10.0.0.0/8,192.0.2.7 [default: none]
    #[arg(long, value_name = "NETWORKS")]
    trusted_proxies: Option<String>,
    /// Origins whose pages may use the API, like https://app.example,https://b.example [default: none]
    #[arg(long, value_name = "ORIGINS")]
    cors_origin: Option<String>,
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

impl ServeArgs {
    /// The fields that were given, by their names in the configuration, and the secrets apart from them.
    pub(crate) fn split(self) -> (Option<PathBuf>, BTreeMap<String, Value>, Secrets) {
        let path = |path: Option<PathBuf>| path.map(|path| Value::from(path.to_string_lossy().into_owned()));
        let fields = [
            ("dev", self.dev.map(Value::from)),
            ("rest_addr", self.rest_addr.map(Value::from)),
            ("grpc_addr", self.grpc_addr.map(Value::from)),
            ("data_dir", path(self.data_dir)),
            ("storage", self.storage.map(Value::from)),
            ("shared_fs", path(self.shared_fs)),
            ("multi_main", self.multi_main.map(Value::from)),
            ("sidecar", self.sidecar.map(Value::from)),
            ("templates_dir", path(self.templates_dir)),
            ("validator", self.validator.map(Value::from)),
            ("names", self.names.map(Value::from)),
            ("master_key_file", path(self.master_key_file)),
            ("key_id", self.key_id.map(Value::from)),
            ("admin_key_file", path(self.admin_key_file)),
            ("worker_id", self.worker_id.map(Value::from)),
            ("client_ttl", self.client_ttl.map(Value::from)),
            ("join_token_file", path(self.join_token_file)),
            ("cluster_ca", path(self.cluster_ca)),
            ("worker_ttl", self.worker_ttl.map(Value::from)),
            ("insecure_cluster", self.insecure_cluster.map(Value::from)),
            ("rest_max_body_size", self.rest_max_body_size.map(Value::from)),
            ("grpc_max_recv_msg_size", self.grpc_max_recv_msg_size.map(Value::from)),
            ("tls_cert", path(self.tls_cert)),
            ("tls_key", path(self.tls_key)),
            ("header_bytes_max", self.header_bytes_max.map(Value::from)),
            ("connections_max", self.connections_max.map(Value::from)),
            ("connections_per_address_max", self.connections_per_address_max.map(Value::from)),
            ("header_deadline", self.header_deadline.map(Value::from)),
            ("idle_deadline", self.idle_deadline.map(Value::from)),
            ("body_deadline", self.body_deadline.map(Value::from)),
            ("request_deadline", self.request_deadline.map(Value::from)),
            ("document_depth_max", self.document_depth_max.map(Value::from)),
            ("batch_entities_max", self.batch_entities_max.map(Value::from)),
            ("cache_bytes", self.cache_bytes.map(Value::from)),
            ("cache_size", self.cache_size.map(Value::from)),
            ("cache_ttl", self.cache_ttl.map(Value::from)),
            ("cache_max_stale", self.cache_max_stale.map(Value::from)),
            ("key_index_bytes", self.key_index_bytes.map(Value::from)),
            ("list_max_stale", self.list_max_stale.map(Value::from)),
            ("auth_failure_burst", self.auth_failure_burst.map(Value::from)),
            ("auth_failure_rate", self.auth_failure_rate.map(Value::from)),
            ("trusted_proxies", self.trusted_proxies.map(Value::from)),
            ("cors_origin", self.cors_origin.map(Value::from)),
            ("metrics_addr", self.metrics_addr.map(Value::from)),
            ("otlp_endpoint", self.otlp_endpoint.map(Value::from)),
            ("log_format", self.log_format.map(Value::from)),
        ];
        let given = fields.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?))).collect();
        let secrets = Secrets {
            master_key: self.master_key.map(SecretText::new),
            admin_key: self.admin_key.map(SecretText::new),
            previous_keys: self.previous_key.into_iter().map(SecretText::new).collect(),
        };
        (self.config, given, secrets)
    }
}
