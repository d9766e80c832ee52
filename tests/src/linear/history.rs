//! What clients did to one entity, and what they were told.

use std::fmt;
use std::time::Duration;

/// A version of an entity, as its `ETag` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag {
    /// Counted from 1 in each life of the entity.
    pub version: u64,
    /// Of the one write that made it.
    pub write: u64,
}

impl Tag {
    /// Reads `"version-write"`.
    pub fn parse(text: &str) -> Option<Self> {
        let (version, write) = text.trim_matches('"').split_once('-')?;
        Some(Self { version: version.parse().ok()?, write: u64::from_str_radix(write, 16).ok()? })
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}-{:016x}\"", self.version, self.write)
    }
}

/// On what condition a write happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// On none.
    Always,
    /// `If-None-Match: *`.
    Absent,
    /// `If-Match: *`, or a change of what is there.
    Present,
    /// `If-Match`.
    Is(Tag),
}

/// What a client asks for. No two writes have the same value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "what the verbs of REST are about")]
pub enum Call {
    Get,
    Put { value: u64, when: When },
    Delete { when: When },
}

/// What it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// This is there.
    Found(u64, Tag),
    /// Nothing is there.
    Missing,
    /// It was written, and whether nothing was there before.
    Kept {
        /// The version that the write made.
        tag: Tag,
        /// Whether it began a life of the entity.
        created: bool,
    },
    /// It was deleted, or nothing was there.
    Removed {
        /// Whether something was.
        existed: bool,
    },
    /// The condition did not hold, and nothing was written.
    Refused,
    /// It may have happened, may still happen, or never.
    Unknown,
}

/// One request. A request that failed for certain is none: nobody may ever see anything of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// Whose it is.
    pub client: usize,
    /// When it was sent, by a clock that all clients share.
    pub called: Duration,
    /// When the answer was there; of no meaning if that is unknown.
    pub answered: Duration,
    /// What was asked for.
    pub call: Call,
    /// What came back.
    pub answer: Answer,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let (from, to) = (ms(self.called), ms(self.answered));
        write!(f, "client {:2}, {from:9.2} to {to:9.2} ms: ", self.client)?;
        let when = |when: &When| match when {
            When::Always => String::new(),
            When::Absent => " if absent".into(),
            When::Present => " if present".into(),
            When::Is(tag) => format!(" if {tag}"),
        };
        match &self.call {
            Call::Get => write!(f, "get")?,
            Call::Put { value, when: on } => write!(f, "put {value}{}", when(on))?,
            Call::Delete { when: on } => write!(f, "delete{}", when(on))?,
        }
        match &self.answer {
            Answer::Found(value, tag) => write!(f, " -> {value}, {tag}"),
            Answer::Missing => write!(f, " -> missing"),
            Answer::Kept { tag, created } => write!(f, " -> {} {tag}", if *created { "created" } else { "replaced" }),
            Answer::Removed { existed } => write!(f, " -> {}", if *existed { "deleted" } else { "was not there" }),
            Answer::Refused => write!(f, " -> refused"),
            Answer::Unknown => write!(f, " -> unknown"),
        }
    }
}
