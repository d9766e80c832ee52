//! Conditional requests (RFC 9110, section 13): `If-Match` and `If-None-Match`, for reads and for writes.

use delta_core::entities::{ETag, Precondition};
use delta_core::{Error, ErrorKind, Result};
use http::header::{HeaderMap, HeaderName, IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};

/// The entity-tags of one header.
#[derive(Debug, PartialEq, Eq)]
enum Tags {
    /// `*`
    Any,
    /// Those of ours; a tag of another server matches nothing here.
    These { strong: Vec<ETag>, weak: Vec<ETag> },
}

/// What became of a read's conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    /// The caller does not have this version.
    Send,
    /// The caller has this version.
    NotModified,
}

/// What a read's headers say about the version that was found.
pub(crate) fn read(headers: &HeaderMap, found: ETag) -> Result<Read> {
    if let Some(Tags::These { strong, .. }) = tags(headers, &IF_MATCH)?
        && !strong.contains(&found)
    {
        let message = "the entity is not the version that If-Match names; read it without the header";
        return Err(Error::new(ErrorKind::PreconditionFailed, message));
    }
    Ok(match tags(headers, &IF_NONE_MATCH)? {
        Some(Tags::Any) => Read::NotModified,
        Some(Tags::These { strong, weak }) if strong.contains(&found) || weak.contains(&found) => Read::NotModified,
        _ => Read::Send,
    })
}

/// What a write's headers demand.
pub(crate) fn write(headers: &HeaderMap) -> Result<Precondition> {
    if headers.contains_key(IF_UNMODIFIED_SINCE) {
        return Err(unsupported("If-Unmodified-Since is not exact enough for a write; send If-Match with an ETag"));
    }
    Ok(match (tags(headers, &IF_MATCH)?, tags(headers, &IF_NONE_MATCH)?) {
        (None, None) => Precondition::None,
        (Some(Tags::Any), None) => Precondition::Exists,
        (Some(Tags::These { strong, .. }), None) => Precondition::Matches(strong),
        (None, Some(Tags::Any)) => Precondition::Absent,
        (None, Some(Tags::These { mut strong, weak })) => {
            strong.extend(weak);
            Precondition::NoneOf(strong)
        }
        (Some(_), Some(_)) => return Err(unsupported("send If-Match or If-None-Match, not both")),
    })
}

/// Refuses conditions where a request is about many entities, rather than ignore them.
pub(crate) fn none(headers: &HeaderMap) -> Result<()> {
    match [IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE].iter().find(|name| headers.contains_key(*name)) {
        Some(name) => Err(unsupported(&format!("{name} counts for one entity; use PUT /entity/{{database}}/{{key}}"))),
        None => Ok(()),
    }
}

fn unsupported(message: &str) -> Error {
    Error::invalid("unsupported_precondition", message)
}

/// The tags of every line of a header; `None` without one.
fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>> {
    let mut lines = headers.get_all(name).iter().peekable();
    if lines.peek().is_none() {
        return Ok(None);
    }
    let malformed = || Error::invalid("invalid_etag", format!("{name} must be * or a list of quoted ETags"));
    let (mut strong, mut weak) = (Vec::new(), Vec::new());
    for line in lines {
        let mut rest = line.to_str().map_err(|_| malformed())?.trim();
        if rest == "*" {
            return Ok(Some(Tags::Any));
        }
        while !rest.is_empty() {
            let (into, quoted) = match rest.strip_prefix("W/") {
                Some(quoted) => (&mut weak, quoted),
                None => (&mut strong, rest),
            };
            let inner = quoted.strip_prefix('"').ok_or_else(malformed)?;
            let (tag, behind) = inner.split_once('"').ok_or_else(malformed)?;
            into.extend(format!("\"{tag}\"").parse::<ETag>().ok());
            let behind = behind.trim_start();
            rest = match behind.strip_prefix(',') {
                Some(next) => next.trim_start(),
                None if behind.is_empty() => behind,
                None => return Err(malformed()),
            };
        }
    }
    Ok(Some(Tags::These { strong, weak }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const A: &str = "\"1-0000000000000001\"";
    const B: &str = "\"2-0000000000000002\"";

    fn headers(lines: &[(&HeaderName, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| ((*name).clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    fn tag(text: &str) -> ETag {
        text.parse().unwrap()
    }

    #[test]
    fn a_write_demands_what_its_headers_say() {
        let demand = |lines: &[(&HeaderName, &str)]| write(&headers(lines));
        assert_eq!(demand(&[]).unwrap(), Precondition::None);
        assert_eq!(demand(&[(&IF_MATCH, "*")]).unwrap(), Precondition::Exists);
        assert_eq!(demand(&[(&IF_NONE_MATCH, " * ")]).unwrap(), Precondition::Absent);
        let list = format!("{A} , \"of, another server\",{B}");
        assert_eq!(demand(&[(&IF_MATCH, &list)]).unwrap(), Precondition::Matches(vec![tag(A), tag(B)]));
        assert_eq!(demand(&[(&IF_MATCH, &format!("W/{A}"))]).unwrap(), Precondition::Matches(vec![]));
        assert_eq!(demand(&[(&IF_NONE_MATCH, &format!("W/{A}"))]).unwrap(), Precondition::NoneOf(vec![tag(A)]));
        for (bad, code) in [
            (vec![(&IF_MATCH, "1-0000000000000001")], "invalid_etag"),
            (vec![(&IF_MATCH, "\"open")], "invalid_etag"),
            (vec![(&IF_MATCH, "\"a\" \"b\"")], "invalid_etag"),
            (vec![(&IF_MATCH, "*"), (&IF_NONE_MATCH, "*")], "unsupported_precondition"),
            (vec![(&IF_UNMODIFIED_SINCE, "Sat, 29 Oct 1994 19:43:31 GMT")], "unsupported_precondition"),
        ] {
            assert_eq!(demand(&bad).unwrap_err().code(), code, "{bad:?}");
        }
        assert!(none(&headers(&[])).is_ok());
        assert!(none(&headers(&[(&IF_MATCH, "*")])).is_err());
    }

    #[test]
    fn a_read_is_sent_unless_the_caller_has_it() {
        let outcome = |lines: &[(&HeaderName, &str)]| read(&headers(lines), tag(A));
        assert_eq!(outcome(&[]).unwrap(), Read::Send);
        assert_eq!(outcome(&[(&IF_NONE_MATCH, B)]).unwrap(), Read::Send);
        for same in [A, &format!("W/{A}"), &format!("{B}, {A}"), "*"] {
            assert_eq!(outcome(&[(&IF_NONE_MATCH, same)]).unwrap(), Read::NotModified, "{same}");
        }
        assert_eq!(outcome(&[(&IF_MATCH, "*")]).unwrap(), Read::Send);
        assert_eq!(outcome(&[(&IF_MATCH, A), (&IF_NONE_MATCH, A)]).unwrap(), Read::NotModified);
        assert_eq!(outcome(&[(&IF_MATCH, B)]).unwrap_err().kind(), ErrorKind::PreconditionFailed);
    }

    #[test]
    fn the_tags_of_several_lines_count_together() {
        let mut map = headers(&[(&IF_NONE_MATCH, B)]);
        map.append(IF_NONE_MATCH, HeaderValue::from_static(A));
        assert_eq!(read(&map, tag(A)).unwrap(), Read::NotModified);
    }
}
