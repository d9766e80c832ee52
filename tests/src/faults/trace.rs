//! What `strace -f -yy` writes, as calls with a beginning and an end.

use std::collections::BTreeMap;

/// A call that has ended, by the lines on which it began and ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// Its name.
    pub name: String,
    /// What it was given, as strace spells it.
    pub arguments: String,
    /// The line on which it began.
    pub begun: usize,
    /// The line on which it ended.
    pub ended: usize,
}

impl Called {
    /// The path behind its first descriptor, or the peers of a socket.
    pub fn descriptor(&self) -> Option<&str> {
        let (number, rest) = self.arguments.split_once('<')?;
        let is_number = number.chars().all(|digit| digit.is_ascii_digit());
        // The arrow between the peers of a socket is no end.
        let end = rest.replace("->", "--").find('>')?;
        rest.get(..end).filter(|_| is_number && !number.is_empty())
    }

    /// Its arguments in quotes, made absolute by the directory that stands before each, if one does.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        let mut before = "";
        for (at, part) in self.arguments.split('"').enumerate() {
            if at.is_multiple_of(2) {
                before = part;
                continue;
            }
            let directory = before.rsplit_once('<').and_then(|(_, rest)| rest.split('>').next());
            match directory {
                Some(directory) if !part.starts_with('/') => paths.push(format!("{directory}/{part}")),
                _ => paths.push(part.to_owned()),
            }
        }
        paths
    }
}

/// The calls that ended and did not fail, in the order in which they ended.
pub fn calls(trace: &str) -> Vec<Called> {
    let mut open: BTreeMap<&str, (usize, String)> = BTreeMap::new();
    let mut calls = Vec::new();
    for (line, text) in trace.lines().enumerate() {
        let Some((thread, rest)) = text.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(begun) = rest.strip_suffix("<unfinished ...>") {
            open.insert(thread, (line, begun.trim_end().to_owned()));
            continue;
        }
        let (begun, whole) = match rest.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>")) {
            Some((_, end)) => match open.remove(thread) {
                Some((begun, start)) => (begun, format!("{start}{end}")),
                None => continue,
            },
            None => (line, rest.to_owned()),
        };
        calls.extend(call(&whole, begun, line));
    }
    calls
}

fn call(whole: &str, begun: usize, ended: usize) -> Option<Called> {
    let (call, result) = whole.rsplit_once(" = ")?;
    let (name, arguments) = call.trim_end().strip_suffix(')')?.split_once('(')?;
    let failed = result.starts_with('-') || result.starts_with('?');
    (!failed).then(|| Called { name: name.to_owned(), arguments: arguments.to_owned(), begun, ended })
}
