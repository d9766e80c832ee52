//! The way from a main to a worker and back, alone: what a benchmark reaches of this crate, and nobody else.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use async_trait::async_trait;
use delta_core::address::NameMode;
use delta_core::auth::Principal;
use delta_core::builtin::memory::MemoryStorage;
use delta_core::clock::{Clock, SystemClock};
use delta_core::document::Document;
use delta_core::engine::{EngineLimits, Hands};
use delta_core::entities::Precondition;
use delta_core::keys::{MasterKey, SecretText};
use delta_core::name::{DatabaseName, EntityId, EntityKey, KeyId, WriterId};
use delta_core::plugin::{Settings, open_validator};
use delta_core::seal::Sealer;
use delta_core::superblock::Superblock;
use futures::Stream;
use prometheus::Registry;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Endpoint;
use tonic::{Request, Response, Status, Streaming};

use crate::cluster::main::{Admitted, Cluster, Keys, Terms, session::Session, task};
use crate::cluster::tickets::{Ticket, digest};
use crate::cluster::worker::currency::Currency;
use crate::cluster::worker::{Trouble, stream};
use crate::config::Config;
use crate::grpc::api::delta::v1::answer::Outcome;
use crate::grpc::api::delta::v1::cluster_server::{Cluster as Service, ClusterServer};
use crate::grpc::api::delta::v1::task::Work as Asked;
use crate::grpc::api::delta::v1::{FromWorker, ToWorker};
use crate::listen::{self, Front};
use crate::metrics::Work;

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the stream may last.
const LIFETIME: Duration = Duration::from_secs(3_600);
/// Whom there is to ask, and for what.
const WORKER: &str = "hop";
const DATABASE: &str = "bench";
const KEY: &str = "k000000000";

/// Both ends of one stream over loopback, in this process; the worker has one document, in memory.
pub struct Hop {
    session: Arc<Session>,
    database: DatabaseName,
}

impl std::fmt::Debug for Hop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hop({:?})", self.session)
    }
}

impl Hop {
    /// Opens the stream.
    pub async fn open(document: &str) -> Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let master = MasterKey::generate(KeyId::parse("k1")?)?;
        let superblock = Superblock::create(NameMode::Sealed, &master)?;
        let (store, generation) = (superblock.keyring.store(), superblock.generation);
        let hands = hands(superblock, document, clock.clone()).await?;
        let keys = Keys { generation, masters: vec![master] };
        let terms = Terms { join: None, keys, store, ttl: LIFETIME, insecure: false };
        let cluster = Cluster::new(terms, clock);
        let door = Front::new(&Config::default())?.bind(([127, 0, 0, 1], 0).into(), "--grpc-addr").await?;
        let address = door.url();
        let routes = Routes::new(ClusterServer::new(Main(cluster.clone()))).prepare();
        let stop = CancellationToken::new();
        tokio::spawn(listen::serve_http2(door, routes, stop.clone()));
        let channel = Endpoint::from_shared(address)?.connect().await?;
        let work = Arc::new(Work::new(&Registry::new())?);
        tokio::spawn(async move {
            let lease = (SecretText::new("none".to_owned()), LIFETIME);
            let renew = async |_: &SecretText| Err(Trouble::Lasting(delta_core::Error::unavailable("it is over")));
            let currency = Arc::new(Currency::new(Arc::new(MemoryStorage::new())));
            stream::run(&channel, (hands, work, currency), lease, renew, async |_: &_| {}, &stop).await
        });
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(session) = cluster.roster().open().pop() {
                return Ok(Self { session, database: DATABASE.parse()? });
            }
            if Instant::now() > until {
                bail!("the stream does not open");
            }
            tokio::task::yield_now().await;
        }
    }

    /// Reads the document by way of the worker; gives its length.
    pub async fn get(&self) -> Result<usize> {
        let task = task(&Principal::admin(), &self.database, Asked::Get(KEY.into()));
        match self.session.ask(task, Instant::now() + PATIENCE).await {
            Ok(Outcome::Found(found)) => Ok(found.document.len()),
            Ok(_) => Err(anyhow!("an answer to something else")),
            Err(lost) => Err(anyhow!("{lost:?}")),
        }
    }
}

async fn hands(superblock: Superblock, document: &str, clock: Arc<dyn Clock>) -> Result<Hands> {
    let names = Arc::new(superblock.open_names()?);
    let sealer = Arc::new(Sealer::new(Arc::new(superblock.keyring), names, WriterId::parse(WORKER)?));
    let validator = open_validator("jsonschema", Settings::default())?;
    let hands = Hands::new(Arc::new(MemoryStorage::new()), sealer, validator, clock, EngineLimits::default());
    let id = EntityId::new(DATABASE.parse()?, KEY.parse::<EntityKey>()?);
    let document = Document::trusted(document.to_owned().into());
    hands.put(&Principal::admin(), &id, document, None, &Precondition::None).await?;
    Ok(hands)
}

/// A main that takes whoever comes.
struct Main(Arc<Cluster>);

#[async_trait]
impl Service for Main {
    type WorkStream = Pin<Box<dyn Stream<Item = std::result::Result<ToWorker, Status>> + Send>>;

    async fn work(
        &self,
        request: Request<Streaming<FromWorker>>,
    ) -> std::result::Result<Response<Self::WorkStream>, Status> {
        let refused = |error: delta_core::Error| Status::internal(error.to_string());
        let (worker, expires) = (WriterId::parse(WORKER).map_err(refused)?, Instant::now() + LIFETIME);
        let ticket = Ticket { worker, certified: false, renews: false, tags: HashMap::new(), expires };
        let frames = self.0.begin(Admitted::Token(ticket, digest("none")), request.into_inner());
        Ok(Response::new(Box::pin(frames.map_err(refused)?)))
    }
}
