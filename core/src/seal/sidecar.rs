//! The sidecar of an object: what its header says, in JSON for people and tools (FORMAT.md, "Layout").
//!
//! A storage may write it beside the object; nothing here ever reads one, so it may be late, missing or forged without
//! harm. It never tells an entity's key, and its database only where the names of the store are plain.

use data_encoding::BASE64;
use serde::Serialize;

use crate::address::plain_database;
use crate::seal::header::Header;
use crate::storage::ObjectName;

#[derive(Serialize)]
struct Sidecar<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<String>,
    key_id: &'a str,
    alg: &'static str,
    iv: String,
    tag: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema_version: Option<u32>,
    version: u64,
    writer_id: &'a str,
    created_at: String,
    updated_at: String,
    size: usize,
    etag: String,
}

/// The sidecar of an image that lies under a name, as JSON; `None` for what is no sealed object or one of a deleted entity.
///
/// `size` is that of the image in bytes, `iv` and `tag` are base64 with padding, and times are RFC 3339.
pub fn sidecar(name: &ObjectName, image: &[u8]) -> Option<Vec<u8>> {
    let header = Header::parse_object(image).ok()?;
    let meta = header.meta().ok().filter(|meta| !meta.tombstone)?;
    let (content, _checksum) = image.split_last_chunk::<4>()?;
    let (_, tag) = content.split_last_chunk::<16>()?;
    let sidecar = Sidecar {
        database: plain_database(name),
        key_id: header.key_id,
        alg: "AES-GCM",
        iv: BASE64.encode(header.nonce.get(20..)?),
        tag: BASE64.encode(tag),
        schema_id: meta.schema.as_ref().map(|_| header.schema_id),
        schema_version: meta.schema.as_ref().map(|(_, version)| *version),
        version: meta.version,
        writer_id: header.writer_id,
        created_at: meta.created.to_string(),
        updated_at: meta.updated.to_string(),
        size: image.len(),
        etag: meta.etag().to_text(),
    };
    let mut json = serde_json::to_vec_pretty(&sidecar).ok()?;
    json.push(b'\n');
    Some(json)
}
