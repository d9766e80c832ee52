//! The storage from outside: the contract on several file systems, what it refuses, and what it leaves.

#[cfg(test)]
mod contract;
#[cfg(test)]
mod directory;
#[cfg(test)]
mod file_systems;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tidy;
