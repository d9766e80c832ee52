//! [`KeyProvider`](crate::keys::KeyProvider) as tests. A fixture is an async function that opens a provider with at least
//! one key.

use crate::error::ErrorKind;
use crate::keys::KeyProvider;
use crate::name::KeyId;

/// Expands to one test for each sentence of the trait's documentation.
#[macro_export]
macro_rules! conformance_keys {
    ($fixture:path) => {
        mod key_provider_conformance {
            use super::*;

            #[tokio::test]
            async fn gives_every_key_in_the_same_order() {
                $crate::conformance::keys::gives_every_key_in_the_same_order(&$fixture().await).await;
            }

            #[tokio::test]
            async fn create_keeps_the_key_or_says_what_to_do() {
                $crate::conformance::keys::create_keeps_the_key_or_says_what_to_do(&$fixture().await).await;
            }

            #[tokio::test]
            async fn an_id_is_created_once() {
                $crate::conformance::keys::an_id_is_created_once(&$fixture().await).await;
            }

            #[tokio::test]
            async fn prints_no_key() {
                $crate::conformance::keys::prints_no_key(&$fixture().await).await;
            }
        }
    };
}

/// "Every key this provider holds … the same keys in the same order each time."
pub async fn gives_every_key_in_the_same_order(provider: &dyn KeyProvider) {
    let [first, second] = [provider.keys().await.unwrap(), provider.keys().await.unwrap()];
    assert!(!first.is_empty(), "the fixture needs a key");
    let ids = |keys: &[crate::keys::MasterKey]| keys.iter().map(|key| key.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&first), ids(&second));
    assert!(first.iter().zip(&second).all(|(a, b)| a.key.expose() == b.key.expose()));
}

/// "Makes a key and keeps it … gives it first from now on … A provider that cannot keep one answers `Conflict` with the
/// code `keys_not_persistent` and says what to do instead."
pub async fn create_keeps_the_key_or_says_what_to_do(provider: &dyn KeyProvider) {
    let before = provider.keys().await.unwrap();
    match provider.create(&KeyId::parse("conformance-new").unwrap()).await {
        Ok(created) => {
            let after = provider.keys().await.unwrap();
            assert_eq!(after.len(), before.len() + 1);
            assert_eq!((&after[0].id, after[0].key.expose()), (&created.id, created.key.expose()));
            assert!(before.iter().all(|old| old.key.expose() != created.key.expose()));
        }
        Err(error) => {
            assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "keys_not_persistent"));
            assert!(error.to_string().contains("--previous-key"), "{error}");
            assert_eq!(provider.keys().await.unwrap().len(), before.len());
        }
    }
}

/// "An id it already holds is a `Conflict` too."
pub async fn an_id_is_created_once(provider: &dyn KeyProvider) {
    let id = provider.keys().await.unwrap()[0].id.clone();
    let error = provider.create(&id).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "conflict"));
}

/// Key material never prints.
pub async fn prints_no_key(provider: &dyn KeyProvider) {
    let keys = provider.keys().await.unwrap();
    let printed = format!("{provider:?} {keys:?}");
    for key in keys {
        assert!(!printed.contains(key.key.to_hex().as_str()));
        assert!(!printed.contains(&format!("{:?}", key.key.expose())));
    }
}
