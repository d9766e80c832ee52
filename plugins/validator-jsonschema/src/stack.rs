//! Runs what recurses on a stack that holds it, and turns a panic into an error.

use std::panic::{AssertUnwindSafe, catch_unwind};

use delta_core::{Error, Result};

/// What one level takes in boon: 12 KiB measured without optimisation, 3 KiB with it.
const LEVEL_BYTES: usize = if cfg!(debug_assertions) { 16 << 10 } else { 4 << 10 };
/// The levels of a check that the caller's stack is trusted with: less than half of the two megabytes a worker thread has.
pub(crate) const INLINE_LEVELS: usize = (896 << 10) / LEVEL_BYTES;
/// The most levels of any check: a document as deep as may be configured, with eight subschemas on each level.
pub(crate) const LEVELS_MAX: usize = 4096;
/// Stack for everything else.
const BASE_BYTES: usize = 1 << 20;

/// Runs here; a panic becomes an error.
pub(crate) fn guarded<T>(run: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err(Error::internal("the schema validator panicked")))
}

/// Runs on a thread of its own, whose stack holds `levels`; a panic becomes an error.
pub(crate) fn with_levels<T: Send>(levels: usize, run: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let bytes = levels * LEVEL_BYTES + BASE_BYTES;
        let thread =
            std::thread::Builder::new().name("validator".into()).stack_size(bytes).spawn_scoped(scope, || guarded(run));
        let thread =
            thread.map_err(|error| Error::unavailable("no thread for the schema validator").with_source(error))?;
        thread.join().unwrap_or_else(|_| Err(Error::internal("the schema validator panicked")))
    })
}
