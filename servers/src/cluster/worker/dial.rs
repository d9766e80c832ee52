//! Finding a main, and getting the store's keys from it.
//!
//! The keys are unwrapped with a key pair that serves this once, and must open the superblock of the worker's own storage:
//! a main of another store, or a worker over another one, ends here.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use delta_core::keys::SecretText;
use delta_core::name::WriterId;
use delta_core::storage::Storage;
use delta_core::superblock::{self, Superblock};
use delta_core::{Error, ErrorKind};
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use url::{Host, Url};

use crate::cluster::join;
use crate::cluster::worker::Trouble;
use crate::cluster::worker::papers::{Papers, refusal};
use crate::cluster::wrap::WorkerKey;
use crate::grpc::api::deltadb::main_worker_client::MainWorkerClient;
use crate::grpc::api::deltadb::{SubscribeRequest, SubscribeResponse};

/// How long a connection may take.
const CONNECT_DEADLINE: Duration = Duration::from_secs(2);
/// How long a main may take to answer a subscription.
const SUBSCRIBE_DEADLINE: Duration = Duration::from_secs(10);
/// How much may be under way on a stream, and on all of a connection, before the other side waits.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// Where the join token is.
#[derive(Debug, Clone)]
pub(crate) enum Join {
    /// In this file.
    File(PathBuf),
    /// Where a development main leaves it.
    Dev,
    /// Nowhere: the worker shows a certificate instead.
    Nowhere,
}

/// The way to a main, and who takes it.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    main: Url,
    papers: Papers,
    join: Join,
    worker: WriterId,
    tags: HashMap<String, String>,
}

/// What a main gave.
pub(crate) struct Enrolled {
    /// Opens a stream, or renews one.
    pub(crate) token: SecretText,
    /// How long until it must be renewed.
    pub(crate) lifetime: Duration,
    /// The store, opened with the keys.
    pub(crate) superblock: Superblock,
}

impl Link {
    /// The way to `main`: `host:port` without TLS, or `https://host:port`. To another machine it is TLS with a certificate at
    /// both ends, unless `insecure`.
    pub(crate) fn new(main: &str, papers: Papers, insecure: bool, join: Join, worker: WriterId) -> Result<Self> {
        let text = if main.contains("://") { main.to_owned() } else { format!("http://{main}") };
        let wrong =
            || format!("--main-addr {main} is no address; write one like 127.0.0.1:50051 or https://main:50051");
        let url = Url::parse(&text).ok().filter(|url| ["http", "https"].contains(&url.scheme())).with_context(wrong)?;
        let is_here = match url.host().with_context(wrong)? {
            Host::Domain(name) => name == "localhost",
            Host::Ipv4(address) => IpAddr::from(address).is_loopback(),
            Host::Ipv6(address) => IpAddr::from(address).to_canonical().is_loopback(),
        };
        let is_tls = url.scheme() == "https";
        let is_mutual = is_tls && papers.show_certificate();
        if !is_mutual && !is_here && !insecure {
            bail!(
                "the main at {main} is on another machine, and keys go there over mutual TLS only; write https:// and \
                 give --cluster-ca, --cluster-cert and --cluster-key, or insist with --insecure-cluster"
            );
        }
        if is_tls && !papers.trust_somebody() {
            bail!("give --cluster-ca FILE, the authority of the certificate of the main at {main}");
        }
        if !is_tls && matches!(join, Join::Nowhere) {
            bail!(
                "--cluster-cert is shown over TLS only; write --main-addr https://{}",
                main.trim_start_matches("http://")
            );
        }
        let tags = [("role", "worker"), ("version", env!("CARGO_PKG_VERSION"))];
        let tags = tags.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Ok(Self { main: url, papers, join, worker, tags })
    }

    /// Where the main is, for people.
    pub(crate) fn main(&self) -> &str {
        self.main.as_str().trim_end_matches('/')
    }

    /// A connection.
    pub(crate) async fn connect(&self) -> Result<Channel, Trouble> {
        let unusable = |error: tonic::transport::Error| {
            Trouble::Lasting(Error::invalid("cluster_link", "the way to the main cannot be used").with_source(error))
        };
        let mut endpoint = Endpoint::from_shared(self.main.to_string())
            .map_err(unusable)?
            .connect_timeout(CONNECT_DEADLINE)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        if self.main.scheme() == "https" {
            let tls = self.papers.tls();
            let tls = tls.map_err(|error| Trouble::Lasting(Error::invalid("cluster_link", format!("{error:#}"))))?;
            endpoint = endpoint.tls_config(tls).map_err(unusable)?;
        }
        endpoint.connect().await.map_err(|error| {
            if let Some(why) = refusal(&error) {
                return self.not_trusted(&why);
            }
            let message = format!("there is no main at {}; start it, or check --main-addr", self.main());
            Trouble::Passing(Error::unavailable(message).with_source(error))
        })
    }

    /// Subscribes, and opens the superblock of this storage with the keys that the main gives.
    pub(crate) async fn subscribe(
        &self,
        channel: &Channel,
        storage: &dyn Storage,
        key: &mut NextKey,
        current: Option<&SecretText>,
    ) -> Result<Enrolled, Trouble> {
        let join = self.join_token()?;
        let key = key.take().await.map_err(Trouble::Passing)?;
        let asked = SubscribeRequest {
            worker_id: self.worker.to_string(),
            pubkey: key.public().map_err(Trouble::Passing)?.into(),
            tags: self.tags.clone(),
            token: current.map(|token| token.expose().to_owned()).unwrap_or_default(),
        };
        let mut request = match &join {
            Some(join) => bearer(asked, join)?,
            None => Request::new(asked),
        };
        request.set_timeout(SUBSCRIBE_DEADLINE);
        let given = MainWorkerClient::new(channel.clone()).subscribe(request).await;
        let given = given.map_err(|status| self.refused(&status))?.into_inner();
        let superblock = self.open(storage, &key, &given).await?;
        drop(key);
        Ok(Enrolled {
            token: SecretText::new(given.token),
            lifetime: Duration::from_millis(given.lifetime_ms),
            superblock,
        })
    }

    fn join_token(&self) -> Result<Option<SecretText>, Trouble> {
        let join = match &self.join {
            Join::File(file) => join::read(file),
            Join::Dev => join::dev_file(self.main.port().unwrap_or_default()).and_then(|file| join::read(&file)),
            Join::Nowhere => return Ok(None),
        };
        join.map(Some).map_err(|error| {
            // A development main makes its token when it starts.
            let error = Error::unavailable(format!("{error:#}"));
            if matches!(self.join, Join::Dev) { Trouble::Passing(error) } else { Trouble::Lasting(error) }
        })
    }

    /// Unwraps the keys, and opens this storage's superblock with them.
    async fn open(
        &self,
        storage: &dyn Storage,
        key: &WorkerKey,
        given: &SubscribeResponse,
    ) -> Result<Superblock, Trouble> {
        let unwrap =
            |one: &crate::grpc::api::deltadb::WrappedKey| key.unwrap(&self.worker, &one.key_id, &one.wrapped_key);
        let masters =
            given.keyring.iter().map(unwrap).collect::<delta_core::Result<Vec<_>>>().map_err(Trouble::Lasting)?;
        let other = |why: &str| {
            let message =
                format!("the main at {} has another store than this worker: {why}; check --shared-fs", self.main());
            Trouble::Lasting(Error::invalid("other_store", message))
        };
        let found = superblock::read(storage).await.map_err(Trouble::Passing)?;
        let (generation, bytes) = found.ok_or_else(|| other("there is none in this worker's storage"))?;
        let is_same_store = superblock::claimed_store(&bytes).is_some_and(|claimed| claimed == given.store_id);
        if is_same_store && generation != given.generation {
            let message = format!("the store is at generation {generation} here and {} at the main", given.generation);
            return Err(Trouble::Passing(Error::unavailable(message)));
        }
        let superblock = Superblock::open_as(generation, &bytes, &masters).map_err(|error| match error.code() {
            // The main's keys are those of another store, or of an earlier state of this one.
            "wrong_master_key" | "missing_master_key" => other("its keys do not open this one"),
            _ => Trouble::Lasting(error),
        })?;
        if superblock.keyring.store().to_string() != given.store_id {
            return Err(other("its id is another one"));
        }
        Ok(superblock)
    }

    fn not_trusted(&self, why: &str) -> Trouble {
        let message = format!("no link to the main at {}: {why}", self.main());
        Trouble::Lasting(Error::invalid("cluster_link", message))
    }

    fn refused(&self, status: &Status) -> Trouble {
        if let Some(why) = refusal(status) {
            return self.not_trusted(&why);
        }
        let message = format!("the main at {} refused this worker: {}", self.main(), status.message());
        match status.code() {
            Code::Unauthenticated => {
                let message = format!("{message}; give both the same --join-token-file, or the worker a certificate");
                Trouble::Lasting(Error::new(ErrorKind::Unauthorized, message))
            }
            Code::PermissionDenied => Trouble::Lasting(Error::new(ErrorKind::Forbidden, message)),
            Code::FailedPrecondition | Code::InvalidArgument | Code::Unimplemented => {
                Trouble::Lasting(Error::invalid("refused", message))
            }
            _ => Trouble::Passing(Error::unavailable(message)),
        }
    }
}

/// A message with a bearer token beside it.
pub(crate) fn bearer<T>(message: T, token: &SecretText) -> Result<Request<T>, Trouble> {
    let mut request = Request::new(message);
    let value = format!("Bearer {}", token.expose()).parse();
    let mut value: tonic::metadata::MetadataValue<_> = value.map_err(|_| {
        Trouble::Lasting(Error::invalid("join_token", "the join token must be printable ASCII; make another one"))
    })?;
    value.set_sensitive(true);
    request.metadata_mut().insert("authorization", value);
    Ok(request)
}

/// The key pair of the next subscription, made off the async threads while a main is looked for.
#[derive(Default)]
pub(crate) struct NextKey(Option<JoinHandle<delta_core::Result<WorkerKey>>>);

impl NextKey {
    /// Begins to make one.
    pub(crate) fn prepare(&mut self) {
        self.0.get_or_insert_with(|| tokio::task::spawn_blocking(WorkerKey::generate));
    }

    async fn take(&mut self) -> delta_core::Result<WorkerKey> {
        self.prepare();
        match self.0.take() {
            Some(made) => made.await.map_err(|error| Error::internal("no RSA key could be made").with_source(error))?,
            None => Err(Error::internal("no RSA key was made")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(main: &str, insecure: bool) -> Result<Link> {
        Link::new(main, Papers::default(), insecure, Join::Dev, WriterId::parse("w").unwrap())
    }

    #[test]
    fn keys_leave_the_machine_only_over_tls_or_when_somebody_insists() {
        for here in ["127.0.0.1:1", "localhost:1", "[::1]:1", "http://127.9.9.9:1"] {
            assert!(link(here, false).is_ok(), "{here}");
        }
        for there in
            ["10.0.0.1:1", "main.example:1", "http://[2001:db8::1]:1", "localhost.example:1", "https://main.example:1"]
        {
            assert!(link(there, false).unwrap_err().to_string().contains("--insecure-cluster"), "{there}");
        }
        assert!(link("10.0.0.1:1", true).is_ok());
        assert!(link("https://127.0.0.1:1", false).unwrap_err().to_string().contains("--cluster-ca"));
        for wrong in ["", "ftp://a:1", "http://", ":1"] {
            assert!(link(wrong, true).is_err(), "{wrong}");
        }
    }
}
