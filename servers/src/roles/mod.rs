//! What a process can be.

pub(crate) mod cluster;
pub(crate) mod harden;
pub(crate) mod keys;
pub(crate) mod serve;
pub(crate) mod store;
pub(crate) mod watch;
pub(crate) mod worker;

/// What a process that serves clients is started as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It does the work itself.
    Serve,
    /// It has workers do it, where they can open the store.
    Main,
}

impl Role {
    /// The command that it is started with.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Main => "main",
        }
    }
}
