//! The product from outside, as one test binary; each module is one promise.

#[cfg(test)]
mod access_table;
#[cfg(test)]
mod at_rest;
#[cfg(test)]
mod auth;
#[cfg(test)]
mod browser;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod concurrency;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod front_door;
#[cfg(test)]
mod fsck;
#[cfg(test)]
mod grpc;
#[cfg(test)]
mod guides;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod linear;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod migrate;
#[cfg(test)]
mod openapi;
#[cfg(test)]
mod plugins;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod schemathesis;
#[cfg(test)]
mod sdk;
#[cfg(test)]
mod seeds;
#[cfg(test)]
mod shared_fs;
#[cfg(test)]
mod startup;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod traces;
