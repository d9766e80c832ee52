//! `get --lines`: every document of a database, one a line, as `put --lines` takes them.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use ::http::Method;
use anyhow::Context;
use delta_core::document::{DEPTH_MAX_CEILING, parse_elements, parse_members};
use delta_core::name::DatabaseName;
use serde_json::{Value, json};

use super::connection::Connection;
use super::failure::Outcome;
use super::http::{Client, JSON, bad_answer};
use super::list::{PAGE_KEYS_MAX, Query};
use super::output;
use crate::cli::progress;

/// How many bytes of documents are asked for at once; one that is larger comes alone.
const GROUP_BYTES_MAX: u64 = 8 << 20;

/// Writes the documents whose keys begin with a prefix to a file or standard output.
pub(crate) fn run(
    connection: &Connection,
    database: &DatabaseName,
    prefix: Option<&str>,
    file: Option<&Path>,
) -> Outcome {
    let client = Client::open(connection)?;
    let mut out = file.map(create).transpose()?;
    let mut write = |bytes: &[u8]| match (&mut out, file) {
        (Some(out), Some(file)) => {
            Ok(out.write_all(bytes).with_context(|| format!("cannot write {}", file.display()))?)
        }
        _ => output::write(bytes),
    };
    let query = Query { database, prefix, metadata: false };
    let progress = progress::spinner();
    let (mut cursor, mut documents) = (None, 0);
    loop {
        let page = query.page(&client, PAGE_KEYS_MAX, cursor.as_deref())?;
        for keys in groups(&page.items) {
            let (lines, found) = lines(&client, database, &keys)?;
            documents += found;
            progress.suspend(|| write(&lines))?;
            progress.set_message(format!("{documents} documents"));
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    progress.finish_and_clear();
    match (out, file) {
        (Some(mut out), Some(file)) => Ok(out.flush().with_context(|| format!("cannot write {}", file.display()))?),
        _ => Ok(()),
    }
}

fn create(file: &Path) -> anyhow::Result<BufWriter<File>> {
    let created = File::create(file).with_context(|| format!("cannot write {}; check the path", file.display()));
    Ok(BufWriter::new(created?))
}

/// The keys of a page in groups of documents that are small together.
fn groups(items: &[Value]) -> Vec<Vec<&str>> {
    let mut groups: Vec<Vec<&str>> = Vec::new();
    let mut bytes = u64::MAX;
    for item in items {
        let Some(key) = item.get("key").and_then(Value::as_str) else { continue };
        let size = item.get("size").and_then(Value::as_u64).unwrap_or_default();
        bytes = bytes.saturating_add(size);
        match groups.last_mut() {
            Some(group) if bytes <= GROUP_BYTES_MAX => group.push(key),
            _ => {
                groups.push(vec![key]);
                bytes = size;
            }
        }
    }
    groups
}

/// The lines of some documents, and how many there still are.
fn lines(client: &Client, database: &DatabaseName, keys: &[&str]) -> Outcome<(Vec<u8>, u64)> {
    let call = client.call(Method::POST, &["api", "databases", database.as_str(), "batch-get"])?;
    let answer = call.body(json!({"keys": keys}).to_string(), JSON).send()?;
    // Taken apart by the parser that keeps every byte of a document.
    let members = parse_members(&answer.body, DEPTH_MAX_CEILING).map_err(|_| bad_answer())?;
    let items = members.into_iter().find(|(name, _)| name == "items").ok_or_else(bad_answer)?.1;
    let (mut lines, mut found) = (Vec::with_capacity(answer.body.len()), 0);
    for item in parse_elements(items.bytes(), DEPTH_MAX_CEILING).map_err(|_| bad_answer())? {
        let members = parse_members(item.bytes(), DEPTH_MAX_CEILING).map_err(|_| bad_answer())?;
        let member = |wanted| members.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.bytes());
        // One that was deleted since its key was listed has no document.
        let (Some(key), Some(document)) = (member("key"), member("document")) else { continue };
        found += 1;
        lines.extend_from_slice(b"{\"key\":");
        lines.extend_from_slice(key);
        lines.extend_from_slice(b",\"document\":");
        // Strings hold no line breaks as they are: those that there are stand between tokens.
        lines.extend(document.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
        lines.extend_from_slice(b"}\n");
    }
    Ok((lines, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_small_together_and_lose_no_key() {
        let item = |key: &str, size: u64| json!({"key": key, "size": size});
        let items =
            [item("a", GROUP_BYTES_MAX - 1), item("b", 1), item("c", 1), item("d", 2 * GROUP_BYTES_MAX), item("e", 0)];
        assert_eq!(groups(&items), [vec!["a", "b"], vec!["c"], vec!["d"], vec!["e"]]);
        assert!(groups(&[]).is_empty());
    }
}
