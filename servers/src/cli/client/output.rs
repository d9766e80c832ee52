//! What goes to standard output: documents byte for byte, JSON as the server answered it, and tables.
//!
//! Names and texts in tables come from other clients: nothing in them may drive the terminal. A reader that leaves early,
//! as `head` does, ends the command quietly.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use serde_json::Value;

use super::connection::Connection;
use super::failure::{Exit, Failure, Outcome};
use super::http::Answer;

/// What stands where there is nothing to say.
const NOTHING: &str = "-";

/// Writes bytes as they are.
pub(crate) fn write(bytes: &[u8]) -> Outcome {
    let mut out = io::stdout().lock();
    let written = out.write_all(bytes).and_then(|()| out.flush());
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::reader_gone(),
        _ => Failure::new(Exit::Failed, "output", format!("cannot write to standard output: {error}")),
    })
}

/// Writes a line.
pub(crate) fn line(text: &str) -> Outcome {
    write(format!("{text}\n").as_bytes())
}

/// Writes an answer of the server as one JSON text.
pub(crate) fn json(body: &[u8]) -> Outcome {
    write(&[body.trim_ascii_end(), b"\n"].concat())
}

/// Writes a document: the exact bytes, or on a terminal the same document with control characters escaped.
pub(crate) fn document(bytes: &[u8]) -> Outcome {
    if !io::stdout().is_terminal() {
        return write(bytes);
    }
    line(&for_terminal(&String::from_utf8_lossy(bytes)))
}

/// JSON allows DEL and the C1 control characters in strings as they are, and terminals obey them.
fn for_terminal(document: &str) -> String {
    let mut text = String::with_capacity(document.len());
    for character in document.trim_end().chars() {
        match character {
            '\u{7f}'..='\u{9f}' => text.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ if is_bidi(character) => text.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => text.push(character),
        }
    }
    text
}

/// Characters that reorder what is shown around them.
fn is_bidi(character: char) -> bool {
    matches!(character, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text in which nothing can break the line or drive the terminal.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    let harmful = |c: char| c.is_control() || is_bidi(c) || matches!(c, '\u{2028}' | '\u{2029}');
    if !text.contains(harmful) {
        return Cow::Borrowed(text);
    }
    let escape = |c: char| if harmful(c) { c.escape_default().collect() } else { String::from(c) };
    Cow::Owned(text.chars().map(escape).collect())
}

/// A column of a table: its title, and the member of each item that it shows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    title: &'static str,
    member: &'static str,
    width_min: usize,
    right: bool,
}

impl Column {
    /// A column of text.
    pub(crate) const fn text(title: &'static str, member: &'static str) -> Self {
        Self { title, member, width_min: 0, right: false }
    }

    /// A column of numbers, which stay aligned from one page to the next.
    pub(crate) const fn number(title: &'static str, member: &'static str) -> Self {
        Self { title, member, width_min: 8, right: true }
    }
}

/// Rows below each other in aligned columns, without borders.
pub(crate) fn table(columns: &[Column], items: &[Value], titles: bool) -> String {
    let head = titles.then(|| columns.iter().map(|column| column.title.to_owned()).collect::<Vec<_>>());
    let row = |item: &Value| columns.iter().map(|column| cell(item.get(column.member))).collect::<Vec<_>>();
    let rows: Vec<Vec<String>> = head.into_iter().chain(items.iter().map(row)).collect();
    let width = |at: usize, column: &Column| {
        let widths = rows.iter().filter_map(|row| row.get(at)).map(|cell| width(cell));
        widths.max().unwrap_or_default().max(column.width_min)
    };
    let widths: Vec<usize> = columns.iter().enumerate().map(|(at, column)| width(at, column)).collect();
    rows.iter().map(|row| align(columns, &widths, row)).collect()
}

fn align(columns: &[Column], widths: &[usize], row: &[String]) -> String {
    let mut line = String::new();
    for ((column, wide), cell) in columns.iter().zip(widths).zip(row) {
        let padding = " ".repeat(wide.saturating_sub(width(cell)));
        line = if column.right { line + &padding + cell } else { line + cell + &padding };
        line.push_str("  ");
    }
    format!("{}\n", line.trim_end())
}

fn width(text: &str) -> usize {
    console::measure_text_width(text)
}

/// The members of one object, one a line, those that are there.
pub(crate) fn fields(item: &Value, members: &[(&str, &str)]) -> String {
    let there = members.iter().filter_map(|(title, member)| Some((*title, item.get(*member)?)));
    let there: Vec<(&str, &Value)> = there.collect();
    let widest = there.iter().map(|(title, _)| title.len()).max().unwrap_or_default();
    there.into_iter().map(|(title, value)| format!("{title:widest$}  {}\n", cell(Some(value)))).collect()
}

/// An answer that is an array: as it is with `--json`, else as a table.
pub(crate) fn items(connection: &Connection, answer: &Answer, columns: &[Column]) -> Outcome {
    if connection.json {
        return json(&answer.body);
    }
    let items = answer.json()?;
    write(table(columns, items.as_array().map(Vec::as_slice).unwrap_or_default(), true).as_bytes())
}

/// An answer that is an array of names: as it is with `--json`, else one a line.
pub(crate) fn names(connection: &Connection, answer: &Answer) -> Outcome {
    if connection.json {
        return json(&answer.body);
    }
    let names = answer.json()?;
    let names = names.as_array().map(Vec::as_slice).unwrap_or_default().iter().filter_map(Value::as_str);
    write(names.map(|name| format!("{}\n", printable(name))).collect::<String>().as_bytes())
}

/// An answer that only says that something is done: as it is with `--json`, else in these words.
pub(crate) fn done(connection: &Connection, answer: &Answer, words: &str) -> Outcome {
    if connection.json { json(&answer.body) } else { line(words) }
}

/// An answer that is an object: as it is with `--json`, else one member a line.
pub(crate) fn object(connection: &Connection, answer: &Answer, members: &[(&str, &str)]) -> Outcome {
    if connection.json {
        return json(&answer.body);
    }
    write(fields(&answer.json()?, members).as_bytes())
}

/// A value as text in a cell.
fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => NOTHING.into(),
        Some(Value::String(text)) if text.is_empty() => NOTHING.into(),
        Some(Value::String(text)) => printable(text).into_owned(),
        Some(Value::Bool(yes)) => if *yes { "yes" } else { "no" }.into(),
        Some(Value::Array(items)) if items.is_empty() => NOTHING.into(),
        Some(Value::Array(items)) => items.iter().map(|item| cell(Some(item))).collect::<Vec<_>>().join(","),
        Some(Value::Object(members)) if members.contains_key("database") && members.contains_key("actions") => {
            format!("{}:{}", cell(members.get("database")), cell(members.get("actions")))
        }
        Some(Value::Object(members)) => {
            let member = |(name, value): (&String, &Value)| format!("{}={}", printable(name), cell(Some(value)));
            members.iter().map(member).collect::<Vec<_>>().join(",")
        }
        Some(number) => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_align_and_lines_have_no_trailing_space() {
        let columns = [Column::number("SIZE", "size"), Column::text("KEY", "key"), Column::text("X", "x")];
        let items = [json!({"size": 12, "key": "a"}), json!({"size": 3456, "key": "größer", "x": true})];
        let expected = "    SIZE  KEY     X\n      12  a       -\n    3456  größer  yes\n";
        assert_eq!(table(&columns, &items, true), expected);
        assert_eq!(table(&columns, &[], true), "    SIZE  KEY  X\n");
        assert_eq!(table(&columns, &[], false), "");
    }

    #[test]
    fn a_key_cannot_drive_the_terminal() {
        let items = [json!({"key": "a\u{1b}]0;x\u{7}\nb\u{9b}1m\u{202e}\u{7f}\u{2028}"})];
        let text = table(&[Column::text("KEY", "key")], &items, false);
        assert_eq!(text, "a\\u{1b}]0;x\\u{7}\\nb\\u{9b}1m\\u{202e}\\u{7f}\\u{2028}\n");
        assert_eq!(printable("ü 🙂 \\"), "ü 🙂 \\");
    }

    #[test]
    fn a_document_on_a_terminal_is_the_same_document() {
        let document = "{\"a\": \"\u{9b}31m\u{7f}\u{202e}ü\"}\n";
        let shown = for_terminal(document);
        assert_eq!(shown, "{\"a\": \"\\u009b31m\\u007f\\u202eü\"}");
        let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(parse(&shown), parse(document));
    }

    #[test]
    fn cells_say_what_a_value_is() {
        for (value, text) in [
            (json!(null), "-"),
            (json!(""), "-"),
            (json!([]), "-"),
            (json!(["read", "write"]), "read,write"),
            (json!([{"database": "chat*", "actions": ["read"]}]), "chat*:read"),
            (json!({"role": "serve"}), "role=serve"),
            (json!(1.5), "1.5"),
        ] {
            assert_eq!(cell(Some(&value)), text);
        }
        assert_eq!(
            fields(&json!({"id": "k", "n": 1}), &[("id", "id"), ("number", "n"), ("x", "x")]),
            "id      k\nnumber  1\n"
        );
    }
}
