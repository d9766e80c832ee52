//! Who gets the store's keys: a worker that shows the join token, and nobody else.

use std::time::Duration;

use delta_server::grpc_api::delta::v1::cluster_client::ClusterClient;
use delta_server::grpc_api::delta::v1::{Answer, Checked, FromWorker, ToWorker, answer, from_worker, to_worker};
use delta_server::grpc_api::deltadb::main_worker_client::MainWorkerClient;
use delta_server::grpc_api::deltadb::{SubscribeRequest, SubscribeResponse};
use delta_tests::cluster::{JOIN_TOKEN, eventually};
use delta_tests::skins::grpc::{channel, error, with_bearer};
use delta_tests::start::{ADMIN_KEY, MASTER_KEY};
use futures::StreamExt;
use futures::stream::BoxStream;
use rsa::pkcs8::EncodePublicKey;
use rsa::{Oaep, RsaPrivateKey, RsaPublicKey};
use serde_json::json;
use sha2::Sha256;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};

use super::{Cluster, PATIENCE};
use crate::support::{api_key, login, problem};

/// A key pair, small enough to be made quickly.
pub(super) fn key() -> RsaPrivateKey {
    RsaPrivateKey::new(&mut rsa::rand_core::UnwrapErr(getrandom::SysRng), 2048).unwrap()
}

pub(super) fn asked(worker: &str, key: &RsaPrivateKey) -> SubscribeRequest {
    let pubkey = RsaPublicKey::from(key).to_public_key_der().unwrap().into_vec().into();
    SubscribeRequest { worker_id: worker.into(), pubkey, ..SubscribeRequest::default() }
}

fn with<T>(message: T, credential: Option<&str>) -> Request<T> {
    match credential {
        Some(credential) => with_bearer(message, credential),
        None => Request::new(message),
    }
}

pub(super) async fn subscribe(
    channel: &Channel,
    asked: SubscribeRequest,
    credential: Option<&str>,
) -> Result<SubscribeResponse, Status> {
    let request = with(asked, credential);
    Ok(MainWorkerClient::new(channel.clone()).subscribe(request).await?.into_inner())
}

/// Opens a stream on which nothing is said but these frames.
pub(super) async fn work(
    channel: &Channel,
    said: BoxStream<'static, FromWorker>,
    credential: Option<&str>,
) -> Result<Streaming<ToWorker>, Status> {
    Ok(ClusterClient::new(channel.clone()).work(with(said, credential)).await?.into_inner())
}

pub(super) fn silence() -> BoxStream<'static, FromWorker> {
    futures::stream::pending().boxed()
}

/// Nothing but that it lives.
pub(super) fn beats() -> impl futures::Stream<Item = FromWorker> + Send + 'static {
    futures::stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        Some((FromWorker::default(), ()))
    })
}

#[track_caller]
pub(super) fn refused<T>(result: Result<T, Status>, code: Code, why: &str) {
    let status = result.err().expect("a refusal");
    assert_eq!((status.code(), error(&status).code()), (code, why), "{status:?}");
    assert!(!status.message().contains(ADMIN_KEY) && !status.message().contains(JOIN_TOKEN), "{status:?}");
}

#[tokio::test]
async fn nobody_but_a_worker_gets_a_key_or_a_task() {
    let cluster = Cluster::of(0);
    let channel = channel(cluster.main.grpc_address());
    let admin = api_key(&cluster.main, json!({"name": "a", "permissions": ["read", "write", "admin"]}));
    let session = login(&cluster.main, ADMIN_KEY);
    let key = key();
    let strangers = [None, Some("wrong"), Some(ADMIN_KEY), Some(admin.secret.as_str()), Some(session.as_str())];
    for credential in strangers {
        refused(subscribe(&channel, asked("w", &key), credential).await, Code::Unauthenticated, "unauthorized");
        refused(work(&channel, silence(), credential).await, Code::Unauthenticated, "unauthorized");
    }
    refused(work(&channel, silence(), Some(JOIN_TOKEN)).await, Code::Unauthenticated, "unauthorized");
    let forged = format!("dw_{}", "ab".repeat(32));
    refused(work(&channel, silence(), Some(&forged)).await, Code::Unauthenticated, "unauthorized");
    // The token of a worker is no credential of a client's, and neither is the join token.
    let given = subscribe(&channel, asked("w", &key), Some(JOIN_TOKEN)).await.unwrap();
    for credential in [JOIN_TOKEN, &given.token] {
        cluster.main.anonymous().bearer(credential).get("/api/me").expect(401);
    }
    assert!(work(&channel, silence(), Some(&given.token)).await.is_ok());
    // Used up, even when its stream is over.
    refused(work(&channel, silence(), Some(&given.token)).await, Code::Unauthenticated, "unauthorized");
}

#[tokio::test]
async fn a_worker_gets_the_keyring_wrapped_for_it_alone() {
    let cluster = Cluster::of(0);
    let channel = channel(cluster.main.grpc_address());
    let key = key();
    let given = subscribe(&channel, asked("w1", &key), Some(JOIN_TOKEN)).await.unwrap();
    assert_eq!((given.key_id.as_str(), given.generation, given.store_id.len()), ("main-key-v1", 1, 32));
    assert!(given.lifetime_ms > 0 && given.expires_at.ends_with('Z'), "{}", given.expires_at);
    assert_eq!(given.keyring.len(), 1);
    assert!(given.wrapped_key == given.keyring[0].wrapped_key);
    let open = |label: &[u8]| {
        let padding = Oaep::<Sha256>::new_with_label(label.to_vec());
        key.decrypt(padding, &given.keyring[0].wrapped_key)
    };
    let opened = open(b"deltadb/worker-key/v1\0w1\0main-key-v1").unwrap();
    assert_eq!(data_encoding::HEXLOWER.encode(&opened), MASTER_KEY);
    assert!(open(b"deltadb/worker-key/v1\0w2\0main-key-v1").is_err());
    assert!(open(b"").is_err());
    for bad in [Vec::new(), b"no key".to_vec()] {
        let asked = SubscribeRequest { worker_id: "w2".into(), pubkey: bad.into(), ..SubscribeRequest::default() };
        refused(subscribe(&channel, asked, Some(JOIN_TOKEN)).await, Code::InvalidArgument, "invalid_pubkey");
    }
    refused(
        subscribe(&channel, asked("a/b", &key), Some(JOIN_TOKEN)).await,
        Code::InvalidArgument,
        "invalid_writer_id",
    );
}

#[tokio::test]
async fn an_id_belongs_to_the_worker_that_is_here_and_is_free_when_it_is_gone() {
    let mut cluster = Cluster::of(1);
    let channel = channel(cluster.main.grpc_address());
    let key = key();
    refused(subscribe(&channel, asked("w1", &key), Some(JOIN_TOKEN)).await, Code::Aborted, "worker_id_taken");
    // Not even with a token, unless it is that worker's.
    let other = subscribe(&channel, asked("w2", &key), Some(JOIN_TOKEN)).await.unwrap();
    let stolen = SubscribeRequest { token: other.token, ..asked("w1", &key) };
    refused(subscribe(&channel, stolen, Some(JOIN_TOKEN)).await, Code::Aborted, "worker_id_taken");
    // Two that subscribed before either began: one begins.
    let [a, b] = [subscribe(&channel, asked("w3", &key), Some(JOIN_TOKEN)).await.unwrap(), {
        subscribe(&channel, asked("w3", &key), Some(JOIN_TOKEN)).await.unwrap()
    }];
    let _first = work(&channel, silence(), Some(&a.token)).await.unwrap();
    refused(work(&channel, silence(), Some(&b.token)).await, Code::Aborted, "worker_id_taken");
    cluster.workers.pop().unwrap().kill();
    cluster.until_listed("w1", "Unresponsive");
    cluster.hire("w1");
    assert!(cluster.listed().contains(&("w1".into(), "Available".into())));
}

#[tokio::test]
async fn a_token_ends_and_a_worker_renews_its_own_in_time() {
    let cluster = Cluster::with(1, &["--worker-ttl", "12s"]);
    let channel = channel(cluster.main.grpc_address());
    let given = subscribe(&channel, asked("lazy", &key()), Some(JOIN_TOKEN)).await.unwrap();
    assert!(given.lifetime_ms <= 12_000);
    // It says that it lives, and does not subscribe again.
    let mut lazy = work(&channel, beats().boxed(), Some(&given.token)).await.unwrap();
    let ended = async { while let Ok(Some(_)) = lazy.message().await {} };
    tokio::time::timeout(PATIENCE, ended).await.expect("its stream ends with its token");
    eventually("the worker has renewed its token twice", PATIENCE, || {
        let printed = cluster.main.output();
        printed.lines().filter(|line| line.contains("worker=w1") && line.contains("renews=true")).count() >= 2
    });
    // On a busy machine it may have been silent for a while.
    let printed = cluster.main.output();
    let late = |line: &str| line.contains("has not subscribed again in time") && line.contains("worker=w1");
    assert!(!printed.lines().any(late), "{printed}");
    cluster.main.admin().put("/entity/db/k", "1").expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_workers_begin_at_once() {
    let cluster = Cluster::of(0);
    let (channel, key) = (channel(cluster.main.grpc_address()), key());
    let begin = |n: usize| {
        let (channel, asked) = (channel.clone(), asked(&format!("w{n}"), &key));
        async move {
            let given = subscribe(&channel, asked, Some(JOIN_TOKEN)).await.unwrap();
            work(&channel, beats().boxed(), Some(&given.token)).await.unwrap()
        }
    };
    let streams = futures::future::join_all((0..200).map(begin)).await;
    let listed = tokio::task::block_in_place(|| cluster.listed());
    assert_eq!(listed.iter().filter(|(_, status)| status == "Available").count(), 200, "{listed:?}");
    drop(streams);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_answers_garbage_harms_only_its_own_tasks() {
    let mut cluster = Cluster::of(0);
    let channel = channel(cluster.main.grpc_address());
    let given = subscribe(&channel, asked("liar", &key()), Some(JOIN_TOKEN)).await.unwrap();
    let (say, mut said) = tokio::sync::mpsc::channel(16);
    let frames = futures::stream::poll_fn(move |cx| said.poll_recv(cx)).boxed();
    let mut tasks = work(&channel, frames, Some(&given.token)).await.unwrap();
    let lies = tokio::spawn(async move {
        let mut count = 0_u64;
        while let Ok(Some(frame)) = tasks.message().await {
            if let Some(to_worker::Frame::Task(task)) = frame.frame {
                count += 1;
                // To a task that there never was, with nothing in it, and with what nobody asked for.
                let checked = Some(answer::Outcome::Checked(Checked {}));
                for (id, outcome) in
                    [(task.id + 1_000, checked.clone()), (task.id, checked.filter(|_| count.is_multiple_of(2)))]
                {
                    let frame = Some(from_worker::Frame::Answer(Answer { id, outcome }));
                    say.send(FromWorker { frame }).await.unwrap();
                }
            }
            drop(say.try_send(FromWorker::default()));
        }
    });
    tokio::task::block_in_place(|| {
        for _ in 0..4 {
            problem(&cluster.main.admin().get("/entity/db/k"), 500, "internal");
        }
        cluster.hire("honest");
    });
    // Its tokens are its own: one that it made up ends it.
    let (say, mut said) = tokio::sync::mpsc::channel(1);
    let forger = subscribe(&channel, asked("forger", &key()), Some(JOIN_TOKEN)).await.unwrap();
    let frames = futures::stream::poll_fn(move |cx| said.poll_recv(cx)).boxed();
    let mut ended = work(&channel, frames, Some(&forger.token)).await.unwrap();
    let frame = Some(from_worker::Frame::RenewedToken("dw_made-up".into()));
    say.send(FromWorker { frame }).await.unwrap();
    let gone = async { while let Ok(Some(_)) = ended.message().await {} };
    tokio::time::timeout(PATIENCE, gone).await.expect("its stream ends");
    lies.abort();
    tokio::task::block_in_place(|| {
        cluster.until_listed("liar", "Unresponsive");
        cluster.main.admin().put("/entity/db/k", "1").expect(201);
    });
}
