//! Credentials as clients and operators see them: what makes one, what it allows, and what ends it.

mod keys;
mod limiter;
mod scopes;
mod sessions;
