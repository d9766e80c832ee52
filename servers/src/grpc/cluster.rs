//! `delta.v1.Cluster`: where a worker's stream comes in. [`crate::cluster`] does the rest.

use std::pin::Pin;

use async_trait::async_trait;
use delta_core::Result;
use futures::Stream;
use tonic::{Request, Response, Status, Streaming};

use crate::cluster::main::Admitted;
use crate::grpc::api::delta::v1::cluster_server::Cluster;
use crate::grpc::api::delta::v1::{FromWorker, ToWorker};
use crate::grpc::call::missing_credential;
use crate::grpc::main_worker::no_cluster;
use crate::grpc::{Skin, answer};

#[async_trait]
impl Cluster for Skin {
    type WorkStream = Pin<Box<dyn Stream<Item = std::result::Result<ToWorker, Status>> + Send>>;

    async fn work(
        &self,
        request: Request<Streaming<FromWorker>>,
    ) -> std::result::Result<Response<Self::WorkStream>, Status> {
        answer(self.begin(request))
    }
}

impl Skin {
    fn begin(&self, request: Request<Streaming<FromWorker>>) -> Result<<Self as Cluster>::WorkStream> {
        let (_, mut extensions, said) = request.into_parts();
        let cluster = self.0.cluster.as_ref().ok_or_else(no_cluster)?;
        let admitted = extensions.remove::<Admitted>().ok_or_else(missing_credential)?;
        Ok(Box::pin(cluster.begin(admitted, said)?))
    }
}
