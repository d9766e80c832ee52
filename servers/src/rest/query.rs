//! Queries are UTF-8, or refused: the parser behind the routes would repair what is not, and name another entity.

use data_encoding::HEXLOWER_PERMISSIVE;
use delta_core::{Error, Result};

/// Refuses a query that is not UTF-8 once it is decoded.
pub(crate) fn check(query: Option<&str>) -> Result<()> {
    match query {
        Some(query) if query.contains('%') && std::str::from_utf8(&decode(query)).is_err() => {
            Err(Error::invalid("invalid_parameter", "the query is not UTF-8 once its %XX are decoded"))
        }
        _ => Ok(()),
    }
}

fn decode(query: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(query.len());
    let mut rest = query.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = tail.split_first_chunk::<2>().filter(|_| first == b'%');
        let byte = hex.and_then(|(hex, after)| Some((HEXLOWER_PERMISSIVE.decode(hex).ok()?, after)));
        match byte {
            Some((byte, after)) => {
                decoded.extend(byte);
                rest = after;
            }
            None => {
                decoded.push(first);
                rest = tail;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_query_that_decodes_to_utf8_passes() {
        for good in ["", "key=a", "key=%C3%A4", "key=%c3%a4&b=%F0%9F%98%80", "a%", "a%4", "%zz", "%25FF"] {
            assert!(check(Some(good)).is_ok(), "{good}");
        }
        for bad in ["key=%FF", "key=%C3", "%c3=a", "key=%C3&b=%A4", "key=%ED%A0%80"] {
            assert_eq!(check(Some(bad)).unwrap_err().code(), "invalid_parameter", "{bad}");
        }
        assert!(check(None).is_ok());
    }
}
