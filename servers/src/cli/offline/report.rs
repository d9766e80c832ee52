//! What `fsck` says: each finding as it is made, and a summary; for people, or one JSON object a line.

use std::collections::BTreeMap;

use delta_core::check::{Checked, may_be_whole};
use delta_core::name::EntityId;
use delta_core::storage::{ObjectName, Space, Stray, StrayKind};
use delta_core::superblock::Superblock;
use delta_core::{Error, ErrorKind};
use indicatif::ProgressBar;
use serde_json::{Map, Value, json};

use crate::cli::client::printable;
use crate::cli::print_line;

/// What was found of one kind of objects.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Count {
    pub(super) whole: u64,
    pub(super) broken: u64,
}

/// Prints findings and counts them.
pub(super) struct Report {
    json: bool,
    pub(super) bar: ProgressBar,
    counts: BTreeMap<&'static str, Count>,
    /// Findings beside the objects: a superblock, names that could not be read.
    others: u64,
    quarantined: u64,
    /// Broken objects that may be whole, and stay where they are.
    kept: u64,
    strays: BTreeMap<StrayKind, u64>,
}

impl Report {
    pub(super) fn new(json: bool) -> Self {
        let counts = BTreeMap::new();
        Self { json, bar: ProgressBar::hidden(), counts, others: 0, quarantined: 0, kept: 0, strays: BTreeMap::new() }
    }

    /// Whether nothing was found.
    pub(super) fn is_clean(&self) -> bool {
        self.broken() == 0
    }

    fn broken(&self) -> u64 {
        self.others + self.counts.values().map(|count| count.broken).sum::<u64>()
    }

    /// Counts an object that is whole.
    pub(super) fn whole(&mut self, space: Space) {
        self.counts.entry(kind(space)).or_default().whole += 1;
    }

    /// Tells of an object that is not.
    pub(super) fn broken_object(&mut self, checked: &Checked, error: &Error, quarantined: bool) {
        self.counts.entry(kind(checked.name.space)).or_default().broken += 1;
        self.quarantined += u64::from(quarantined);
        self.kept += u64::from(may_be_whole(error));
        let whose = whose(&checked.name, checked.entity.as_ref());
        let moved = if quarantined { ", moved to _quarantine" } else { "" };
        let line = format!("{}{moved}: {whose}: {error}; it lies at {}", word(error), checked.name);
        let mut members = finding(word(error), error);
        members.insert("object".into(), json!(checked.name.to_string()));
        members.insert("kind".into(), json!(kind(checked.name.space)));
        members.insert("quarantined".into(), json!(quarantined));
        if let Some(id) = &checked.entity {
            members.insert("database".into(), json!(id.database));
            members.insert("key".into(), json!(id.key));
        }
        self.say(&line, members);
    }

    /// Tells of something else that is wrong.
    pub(super) fn broken_other(&mut self, error: &Error, advice: &str) {
        self.others += 1;
        let advice = if advice.is_empty() { String::new() } else { format!("; {advice}") };
        self.say(&format!("{}: {error}{advice}", word(error)), finding(word(error), error));
    }

    /// Tells of what is no object; what was put in order is only counted.
    pub(super) fn stray(&mut self, stray: &Stray) {
        *self.strays.entry(stray.kind).or_default() += 1;
        if stray.kind == StrayKind::Foreign {
            let line = format!("foreign: {} is nothing of this store's; move it away if nobody needs it", stray.place);
            self.say(&line, Map::from_iter([("foreign".into(), json!(stray.place)), ("note".into(), json!(line))]));
        }
    }

    /// Tells of something that is not wrong.
    pub(super) fn note(&self, text: &str) {
        self.say(text, Map::from_iter([("note".into(), json!(text))]));
    }

    /// A line for a person, or an object for a program.
    fn say(&self, line: &str, members: Map<String, Value>) {
        let line = if self.json { Value::Object(members).to_string() } else { printable(line).into_owned() };
        self.bar.suspend(|| print_line(&line));
    }

    /// What was looked at, and what to do now.
    pub(super) fn end(&self, place: &str, superblock: Option<&Superblock>) {
        self.bar.finish_and_clear();
        if self.json {
            let objects = self
                .counts
                .iter()
                .map(|(kind, Count { whole, broken })| (kind, json!({"whole": whole, "broken": broken})));
            let objects: BTreeMap<_, _> = objects.collect();
            let strays = self.strays.iter().map(|(kind, count)| (kind_of_stray(*kind), count));
            let strays: BTreeMap<_, _> = strays.collect();
            let mut summary = json!({"strays": strays,"place": place, "objects": objects, "quarantined": self.quarantined, "findings": self.broken(), "clean": self.is_clean()});
            if let (Some(superblock), Some(summary)) = (superblock, summary.as_object_mut()) {
                summary.insert("store".into(), described(superblock));
            }
            return print_line(&json!({"summary": summary}).to_string());
        }
        for (kind, Count { whole, broken }) in &self.counts {
            print_line(&format!("{kind:<12}  {whole:>10} whole  {broken:>10} broken"));
        }
        for (kind, count) in self.strays.iter().filter(|(kind, _)| **kind != StrayKind::Foreign) {
            print_line(&format!("{count} {}", kind_of_stray(*kind)));
        }
        for line in self.advice() {
            print_line(&line);
        }
    }

    fn advice(&self) -> Vec<String> {
        let broken: u64 = self.counts.values().map(|count| count.broken).sum();
        let left = broken - self.quarantined;
        let mut lines = Vec::new();
        if self.is_clean() {
            lines.push(String::from("clean: everything opens, under the name it was written for"));
        }
        if left > self.kept {
            lines.push("Restore what is damaged from a backup, or move it aside with --quarantine: a server answers 500 for it until then,".into());
            lines.push("and 404 afterwards. Nothing is deleted.".into());
        }
        if self.kept > 0 {
            lines.push(format!(
                "{} may be whole: give the missing key, or the version that wrote them. They are never moved aside.",
                self.kept
            ));
        }
        if self.quarantined > 0 && self.counts.get(kind(Space::Auth)).is_some_and(|count| count.broken > 0) {
            lines.push("Sessions that were ended early may count again until they expire: replace the admin key, or wait that long.".into());
        }
        if self.quarantined > 0 && self.counts.get(kind(Space::Databases)).is_some_and(|count| count.broken > 0) {
            lines.push(
                "Set the settings of those databases again before clients write: their schemas are not bound any more."
                    .into(),
            );
        }
        lines
    }
}

/// What a store is, in one line.
pub(super) fn headline(place: &str, superblock: &Superblock) -> String {
    let keys: Vec<_> =
        superblock.keyring.roots().map(|root| format!("{} ({:?})", root.id(), root.state()).to_lowercase()).collect();
    let store = superblock.keyring.store();
    let names = format!("{:?}", superblock.names).to_lowercase();
    format!("Store {store} in {place}: generation {}, {names} names, keys {}", superblock.generation, keys.join(", "))
}

fn described(superblock: &Superblock) -> Value {
    let keys = superblock.keyring.roots().map(|root| json!({"key_id": root.id(), "state": root.state()}));
    let keys: Vec<Value> = keys.collect();
    let store = superblock.keyring.store().to_string();
    json!({"store_id": store, "generation": superblock.generation, "names": superblock.names, "keys": keys})
}

fn finding(word: &str, error: &Error) -> Map<String, Value> {
    let members = [("finding", json!(word)), ("error", json!(error.code())), ("detail", json!(error.to_string()))];
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// How bad it is, in a word.
fn word(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::Damaged if error.code() == "unreachable" => "misplaced",
        ErrorKind::Damaged if may_be_whole(error) => "locked",
        ErrorKind::Damaged => "damaged",
        _ => "unreadable",
    }
}

/// What lay beside the objects, and what became of it.
fn kind_of_stray(kind: StrayKind) -> &'static str {
    match kind {
        StrayKind::Foreign => "foreign",
        StrayKind::Leftover => "leftovers removed",
        StrayKind::Renewed => "sidecars renewed",
        StrayKind::Orphan => "sidecars removed",
    }
}

/// The objects of a space, for people.
fn kind(space: Space) -> &'static str {
    match space {
        Space::Store => "superblocks",
        Space::Entities => "entities",
        Space::History => "history",
        Space::Templates => "schemas",
        Space::Auth => "credentials",
        Space::Databases => "settings",
    }
}

/// What an object is, for people.
fn whose(name: &ObjectName, id: Option<&EntityId>) -> String {
    let Some(id) = id else {
        return match name.space {
            Space::Templates => format!("schema {}", name.name),
            _ => format!("one of the {}, of which the name does not open", kind(name.space)),
        };
    };
    match (name.space, id.key.as_str().split_once('.')) {
        (Space::Entities, _) => format!("entity {:?} of database {}", id.key, id.database),
        (Space::History, _) => {
            let version = name.name.rsplit_once('@').map_or("", |(_, version)| version);
            format!("version {version} of entity {:?} of database {}", id.key, id.database)
        }
        (Space::Auth, Some(("key", id))) => format!("API key {id}"),
        (Space::Auth, Some(("ended", _))) => "the end of a session".into(),
        // A record's key has a colon where a database has a dot.
        (Space::Databases, _) => format!("the settings of database {}", id.key.as_str().replace(':', ".")),
        _ => format!("one of the {}", kind(name.space)),
    }
}
