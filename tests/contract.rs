//! The contract with clients, route by route, as they see it.

mod access;
mod bodies;
mod conditions;
mod databases;
mod entities;
mod keys;
mod maps;
mod pages;
mod patches;
mod reads;
mod schemas;
mod sessions;
mod store;
mod suite;
