//! Clients of a main cannot tell that there is more than one process: what they see is linearizable, whatever fails.

mod checker;
mod runs;
