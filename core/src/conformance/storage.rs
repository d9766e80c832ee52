//! placeholder
/// x
#[macro_export]
macro_rules! conformance_storage {
    () => {};
}
