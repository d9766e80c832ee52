//! The contract with clients, route by route, as they see it.

mod access;
mod bodies;
mod entities;
mod maps;
mod pages;
mod schemas;
mod sessions;
mod store;
