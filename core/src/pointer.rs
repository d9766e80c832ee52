//! JSON Pointers (RFC 6901): the way to one part of a document.
//!
//! A pointer is parsed once and then only walked. The surprise is the array index: whether `0` means a member or an
//! item is known only where the pointer meets the document.

use std::fmt;
use std::str::FromStr;

use crate::document::DEPTH_MAX_CEILING;
use crate::error::{Error, Result};

/// The most steps a pointer may take: no document is deeper.
pub const POINTER_STEPS_MAX: usize = DEPTH_MAX_CEILING + 1;

/// A JSON Pointer: the steps from the whole document to one of its parts, unescaped.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Pointer(Vec<String>);

impl Pointer {
    /// Parses `/a/0/b`, with `~1` for a slash and `~0` for a tilde within a step; the empty text is the whole document.
    pub fn parse(text: &str) -> Result<Self> {
        let Some(rest) = text.strip_prefix('/') else {
            return if text.is_empty() { Ok(Self::default()) } else { Err(invalid("must be empty or start with '/'")) };
        };
        if rest.split('/').count() > POINTER_STEPS_MAX {
            return Err(invalid(&format!("may have at most {POINTER_STEPS_MAX} steps")));
        }
        rest.split('/').map(unescape).collect::<Result<_>>().map(Self)
    }

    /// The steps, unescaped.
    pub fn steps(&self) -> &[String] {
        &self.0
    }
}

impl FromStr for Pointer {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| write!(f, "/{}", step.replace('~', "~0").replace('/', "~1")))
    }
}

fn invalid(reason: &str) -> Error {
    Error::invalid("invalid_pointer", format!("a JSON pointer {reason} (RFC 6901), as in /a/0/b"))
}

fn unescape(step: &str) -> Result<String> {
    let mut parts = step.split('~');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (tilde, rest) = match (part.strip_prefix('0'), part.strip_prefix('1')) {
            (Some(rest), _) => ('~', rest),
            (_, Some(rest)) => ('/', rest),
            _ => return Err(invalid("has '~' only as ~0, which stands for '~', or ~1, which stands for '/'")),
        };
        text.push(tilde);
        text.push_str(rest);
    }
    Ok(text)
}

/// The index that a step names in an array: digits without leading zeros.
pub(crate) fn index(step: &str) -> Option<usize> {
    let plain = step == "0" || !step.starts_with('0');
    (plain && step.bytes().all(|byte| byte.is_ascii_digit())).then(|| step.parse().ok()).flatten()
}

#[cfg(test)]
#[path = "pointer_tests.rs"]
mod tests;
