//! The storages that promises are tested on, and how a server is started on each.

use std::path::{Path, PathBuf};

use crate::start::Start;

/// A storage of the product that keeps what it is given over a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// One process, a tree with a log.
    Embedded,
    /// A file for each entity, in a directory that processes share.
    Fs,
}

impl Storage {
    /// The storage of this name.
    pub fn parse(name: &str) -> Result<Self, String> {
        match name {
            "embedded" => Ok(Self::Embedded),
            "fs" => Ok(Self::Fs),
            _ => Err(format!("there is no storage {name:?} here; there are embedded and fs")),
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Fs => "fs",
        }
    }

    /// `deltadb serve` on this storage, with everything below one directory.
    pub fn serve(self, program: impl Into<PathBuf>, data: &Path) -> Start {
        let start = Start::serve(program, data);
        match self {
            Self::Embedded => start,
            Self::Fs => start.variable("DELTADB_STORAGE", "fs").variable("DELTADB_STORAGE__PATH", self.root(data)),
        }
    }

    /// Where the storage keeps its files, below that directory.
    pub fn root(self, data: &Path) -> PathBuf {
        match self {
            Self::Embedded => data.join("store"),
            Self::Fs => data.join("shared"),
        }
    }
}
