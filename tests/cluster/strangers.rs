//! Every method of every port, as somebody who has no credential for it: no key, no task, no document.

use bytes::Bytes;
use delta_tests::cluster::JOIN_TOKEN;
use delta_tests::skins::grpc::channel;
use delta_tests::start::ADMIN_KEY;
use serde_json::json;
use tonic::Code;

use super::Cluster;
use super::enrolment::{asked, key, silence, subscribe, work};
use crate::access_table::grpc::{call, methods};
use crate::support::api_key;

/// The methods that are everybody's, and what they answer to an empty message: schemas are no secret.
const OPEN: [(&str, Code); 2] = [("delta.v1.Schemas/List", Code::Ok), ("delta.v1.Schemas/Get", Code::InvalidArgument)];
/// The methods of workers, which no client may call.
const OF_WORKERS: [&str; 2] = ["deltadb.MainWorker/Subscribe", "delta.v1.Cluster/Work"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_method_of_any_port_serves_a_stranger() {
    let cluster = Cluster::of(1);
    cluster.main.admin().put("/entity/db/k", "\"nobody else's document\"").expect(201);
    let read = api_key(&cluster.main, json!({"name": "r", "permissions": ["read"]})).secret;
    let main = channel(cluster.main.grpc_address());
    let used = subscribe(&main, asked("thief", &key()), Some(JOIN_TOKEN)).await.unwrap().token;
    drop(work(&main, silence(), Some(&used)).await.unwrap());
    let printed = cluster.workers[0].output();
    let health = printed.lines().find_map(|line| line.strip_prefix("Health:")).unwrap();
    let health = health.trim().trim_start_matches("http://").split(' ').next().unwrap().parse().unwrap();
    let worker = channel(health);
    let text = |text: &str| Some(text.to_owned());
    let strangers = [None, text("wrong"), text(&format!("dw_{}", "ab".repeat(32))), text(&used), text(JOIN_TOKEN)];
    let clients = [text(ADMIN_KEY), text(&read)];
    let mut wrong = Vec::new();
    for (name, _) in methods() {
        let open = OPEN.iter().find(|(open, _)| *open == name).map(|(_, code)| *code);
        let of_workers = OF_WORKERS.contains(&name.as_str());
        for credential in &strangers {
            // The join token subscribes, and nothing else; what it may not do is asked for with an empty message, too.
            let subscribes = name == OF_WORKERS[0] && credential.as_deref() == Some(JOIN_TOKEN);
            let expected = if subscribes { Code::InvalidArgument } else { open.unwrap_or(Code::Unauthenticated) };
            let answered = call(&main, &name, Bytes::new(), credential.as_ref()).await;
            if answered != expected {
                wrong.push(format!("{name} with {credential:?}: {answered:?}, and not {expected:?}"));
            }
        }
        for credential in clients.iter().filter(|_| of_workers) {
            let answered = call(&main, &name, Bytes::new(), credential.as_ref()).await;
            if answered != Code::Unauthenticated {
                wrong.push(format!("{name} with {credential:?}: {answered:?}"));
            }
        }
        // A worker's port knows none of them, whoever asks.
        for credential in strangers.iter().chain(&clients) {
            let answered = call(&worker, &name, Bytes::new(), credential.as_ref()).await;
            if answered != Code::Unimplemented {
                wrong.push(format!("{name} of a worker with {credential:?}: {answered:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
