//! `delta.v1.Databases`.

use async_trait::async_trait;
use delta_core::Result;
use delta_core::databases::{Described, DropProgress, Settings};
use delta_core::name::DatabaseName;
use delta_core::{Error, auth::Principal};
use tonic::{Request, Response, Status};

use crate::grpc::api::delta::v1 as wire;
use crate::grpc::api::delta::v1::databases_server::Databases;
use crate::grpc::{Skin, answer, caller, optional};

type Answer<T> = std::result::Result<Response<T>, Status>;

#[async_trait]
impl Databases for Skin {
    async fn list(&self, request: Request<wire::ListDatabasesRequest>) -> Answer<wire::ListDatabasesResponse> {
        answer(self.list_databases(request).await)
    }

    async fn get(&self, request: Request<wire::GetDatabaseRequest>) -> Answer<wire::Database> {
        answer(self.get_database(request).await)
    }

    async fn set(&self, request: Request<wire::SetDatabaseRequest>) -> Answer<wire::Database> {
        answer(self.set_database(request).await)
    }

    async fn drop(&self, request: Request<wire::DropDatabaseRequest>) -> Answer<wire::DropDatabaseResponse> {
        answer(self.drop_database(request).await)
    }
}

impl Skin {
    async fn list_databases(
        &self,
        request: Request<wire::ListDatabasesRequest>,
    ) -> Result<wire::ListDatabasesResponse> {
        let (who, _) = caller(request)?;
        let databases = self.0.entities.databases(&who).await?;
        Ok(wire::ListDatabasesResponse { databases: databases.into_iter().map(String::from).collect() })
    }

    async fn get_database(&self, request: Request<wire::GetDatabaseRequest>) -> Result<wire::Database> {
        let (who, asked) = caller(request)?;
        self.described(&who, &asked.database.parse()?).await
    }

    async fn set_database(&self, request: Request<wire::SetDatabaseRequest>) -> Result<wire::Database> {
        let (who, asked) = caller(request)?;
        let database: DatabaseName = asked.database.parse()?;
        let missing =
            || Error::invalid("missing_settings", "the request has no settings; set them, even to the defaults");
        let wanted = asked.settings.ok_or_else(missing)?;
        let settings = Settings { schema_id: optional(&wanted.schema_id)?, require_schema: wanted.require_schema };
        self.0.engine.databases().set(&who, &database, settings.clone()).await?;
        Ok(described(&database, Described { settings, dropping: None }))
    }

    async fn drop_database(&self, request: Request<wire::DropDatabaseRequest>) -> Result<wire::DropDatabaseResponse> {
        let (who, asked) = caller(request)?;
        self.0.engine.drop_database(&who, &asked.database.parse()?).await?;
        Ok(wire::DropDatabaseResponse {})
    }

    async fn described(&self, who: &Principal, database: &DatabaseName) -> Result<wire::Database> {
        Ok(described(database, self.0.engine.database(who, database).await?))
    }
}

fn described(database: &DatabaseName, found: Described) -> wire::Database {
    let schema_id = found.settings.schema_id.map(String::from).unwrap_or_default();
    let settings = Some(wire::Settings { schema_id, require_schema: found.settings.require_schema });
    let progress =
        |drop: DropProgress| wire::DropProgress { removed: drop.removed, trouble: drop.trouble.unwrap_or_default() };
    wire::Database { name: database.to_string(), settings, dropping: found.dropping.map(progress) }
}
