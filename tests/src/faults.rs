//! Faults: calls that fail, power that goes, disks that fill up and files that change by themselves; and how to see that
//! every answer stays true.

pub mod attach;
pub mod damage;
pub mod decay;
pub mod inject;
pub mod ledger;
pub mod order;
pub mod paths;
pub mod rot;
pub mod script;
pub mod sweep;
pub mod trace;
