//! The same of every method of the gRPC descriptor.

use std::collections::BTreeSet;

use bytes::{Buf, BufMut, Bytes};
use delta_tests::server::Server;
use delta_tests::skins::grpc::channel;
use delta_tests::staffed;
use http::uri::PathAndQuery;
use prost_reflect::prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::Access::{self, Admin, Any, Open, OpenOrCounting, Read, ReadSomewhere, Schema, Write};
use super::{KINDS, credentials, prepare, refusal};
use crate::support::{login, server};

/// Method, message about the database `here` as JSON (bytes in base64), what it answers to those who may, and who may.
///
/// What it answers must be the same every time it is sent. A method may have several lines.
const TABLE: &[(&str, &str, Code, Access)] = &[
    ("delta.v1.Entities/Get", r#"{"database":"here","key":"k"}"#, Code::Ok, Read),
    ("delta.v1.Entities/Put", r#"{"database":"here","key":"k","document":"MQ=="}"#, Code::Ok, Write),
    ("delta.v1.Entities/PutMany", r#"{"database":"here","entities":[{"key":"k","document":"MQ=="}]}"#, Code::Ok, Write),
    ("delta.v1.Entities/Patch", r#"{"database":"here","key":"k","merge":"MQ=="}"#, Code::Ok, Write),
    ("delta.v1.Entities/Delete", r#"{"database":"here","key":"absent"}"#, Code::Ok, Write),
    ("delta.v1.Entities/List", r#"{"database":"here"}"#, Code::Ok, Read),
    ("delta.v1.Entities/BatchGet", r#"{"database":"here","keys":["k"]}"#, Code::Ok, Read),
    ("delta.v1.Databases/List", "{}", Code::Ok, ReadSomewhere),
    ("delta.v1.Databases/Get", r#"{"database":"here"}"#, Code::Ok, Read),
    ("delta.v1.Databases/Set", r#"{"database":"here","settings":{}}"#, Code::Ok, Admin),
    ("delta.v1.Databases/Drop", r#"{"database":"absent"}"#, Code::NotFound, Admin),
    ("delta.v1.Schemas/List", "{}", Code::Ok, Open),
    ("delta.v1.Schemas/Get", r#"{"id":"some"}"#, Code::Ok, Open),
    ("delta.v1.Schemas/Put", r#"{"id":"some","source":"e30="}"#, Code::Ok, Schema),
    ("delta.v1.Schemas/Delete", r#"{"id":"absent"}"#, Code::NotFound, Schema),
    ("delta.v1.Schemas/Validate", r#"{"id":"some","document":"MQ=="}"#, Code::Ok, ReadSomewhere),
    ("deltadb.MainWorker/Subscribe", r#"{"workerId":"w"}"#, Code::FailedPrecondition, Any),
    ("delta.v1.Cluster/Work", "{}", Code::FailedPrecondition, Any),
    ("deltadb.MainWorker/Process", r#"{"operation":"GET","databaseName":"here","entityKey":"k"}"#, Code::Ok, Read),
    (
        "deltadb.MainWorker/Process",
        r#"{"operation":"PUT","databaseName":"here","entityKey":"k","payload":"MQ=="}"#,
        Code::Ok,
        Write,
    ),
    (
        "deltadb.MainWorker/Process",
        r#"{"operation":"DELETE","databaseName":"here","entityKey":"absent"}"#,
        Code::Ok,
        Write,
    ),
    ("deltadb.MainWorker/Process", r#"{"operation":"SCHEMA_GET","schemaId":"some"}"#, Code::Ok, OpenOrCounting),
    (
        "deltadb.MainWorker/Process",
        r#"{"operation":"SCHEMA_PUT","schemaId":"some","payload":"e30="}"#,
        Code::Ok,
        Schema,
    ),
    ("deltadb.MainWorker/Process", r#"{"operation":"SCHEMA_DELETE","schemaId":"absent"}"#, Code::NotFound, Schema),
];

/// Every method, by its name in the table.
pub(crate) fn methods() -> Vec<(String, MethodDescriptor)> {
    let pool = DescriptorPool::decode(delta_server::grpc_descriptor()).unwrap();
    let methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
    methods.map(|method| (format!("{}/{}", method.parent_service().full_name(), method.name()), method)).collect()
}

/// The bytes of a line's message.
fn message(methods: &[(String, MethodDescriptor)], name: &str, json: &str) -> Bytes {
    let (_, method) = methods.iter().find(|(known, _)| known == name).unwrap();
    let mut json = serde_json::Deserializer::from_str(json);
    let message = DynamicMessage::deserialize(method.input(), &mut json);
    message.unwrap_or_else(|error| panic!("the message of {name}: {error}")).encode_to_vec().into()
}

/// Messages as the bytes that they are; answers are not looked at.
#[derive(Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;
    fn encoder(&mut self) -> Self {
        Self
    }
    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = ();
    type Error = Status;
    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        from.advance(from.remaining());
        Ok(Some(()))
    }
}

pub(crate) async fn call(channel: &Channel, name: &str, message: Bytes, credential: Option<&String>) -> Code {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let mut request = Request::new(message);
    if let Some(credential) = credential {
        request.metadata_mut().insert("authorization", format!("Bearer {credential}").parse().unwrap());
    }
    let answer = client.unary(request, PathAndQuery::try_from(format!("/{name}")).unwrap(), Raw).await;
    answer.map_or_else(|status| status.code(), |_| Code::Ok)
}

/// What each line answers to each of these credentials, where that is not what it should be.
async fn wrong(server: &Server, credentials: &[(usize, Option<String>)]) -> Vec<String> {
    let (methods, channel) = (methods(), channel(server.grpc_address()));
    let mut wrong = Vec::new();
    for (name, json, code, access) in TABLE {
        for (at, credential) in credentials {
            let answered = call(&channel, name, message(&methods, name, json), credential.as_ref()).await;
            let expected = match refusal(*access, KINDS[*at]) {
                Some(401) => Code::Unauthenticated,
                Some(_) => Code::PermissionDenied,
                // A main has what a server alone has not, and gives it to no client.
                None if *code == Code::FailedPrecondition && staffed::is_asked_for() => Code::Unauthenticated,
                None => *code,
            };
            if answered != expected {
                wrong.push(format!("{name} {json} with {:?}: {answered:?}, and not {expected:?}", KINDS[*at]));
            }
        }
    }
    wrong
}

#[test]
fn every_method_has_a_line_and_every_line_a_method() {
    let methods: BTreeSet<String> = methods().into_iter().map(|(name, _)| name).collect();
    let lines: BTreeSet<String> = TABLE.iter().map(|(name, ..)| (*name).to_owned()).collect();
    let missing: Vec<_> = methods.difference(&lines).collect();
    assert!(
        missing.is_empty(),
        "who may call {missing:?}? Add a line for each to TABLE in tests/access_table/grpc.rs, like: \
         (\"delta.v1.Entities/Get\", r#\"{{\"database\":\"here\",\"key\":\"k\"}}\"#, Code::Ok, Read)"
    );
    let stale: Vec<_> = lines.difference(&methods).collect();
    assert!(stale.is_empty(), "there is no {stale:?} any more: remove it from TABLE in tests/access_table/grpc.rs");
}

#[tokio::test]
async fn every_method_serves_those_who_may_call_it_and_nobody_else() {
    let (_directory, server) = server();
    prepare(&server);
    let keys = credentials(&server);
    let all: Vec<_> = (0..KINDS.len()).map(|at| (at, keys.get(&at).cloned())).collect();
    let wrong = wrong(&server, &all).await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_session_may_call_what_its_key_may() {
    let (_directory, server) = server();
    prepare(&server);
    let keys = credentials(&server);
    let counting = keys.iter().filter(|(at, _)| refusal(Any, KINDS[**at]).is_none());
    let sessions: Vec<_> = counting.map(|(at, key)| (*at, Some(login(&server, key)))).collect();
    assert_eq!(sessions.len(), 5);
    let wrong = wrong(&server, &sessions).await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
