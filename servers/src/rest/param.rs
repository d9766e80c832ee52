//! Names and the like in a request: what they may be stands in the document, and a handler parses them, so that an error
//! has a code of ours and comes after the question who is asking.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::ops::Deref;

use delta_core::name::{DatabaseName, ENTITY_KEY_BYTES_MAX, EntityKey, NAME_BYTES_MAX, SchemaId};
use delta_core::pointer::Pointer;
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaParamIn, MetaSchema, MetaSchemaRef};
use poem_openapi::types::{ParseError, ParseFromJSON, ParseFromParameter, ParseResult, ToJSON, Type};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use serde::Deserialize;
use serde_json::Value;

/// What a text may be: its length in characters, and a regular expression that is the same in ECMA 262, Python and Rust.
pub(crate) trait Described: Send + Sync {
    const PATTERN: Option<&'static str>;
    const LENGTH_MIN: Option<usize> = Some(1);
    const LENGTH_MAX: Option<usize>;
}

/// Letters, digits and three signs, not starting with a dot.
const PLAIN: &str = "^[A-Za-z0-9_-][A-Za-z0-9._-]*$";

impl Described for DatabaseName {
    const PATTERN: Option<&'static str> = Some(PLAIN);
    const LENGTH_MAX: Option<usize> = Some(NAME_BYTES_MAX);
}

impl Described for SchemaId {
    const PATTERN: Option<&'static str> = Some(PLAIN);
    const LENGTH_MAX: Option<usize> = Some(NAME_BYTES_MAX);
}

impl Described for EntityKey {
    /// No slashes, no control characters, and no dot after a dot.
    const PATTERN: Option<&'static str> = Some(r"^\.?([^./\\\x00-\x1f\x7f-\x9f]\.?)*$");
    /// Characters are never more than bytes, which is what the limit counts.
    const LENGTH_MAX: Option<usize> = Some(ENTITY_KEY_BYTES_MAX);
}

/// What keys begin with.
#[derive(Debug)]
pub(crate) struct Prefix;

impl Described for Prefix {
    const PATTERN: Option<&'static str> = None;
    const LENGTH_MIN: Option<usize> = None;
    const LENGTH_MAX: Option<usize> = Some(ENTITY_KEY_BYTES_MAX);
}

impl Described for Pointer {
    const PATTERN: Option<&'static str> = Some("^(/([^/~]|~[01])*)*$");
    const LENGTH_MIN: Option<usize> = None;
    const LENGTH_MAX: Option<usize> = None;
}

/// A list of entity-tags, or `*`.
#[derive(Debug)]
pub(crate) struct ETags;

impl Described for ETags {
    /// RFC 9110, section 8.8.3, in characters that can stand in a header; a list may be empty, or end with a comma.
    const PATTERN: Option<&'static str> = Some(r#"^(\*|((W/)?"[ !#-~]*" *, *)*((W/)?"[ !#-~]*" *)?)$"#);
    const LENGTH_MIN: Option<usize> = None;
    const LENGTH_MAX: Option<usize> = None;
}

/// A header that stands here for the document: [`crate::rest::conditions`] reads it.
pub(crate) struct Told<T>(PhantomData<fn() -> T>);

impl<'a, T: Described> ApiExtractor<'a> for Told<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    type ParamType = ();
    type ParamRawType = ();

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Header)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(schema::<T>())
    }

    async fn from_request(_: &'a Request, _: &mut RequestBody, _: ExtractParamOptions<()>) -> poem::Result<Self> {
        Ok(Self(PhantomData))
    }
}

/// The text that ought to be a `T`.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct Named<T>(String, PhantomData<fn() -> T>);

impl<T> Deref for Named<T> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

fn schema<T: Described>() -> MetaSchemaRef {
    MetaSchemaRef::Inline(Box::new(MetaSchema {
        min_length: T::LENGTH_MIN,
        max_length: T::LENGTH_MAX,
        pattern: T::PATTERN.map(str::to_owned),
        ..MetaSchema::new("string")
    }))
}

impl<T: Described> Type for Named<T> {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "string".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        schema::<T>()
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl<T: Described> ParseFromParameter for Named<T> {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        Ok(Self(value.to_owned(), PhantomData))
    }
}

impl<T: Described> ParseFromJSON for Named<T> {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        let text = String::parse_from_json(value).map_err(ParseError::propagate)?;
        Ok(Self(text, PhantomData))
    }
}

impl<T: Described> ToJSON for Named<T> {
    fn to_json(&self) -> Option<Value> {
        Some(Value::String(self.0.clone()))
    }
}

/// A parameter that the document demands, and whose absence the handler answers.
#[derive(Debug)]
pub(crate) struct Demanded<T>(Option<Named<T>>);

impl<T> Demanded<T> {
    /// The text, where the parameter was given.
    pub(crate) fn as_deref(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl<T: Described> Type for Demanded<T> {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "string".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        schema::<T>()
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl<T: Described> ParseFromParameter for Demanded<T> {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        Ok(Self(Some(Named(value.to_owned(), PhantomData))))
    }

    fn parse_from_parameters<I: IntoIterator<Item = A>, A: AsRef<str>>(iter: I) -> ParseResult<Self> {
        let given = iter.into_iter().next();
        Ok(Self(given.map(|value| Named(value.as_ref().to_owned(), PhantomData))))
    }
}
