//! The lines of a key file: what one means, and what is wrong with it, without ever repeating it.

use std::fmt::Display;

use delta_core::keys::MasterKey;
use delta_core::name::KeyId;
use delta_core::{Error, Result};

/// Reads every key, in the order of the lines. `at` names the file in an error, `bare` is the id of a key without one.
pub(crate) fn parse(text: &[u8], at: impl Display, bare: &KeyId) -> Result<Vec<MasterKey>> {
    let mut keys: Vec<MasterKey> = Vec::new();
    for (number, line) in (1..).zip(text.split(|&byte| byte == b'\n')) {
        let wrong = |what: &str| Error::invalid("invalid_key_file", format!("{at}, line {number}: {what}"));
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        // A line that is no key may be one in another spelling: neither half of it goes into a message.
        let key = key(line, bare).ok_or_else(|| {
            wrong("a key is 64 hex digits, or KEY_ID=64 hex digits; `openssl rand -hex 32` makes one")
        })?;
        if keys.iter().any(|other| other.id == key.id) {
            return Err(wrong("an earlier line has a key of the same id; give this one another, as KEY_ID=HEX"));
        }
        keys.push(key);
    }
    Ok(keys)
}

fn key(line: &[u8], bare: &KeyId) -> Option<MasterKey> {
    let line = std::str::from_utf8(line).ok()?;
    let (id, hex) = match line.split_once('=') {
        Some((id, hex)) => (KeyId::parse(id.trim_end()).ok()?, hex),
        None => (bare.clone(), line),
    };
    MasterKey::from_hex(id, hex).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bare() -> KeyId {
        KeyId::parse("bare").unwrap()
    }

    #[test]
    fn a_line_is_a_key_with_or_without_an_id() {
        let (first, second) = ("ab".repeat(32), "CD".repeat(32));
        let text = format!("# two keys\n\n  old-1 = {first}  \r\n\t{second}\n   # end");
        let keys = parse(text.as_bytes(), "f", &bare()).unwrap();
        let seen: Vec<_> = keys.iter().map(|key| (key.id.as_str(), key.key.expose()[0])).collect();
        assert_eq!(seen, [("old-1", 0xab), ("bare", 0xcd)]);
        assert!(parse(b"# nothing\n", "f", &bare()).unwrap().is_empty());
    }

    #[test]
    fn a_bad_line_is_named_and_never_repeated() {
        let hex = "0123456789abcdef".repeat(4);
        for bad in [
            hex[1..].to_owned(),
            format!("{hex}0"),
            format!("id={hex} x"),
            format!("{}={hex}", "..".repeat(4)),
            format!("{hex} # a comment behind a key"),
            // A key in base64 ends like an id without a key.
            "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXM=".to_owned(),
            "correct horse".to_owned(),
        ] {
            let error = parse(format!("# one\n{bad}\n").as_bytes(), "/etc/keys", &bare()).unwrap_err();
            assert_eq!(error.code(), "invalid_key_file");
            let message = format!("{error} {error:?}");
            assert!(message.starts_with("/etc/keys, line 2: "), "{message}");
            assert!(!bad.split(['=', ' ']).any(|part| part.len() > 8 && message.contains(part)), "{message}");
        }
        assert!(parse(b"\xff\xfe", "f", &bare()).is_err());
    }

    #[test]
    fn an_id_stands_for_one_key() {
        let hex = "ab".repeat(32);
        for twice in [format!("{hex}\n{hex}\n"), format!("a={hex}\n\na={hex}\n"), format!("bare={hex}\n{hex}\n")] {
            let error = parse(twice.as_bytes(), "f", &bare()).unwrap_err();
            assert!(error.to_string().contains("same id"), "{error}");
        }
    }
}
