//! The configuration: defaults ← TOML file ← environment ← command line, later ones win.
//!
//! Every flag is also a key of the file and a variable `DELTADB_…`. Secrets never pass through here, because an error of
//! the configuration quotes values: see [`crate::secrets`].

mod storage;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use delta_core::address::NameMode;
use delta_core::cache::CacheLimits;
use delta_core::document::{DEPTH_MAX, DEPTH_MAX_CEILING};
use delta_core::engine::EngineLimits;
use delta_core::name::{KeyId, WriterId};
use delta_core::patch::PatchLimits;
use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::duration::ConfigDuration;
use crate::limiter;
use crate::proxies::Proxies;
use crate::rest::Origins;
use crate::secrets::SECRET_FIELDS;

use storage::Sidecar;

/// The beginning of every variable of the configuration.
pub(crate) const ENV_PREFIX: &str = "DELTADB_";
/// Variables that belong to the client commands.
const CLIENT_VARIABLES: [&str; 3] = ["url", "token", "ca_cert"];

/// How many mains a worker may have.
const MAINS_MAX: usize = 16;

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// A plug-in and its own settings.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Selected {
    #[serde(default)]
    pub(crate) plugin: String,
    #[serde(flatten)]
    pub(crate) settings: Map<String, Value>,
}

/// What `deltadb serve` runs with.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) rest_addr: SocketAddr,
    pub(crate) grpc_addr: SocketAddr,
    pub(crate) data_dir: PathBuf,
    pub(crate) storage: Selected,
    pub(crate) shared_fs: Option<PathBuf>,
    pub(crate) multi_main: bool,
    pub(crate) sidecar: Option<Sidecar>,
    pub(crate) templates_dir: Option<PathBuf>,
    pub(crate) validator: Selected,
    pub(crate) names: NameMode,
    pub(crate) key_id: KeyId,
    pub(crate) master_key_file: Option<PathBuf>,
    pub(crate) admin_key_file: Option<PathBuf>,
    pub(crate) worker_id: Option<WriterId>,
    pub(crate) client_ttl: ConfigDuration,
    pub(crate) rest_max_body_size: usize,
    pub(crate) grpc_max_recv_msg_size: usize,
    pub(crate) tls_cert: Option<PathBuf>,
    pub(crate) tls_key: Option<PathBuf>,
    pub(crate) header_bytes_max: usize,
    pub(crate) connections_max: usize,
    pub(crate) connections_per_address_max: usize,
    pub(crate) header_deadline: ConfigDuration,
    pub(crate) idle_deadline: ConfigDuration,
    pub(crate) body_deadline: ConfigDuration,
    pub(crate) request_deadline: ConfigDuration,
    pub(crate) document_depth_max: usize,
    pub(crate) batch_entities_max: usize,
    pub(crate) cache_bytes: usize,
    pub(crate) cache_size: Option<usize>,
    pub(crate) cache_ttl: ConfigDuration,
    pub(crate) cache_max_stale: Option<ConfigDuration>,
    pub(crate) key_index_bytes: usize,
    pub(crate) list_max_stale: Option<ConfigDuration>,
    pub(crate) auth_failure_burst: NonZeroU32,
    pub(crate) auth_failure_rate: NonZeroU32,
    pub(crate) trusted_proxies: Proxies,
    pub(crate) cors_origin: Origins,
    pub(crate) metrics_addr: Option<SocketAddr>,
    pub(crate) otlp_endpoint: Option<String>,
    pub(crate) log_format: LogFormat,
    pub(crate) dev: bool,
    pub(crate) main_addr: String,
    pub(crate) join_token_file: Option<PathBuf>,
    pub(crate) worker_ttl: ConfigDuration,
    pub(crate) cluster_ca: Option<PathBuf>,
    pub(crate) cluster_cert: Option<PathBuf>,
    pub(crate) cluster_key: Option<PathBuf>,
    pub(crate) insecure_cluster: bool,
}

impl Default for Config {
    fn default() -> Self {
        let limits = EngineLimits::default();
        let selected = |plugin: &str| Selected { plugin: plugin.into(), settings: Map::new() };
        let seconds = |seconds| ConfigDuration(Duration::from_secs(seconds));
        Self {
            rest_addr: SocketAddr::from(([127, 0, 0, 1], 8080)),
            grpc_addr: SocketAddr::from(([127, 0, 0, 1], 50051)),
            data_dir: "./delta-data".into(),
            // Chosen by the flags where nothing names one.
            storage: selected(""),
            shared_fs: None,
            multi_main: false,
            sidecar: None,
            templates_dir: None,
            validator: selected("jsonschema"),
            names: NameMode::Sealed,
            #[expect(clippy::expect_used, reason = "a constant that parses")]
            key_id: KeyId::parse("main-key-v1").expect("a key id"),
            master_key_file: None,
            admin_key_file: None,
            worker_id: None,
            client_ttl: seconds(24 * 3600),
            rest_max_body_size: 1 << 20,
            grpc_max_recv_msg_size: 4 << 20,
            tls_cert: None,
            tls_key: None,
            header_bytes_max: 64 << 10,
            connections_max: 10_000,
            connections_per_address_max: 1_000,
            header_deadline: seconds(10),
            idle_deadline: seconds(75),
            body_deadline: seconds(10),
            request_deadline: seconds(30),
            document_depth_max: DEPTH_MAX,
            batch_entities_max: limits.batch_entities_max,
            cache_bytes: limits.cache.bytes_max,
            cache_size: None,
            cache_ttl: ConfigDuration(Duration::ZERO),
            cache_max_stale: None,
            key_index_bytes: limits.key_index_bytes_max,
            list_max_stale: None,
            auth_failure_burst: limiter::BURST,
            auth_failure_rate: limiter::RATE_PER_SEC,
            trusted_proxies: Proxies::default(),
            cors_origin: Origins::default(),
            metrics_addr: None,
            otlp_endpoint: None,
            log_format: LogFormat::Text,
            dev: false,
            main_addr: "127.0.0.1:50051".into(),
            join_token_file: None,
            worker_ttl: seconds(3600),
            cluster_ca: None,
            cluster_cert: None,
            cluster_key: None,
            insecure_cluster: false,
        }
    }
}

impl Config {
    /// Puts the layers together; `flags` are the fields that the command line set.
    pub(crate) fn load(file: Option<&Path>, flags: BTreeMap<String, Value>) -> Result<Self> {
        Self::load_over(Self::default(), file, flags, |_| {})
    }

    /// The same for a main: its workers open the store too.
    pub(crate) fn load_main(file: Option<&Path>, flags: BTreeMap<String, Value>) -> Result<Self> {
        Self::load_over(Self::default(), file, flags, Self::share_store)
    }

    /// The same for a worker, which any port will do for.
    pub(crate) fn load_worker(file: Option<&Path>, flags: BTreeMap<String, Value>) -> Result<Self> {
        let defaults = Self { grpc_addr: SocketAddr::from(([127, 0, 0, 1], 0)), ..Self::default() };
        Self::load_over(defaults, file, flags, Self::share_store_of_worker)
    }

    fn load_over(
        defaults: Self,
        file: Option<&Path>,
        flags: BTreeMap<String, Value>,
        adapt: impl FnOnce(&mut Self),
    ) -> Result<Self> {
        let mut figment = Figment::from(Serialized::defaults(defaults));
        if let Some(file) = file {
            if !file.is_file() {
                bail!("there is no configuration file {}; check --config", file.display());
            }
            figment = figment.merge(without_secrets(file)?);
        }
        let ignored: Vec<&str> = SECRET_FIELDS.into_iter().chain(CLIENT_VARIABLES).chain(["config"]).collect();
        let environment = Env::prefixed(ENV_PREFIX)
            .ignore(&ignored)
            .map(|field| match field.as_str().to_ascii_lowercase().as_str() {
                plugin @ ("storage" | "validator") => format!("{plugin}.plugin").into(),
                other => other.replace("__", ".").into(),
            })
            .lowercase(false);
        figment = figment.merge(environment);
        for (field, value) in flags {
            let field = if ["storage", "validator"].contains(&&*field) { format!("{field}.plugin") } else { field };
            figment = figment.merge((field, value));
        }
        let mut config: Self = figment.extract().map_err(|error| anyhow!(one_line(error)))?;
        config.check()?;
        adapt(&mut config);
        config.settle_storage()?;
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        let metrics = self.metrics_addr.map(|address| ("--metrics-addr", address));
        let addresses = [("--rest-addr", self.rest_addr), ("--grpc-addr", self.grpc_addr)];
        for (flag, address) in addresses.into_iter().chain(metrics) {
            if self.dev && !address.ip().is_loopback() {
                bail!("--dev serves this machine only; use a loopback address for {flag}, or leave --dev out");
            }
        }
        if self.document_depth_max == 0 || self.document_depth_max > DEPTH_MAX_CEILING {
            bail!("document_depth_max must be 1 to {DEPTH_MAX_CEILING}");
        }
        for (field, value) in [
            ("rest_max_body_size", self.rest_max_body_size),
            ("grpc_max_recv_msg_size", self.grpc_max_recv_msg_size),
            ("batch_entities_max", self.batch_entities_max),
            ("cache_bytes", self.cache_bytes),
            ("header_bytes_max", self.header_bytes_max),
            ("connections_max", self.connections_max),
            ("connections_per_address_max", self.connections_per_address_max),
        ] {
            if value == 0 {
                bail!("{field} must be more than 0");
            }
        }
        for (field, value) in [
            ("client_ttl", self.client_ttl),
            ("header_deadline", self.header_deadline),
            ("idle_deadline", self.idle_deadline),
            ("body_deadline", self.body_deadline),
            ("request_deadline", self.request_deadline),
            ("worker_ttl", self.worker_ttl),
        ] {
            if value.0.is_zero() {
                bail!("{field} must be more than 0");
            }
        }
        Ok(())
    }

    /// What the engine may use.
    pub(crate) fn engine_limits(&self) -> EngineLimits {
        let cache = CacheLimits {
            bytes_max: self.cache_bytes,
            entries_max: self.cache_size,
            ttl: (!self.cache_ttl.0.is_zero()).then_some(self.cache_ttl.0),
        };
        let defaults = EngineLimits::default();
        EngineLimits {
            cache,
            cache_max_stale: self.cache_max_stale.map_or(defaults.cache_max_stale, |age| age.0),
            key_index_bytes_max: self.key_index_bytes,
            list_max_stale: self.list_max_stale.map_or(defaults.list_max_stale, |age| age.0),
            batch_entities_max: self.batch_entities_max,
            patch: PatchLimits {
                // What fits through one of the ports can be patched through both.
                bytes_max: self.rest_max_body_size.max(self.grpc_max_recv_msg_size),
                depth_max: self.document_depth_max,
                ..PatchLimits::default()
            },
            ..defaults
        }
    }

    /// Where the mains of a worker are.
    pub(crate) fn mains(&self) -> Result<Vec<&str>> {
        let mains: Vec<_> = self.main_addr.split(',').map(str::trim).collect();
        match mains.iter().enumerate().find(|(at, main)| mains.iter().take(*at).any(|before| before == *main)) {
            Some((_, twice)) => bail!("--main-addr names {twice} twice; name each main once"),
            None if mains.len() > MAINS_MAX => bail!("--main-addr names more than {MAINS_MAX} mains; name fewer"),
            None => Ok(mains),
        }
    }

    /// The name this process signs its writes with: as given, else the host's.
    pub(crate) fn writer(&self) -> WriterId {
        let host = gethostname::gethostname().to_string_lossy().into_owned();
        let given = self.worker_id.clone().or_else(|| WriterId::parse(&host).ok());
        #[expect(clippy::expect_used, reason = "a constant that parses")]
        given.unwrap_or_else(|| WriterId::parse("deltadb").expect("a writer id"))
    }
}

/// A file's settings without its secrets, whose values must not get into an error.
fn without_secrets(file: &Path) -> Result<Serialized<BTreeMap<String, figment::value::Value>>> {
    let table = Figment::from(Toml::file(file).search(false)).extract();
    let mut table: BTreeMap<String, figment::value::Value> = table.map_err(|error| notation(file, &error))?;
    table.retain(|field, _| !SECRET_FIELDS.contains(&field.as_str()));
    Ok(Serialized::defaults(table))
}

/// What is wrong with a file's notation: where and what, without the line itself, which may hold a secret.
fn notation(file: &Path, error: &figment::Error) -> anyhow::Error {
    let text = error.kind.to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let place = lines.next().unwrap_or_default();
    let what = lines.next_back().map(|what| format!(": {what}")).unwrap_or_default();
    anyhow!("configuration file {}: {place}{what}", file.display())
}

/// An error of the configuration in one line, with what is available.
fn one_line(error: figment::Error) -> String {
    let lines: Vec<String> = error
        .into_iter()
        .map(|error| {
            let field = if error.path.is_empty() { String::new() } else { format!("{}: ", error.path.join(".")) };
            match &error.kind {
                figment::error::Kind::UnknownField(name, available) => {
                    format!("unknown setting {name:?}; available: {}", available.join(", "))
                }
                kind if ["rest_addr: ", "grpc_addr: ", "metrics_addr: "].contains(&field.as_str()) => {
                    format!("{field}{kind}; write one like 127.0.0.1:8080")
                }
                kind => format!("{field}{kind}"),
            }
        })
        .collect();
    format!("configuration: {}", lines.join("; ").replace('\n', " "))
}
