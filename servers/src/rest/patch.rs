//! Patches: a body whose type says how it changes a document.

use delta_core::document::Document;
use delta_core::patch::{JSON_PATCH, MERGE_PATCH, OPERATIONS_DEPTH, Patch};
use delta_core::pointer::Pointer;
use poem::{Request, RequestBody, Result};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchemaRef, Registry};
use poem_openapi::types::{Any, Type};
use poem_openapi::{ApiExtractor, ApiExtractorType, Enum, ExtractParamOptions, Object};
use serde_json::Value;

use crate::rest::body::{AnyJson, Describe, JsonBody, essence, unsupported};
use crate::rest::param::Named;
use crate::rest::problem::Problem;

/// What an operation does.
#[derive(Debug, Enum)]
#[oai(rename_all = "lowercase")]
pub(crate) enum PatchOp {
    /// Puts a value at a place that may be new.
    Add,
    /// Removes what is at a place.
    Remove,
    /// Puts a value at a place that exists.
    Replace,
    /// Moves what is at `from` to `path`.
    Move,
    /// Copies what is at `from` to `path`.
    Copy,
    /// Demands a value at a place, or nothing of the patch is applied.
    Test,
}

/// One operation of a JSON Patch (RFC 6902, section 4).
#[derive(Debug, Object)]
pub(crate) struct PatchOperation {
    op: PatchOp,
    /// Where, as a JSON Pointer.
    path: Named<Pointer>,
    /// For `move` and `copy`: from where, as a JSON Pointer.
    from: Option<Named<Pointer>>,
    /// For `add`, `replace` and `test`: any JSON value.
    value: Option<Any<Value>>,
}

/// A patch that has not been read yet.
pub(crate) struct PatchBody(JsonBody<AnyJson>);

impl PatchBody {
    /// Reads the patch; its type must be one of the two.
    pub(crate) async fn read(self, depth_max: usize) -> std::result::Result<Patch, Problem> {
        let ((kind, around), bytes) = self.0.read_as(kind).await?;
        Ok(kind(Document::parse(&bytes, depth_max + around)?))
    }
}

/// What a type makes of a body, and how deep a value lies in it.
type Kind = (fn(Document) -> Patch, usize);

fn kind(content_type: Option<&str>) -> std::result::Result<Kind, Problem> {
    match essence(content_type).as_str() {
        MERGE_PATCH => Ok((Patch::Merge, 0)),
        JSON_PATCH => Ok((Patch::Operations, OPERATIONS_DEPTH)),
        other => {
            Err(unsupported(&format!("a patch of type {other:?} is not read here; send {MERGE_PATCH} or {JSON_PATCH}")))
        }
    }
}

impl<'a> ApiExtractor<'a> for PatchBody {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        <Vec<PatchOperation> as Type>::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let media = |content_type, schema: MetaSchemaRef| MetaMediaType { content_type, schema };
        let content =
            vec![media(MERGE_PATCH, AnyJson::schema()), media(JSON_PATCH, <Vec<PatchOperation> as Type>::schema_ref())];
        Some(MetaRequest { description: None, content, required: true })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        options: ExtractParamOptions<()>,
    ) -> Result<Self> {
        JsonBody::from_request(request, body, options).await.map(Self)
    }
}
