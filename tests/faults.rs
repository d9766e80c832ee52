//! Nothing acknowledged is lost, whatever fails, and whatever is refused says so.

mod calls;
mod damage;
mod full;
mod order;
mod power;

use delta_tests::storages::Storage;

/// The storages that are there to be tested.
const STORAGES: [Storage; 2] = [Storage::Embedded, Storage::Fs];
