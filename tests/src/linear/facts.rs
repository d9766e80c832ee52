//! A history, made ready for the search: which version each write made, and what nobody knows.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use super::history::{Answer, Call, Operation, Tag, When};

/// Why a history is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation(String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Violation {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

/// What the entity is, as far as anybody can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum State {
    Absent,
    Is(Tag),
    /// A write of unknown outcome made this version, and nobody ever saw it.
    Unseen(u64),
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("absent"),
            Self::Is(tag) => tag.fmt(f),
            Self::Unseen(version) => write!(f, "a version {version} that nobody saw"),
        }
    }
}

impl State {
    pub(super) fn version(self) -> u64 {
        match self {
            Self::Absent => 0,
            Self::Is(tag) => tag.version,
            Self::Unseen(version) => version,
        }
    }
}

/// What an answer says that a request did.
#[derive(Debug, Clone, Copy)]
pub(super) enum Does {
    See(Option<Tag>),
    /// The condition did not hold.
    Refuse(When),
    /// The condition held, and this version is the next.
    Keep(When, Tag),
    /// The condition held, and whether something was there.
    Remove(When, bool),
}

/// A request that has happened.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) called: Duration,
    pub(super) answered: Duration,
    pub(super) does: Does,
    pub(super) operation: Operation,
}

/// What a request of unknown outcome may do without being seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Put,
    Create,
    Change,
    Delete,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Put, Self::Create, Self::Change, Self::Delete];
}

/// What a history says.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// What has happened, by when it was called.
    pub(super) seen: Vec<Seen>,
    /// When those of each kind were called that may have happened, in order.
    pub(super) unknown: [Vec<Duration>; Kind::ALL.len()],
    /// When those were called that may have replaced or removed just this version, and whether they would remove it.
    pub(super) of_version: HashMap<Tag, Vec<(Duration, bool)>>,
    /// All of them, for people.
    pub(super) doubtful: Vec<Operation>,
}

/// Whether a condition holds in a state.
pub(super) fn holds(when: When, state: State) -> bool {
    match when {
        When::Always => true,
        When::Absent => state == State::Absent,
        When::Present => state != State::Absent,
        When::Is(tag) => state == State::Is(tag),
    }
}

impl Facts {
    /// Reads a history; an error is an answer that cannot be true in any order.
    pub(super) fn of(history: &[Operation]) -> Result<Self, Violation> {
        let versions = Versions::of(history)?;
        let mut facts = Self::default();
        for operation in history {
            facts.take(operation, &versions)?;
        }
        facts.seen.sort_by_key(|seen| seen.called);
        facts.unknown.iter_mut().for_each(|queue| queue.sort_unstable());
        Ok(facts)
    }

    fn take(&mut self, operation: &Operation, versions: &Versions) -> Result<(), Violation> {
        let Operation { called, mut answered, call, answer, .. } = *operation;
        let does = match (call, answer) {
            (Call::Get, Answer::Found(_, tag)) => Does::See(Some(tag)),
            (Call::Get, Answer::Missing) => Does::See(None),
            (Call::Get, Answer::Unknown) => return Ok(()),
            (Call::Put { when, .. } | Call::Delete { when }, Answer::Refused) => Does::Refuse(when),
            (Call::Put { when, .. }, Answer::Kept { tag, created }) if created == (tag.version == 1) => {
                Does::Keep(when, tag)
            }
            (Call::Delete { when }, Answer::Removed { existed }) => Does::Remove(when, existed),
            (Call::Put { value, when }, Answer::Unknown) => match versions.of_value.get(&value) {
                // Somebody saw it, so it had happened by then.
                Some((tag, at)) => {
                    answered = *at;
                    Does::Keep(when, *tag)
                }
                None => {
                    self.doubt(operation, Kind::Put, when);
                    return Ok(());
                }
            },
            (Call::Delete { when }, Answer::Unknown) => {
                self.doubt(operation, Kind::Delete, when);
                return Ok(());
            }
            _ => return Err(Violation::new(format!("an answer to something else: {operation}"))),
        };
        self.seen.push(Seen { called, answered, does, operation: *operation });
        Ok(())
    }

    fn doubt(&mut self, operation: &Operation, kind: Kind, when: When) {
        self.doubtful.push(*operation);
        let kind = match (when, kind) {
            (When::Is(tag), _) => {
                let of = self.of_version.entry(tag).or_default();
                return of.push((operation.called, kind == Kind::Delete));
            }
            (When::Absent, _) => Kind::Create,
            (When::Present, Kind::Put) => Kind::Change,
            (When::Present | When::Always, kind) => kind,
        };
        let queue = self.unknown.iter_mut().zip(Kind::ALL).find(|(_, of)| *of == kind);
        queue.into_iter().for_each(|(queue, _)| queue.push(operation.called));
    }
}

/// Which write made which version, and when that was first known.
#[derive(Debug, Default)]
struct Versions {
    of_value: HashMap<u64, (Tag, Duration)>,
}

impl Versions {
    fn of(history: &[Operation]) -> Result<Self, Violation> {
        let written = history.iter().filter_map(|operation| match operation.call {
            Call::Put { value, .. } => Some(value),
            _ => None,
        });
        let written: HashSet<u64> = written.collect();
        let mut versions = Self::default();
        let mut values: HashMap<Tag, u64> = HashMap::new();
        for operation in history {
            let (value, tag) = match (operation.call, operation.answer) {
                (_, Answer::Found(value, tag)) => (value, tag),
                (Call::Put { value, .. }, Answer::Kept { tag, .. }) => (value, tag),
                _ => continue,
            };
            if !written.contains(&value) {
                return Err(Violation::new(format!("nobody wrote this, or it was said to have failed: {operation}")));
            }
            let (known, at) = versions.of_value.entry(value).or_insert((tag, operation.answered));
            *at = operation.answered.min(*at);
            if *known != tag || *values.entry(tag).or_insert(value) != value {
                return Err(Violation::new(format!("a version of two documents, or two of one: {operation}")));
            }
        }
        Ok(versions)
    }
}
