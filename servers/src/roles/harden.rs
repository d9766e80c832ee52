//! Keeps what is in memory in memory.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use zeroize::Zeroize;

/// How much of a stack is wiped: deeper than anything goes that handles keys.
const WIPED_BYTES: usize = 256 << 10;

/// Overwrites what calls that are over left below the caller on this thread's stack: ciphers and keys are values, and moved.
#[inline(never)]
pub(crate) fn wipe_stack() {
    let mut rest = [0xff_u8; WIPED_BYTES];
    std::hint::black_box(&mut rest);
    rest.zeroize();
    std::hint::black_box(&rest);
}

/// Turns core dumps off: an image of the process would hold keys and documents.
pub(crate) fn no_core_dumps() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let limited = setrlimit(Resource::Core, none);
    let hidden = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    if let Err(error) = limited.and(hidden) {
        tracing::warn!(%error, "core dumps could not be turned off; a crash may write keys to disk");
    }
}
