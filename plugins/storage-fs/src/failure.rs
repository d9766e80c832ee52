//! What went wrong with a file, as an error that says what to do next.

use std::io;
use std::path::Path;

use delta_core::{Error, ErrorKind};

/// A step on a file that failed before anything was changed.
pub(crate) fn failed(what: &str, path: &Path, error: io::Error) -> Error {
    let place = path.display();
    if is_full(&error) {
        let message = format!("cannot {what} {place}: {error}; nothing was written, free some space and try again");
        return Error::unavailable(message).with_code("storage_full").with_source(error);
    }
    let message = format!("cannot {what} {place}: {error}; nothing was written, check the directory and its disk");
    Error::unavailable(message).with_source(error)
}

/// A step that failed when the write may have been applied.
pub(crate) fn unknown(what: &str, path: &Path, error: &io::Error) -> Error {
    let place = path.display();
    Error::outcome_unknown(format!("cannot {what} {place}: {error}; read before repeating the write"))
}

/// A read that failed.
pub(crate) fn unreadable(path: &Path, error: io::Error) -> Error {
    let place = path.display();
    Error::unavailable(format!("cannot read {place}: {error}; check the directory and its disk")).with_source(error)
}

/// Writes have stopped for good; reads go on.
pub(crate) fn stopped(why: &str) -> Error {
    let advice = "nothing is written any more; repair the disk, then restart the server";
    Error::unavailable(format!("the disk failed ({why}); {advice}"))
}

/// Whether there is no room for what was to be written.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether an error of a rename or unlink says for certain that nothing was changed.
pub(crate) fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, NotFound, PermissionDenied, ReadOnlyFilesystem};
    is_full(error) || [CrossesDevices, NotFound, PermissionDenied, ReadOnlyFilesystem].contains(&error.kind())
}

/// The same error for one more write: what it was is repeated, what caused it is in the first one.
pub(crate) fn again(error: &Error) -> Error {
    let copy = Error::new(error.kind(), error.to_string());
    if error.kind() == ErrorKind::Unavailable && error.code() == "storage_full" {
        return copy.with_code("storage_full");
    }
    copy
}
