//! The storage from outside: the contract, what it costs, and what it refuses.

#[cfg(test)]
mod commits;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod directory;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod support;
