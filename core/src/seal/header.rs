//! The header of an object: read field by field, and refused unless all of it adds up.

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::name::SchemaId;
use crate::seal::{FLAG_TOMBSTONE, FORMAT, MAGIC, Meta, SUITE, TRAILER_BYTES, WriteId, shorter};

/// A header as it lies in an image.
#[derive(Debug)]
pub(super) struct Header<'a> {
    pub(super) bytes: usize,
    pub(super) body_bytes: usize,
    pub(super) flags: u8,
    pub(super) version: u64,
    pub(super) created: u64,
    pub(super) updated: u64,
    pub(super) expires: u64,
    pub(super) schema_version: u32,
    pub(super) write_id: [u8; 16],
    pub(super) nonce: &'a [u8],
    pub(super) key_id: &'a str,
    pub(super) writer_id: &'a str,
    pub(super) schema_id: &'a str,
    pub(super) sealed_name: &'a [u8],
}

impl<'a> Header<'a> {
    /// Reads the header of a whole object, after its checksum.
    pub(super) fn parse_object(image: &'a [u8]) -> Result<Self> {
        let (content, checksum) = image.split_last_chunk::<4>().ok_or_else(shorter)?;
        if crc32c::crc32c(content) != u32::from_le_bytes(*checksum) {
            return Err(Error::damaged("an object does not pass its checksum"));
        }
        let header = Self::parse(image)?;
        if header.bytes + TRAILER_BYTES + header.body_bytes != image.len() {
            return Err(Error::damaged("an object is not as long as its header says"));
        }
        Ok(header)
    }

    /// Reads a header that may be followed by anything or nothing.
    pub(super) fn parse(image: &'a [u8]) -> Result<Self> {
        let mut rest = image;
        let fixed = take(&mut rest, 16)?;
        let &[m0, m1, m2, m3, format, suite, flags, reserved, h0, h1, n0, n1, key, writer, schema, padding] = fixed
        else {
            return Err(shorter());
        };
        if [m0, m1, m2, m3] != *MAGIC {
            return Err(Error::damaged("this is not a sealed object"));
        }
        if (format, suite) != (FORMAT, SUITE) || flags & !FLAG_TOMBSTONE != 0 || reserved != 0 || padding > 7 {
            let message =
                format!("an object has format {format}, suite {suite} and flags {flags}, unknown to this version");
            return Err(Error::damaged(message).with_code("unknown_format"));
        }
        let [version, created, updated, expires] =
            [number(&mut rest)?, number(&mut rest)?, number(&mut rest)?, number(&mut rest)?];
        let schema_version = u32::from_le_bytes(array(&mut rest)?);
        let body_bytes = u32::from_le_bytes(array(&mut rest)?) as usize;
        let write_id = array(&mut rest)?;
        let nonce = take(&mut rest, 32)?;
        let key_id = text(take(&mut rest, key.into())?)?;
        let writer_id = text(take(&mut rest, writer.into())?)?;
        let schema_id = text(take(&mut rest, schema.into())?)?;
        let sealed_name = take(&mut rest, u16::from_le_bytes([n0, n1]).into())?;
        if take(&mut rest, padding.into())?.iter().any(|&byte| byte != 0) {
            return Err(Error::damaged("the padding of an object is not zero"));
        }
        let bytes = usize::from(u16::from_le_bytes([h0, h1]));
        if bytes != image.len() - rest.len() {
            return Err(Error::damaged("the lengths in an object's header do not add up"));
        }
        Ok(Self {
            bytes,
            body_bytes,
            flags,
            version,
            created,
            updated,
            expires,
            schema_version,
            write_id,
            nonce,
            key_id,
            writer_id,
            schema_id,
            sealed_name,
        })
    }

    pub(super) fn meta(&self) -> Result<Meta> {
        let schema = match self.schema_id {
            "" => None,
            id => Some((SchemaId::parse(id).map_err(|_| not_ours())?, self.schema_version)),
        };
        Ok(Meta {
            version: self.version,
            created: Timestamp(self.created),
            updated: Timestamp(self.updated),
            expires: (self.expires != 0).then_some(Timestamp(self.expires)),
            schema,
            write_id: WriteId(self.write_id),
            tombstone: self.flags & FLAG_TOMBSTONE != 0,
        })
    }
}

fn take<'a>(rest: &mut &'a [u8], bytes: usize) -> Result<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(bytes).ok_or_else(shorter)?;
    *rest = tail;
    Ok(head)
}

fn array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or_else(shorter)?;
    *rest = tail;
    Ok(*head)
}

fn number(rest: &mut &[u8]) -> Result<u64> {
    Ok(u64::from_le_bytes(array(rest)?))
}

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| not_ours())
}

fn not_ours() -> Error {
    Error::damaged("the header of an object holds a name that this product does not write")
}
