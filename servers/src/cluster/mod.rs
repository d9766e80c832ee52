//! A main and its workers: one database over several processes.
//!
//! [`main`] decides and routes, [`worker`] opens documents. Workers only dial out: they subscribe, get the store's keys, and
//! open a stream on which tasks come down and answers go up. Nothing here is needed for data to stay right: the storage
//! decides every race, so a worker that is slow, paused or gone can delay an answer and never falsify one.

pub mod hop;
pub(crate) mod join;
pub(crate) mod main;
mod tickets;
pub(crate) mod wire;
pub(crate) mod worker;
mod wrap;

use std::time::Duration;

/// How often both sides say that they live.
const BEAT_INTERVAL: Duration = Duration::from_millis(500);
/// After how long without a word the other side counts as gone: so long that within two seconds everybody knows.
const SILENCE_MAX: Duration = Duration::from_millis(1_900);
/// The largest message on a stream: the documents of a batch, their keys and versions.
pub(crate) const MESSAGE_BYTES_MAX: usize = 32 << 20;
/// The code of an answer that says that the worker has not begun, so that another may.
pub(crate) const NOT_BEGUN: &str = "not_begun";
/// How long a worker that drains may take for the tasks it has.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);
