//! API keys: what makes one, what it is, and what ends it.

use super::*;
use crate::auth::Action;
use crate::builtin::ledger::tests::{Shared, ledger};
use crate::builtin::memory::MemoryStorage;
use crate::clock::ManualClock;
use crate::conformance::auth::Fixture;
use crate::error::ErrorKind;

fn wanted() -> NewApiKey {
    let scopes = vec![Scope { database: "chat*".into(), actions: vec![Action::Read] }];
    NewApiKey { name: "ci".into(), permissions: vec![Permission::Read], scopes, expires_in: None }
}

async fn keys(clock: &ManualClock) -> ApiKeys {
    ApiKeys::new(ledger(Arc::new(MemoryStorage::new()), clock).await)
}

async fn ask(keys: &ApiKeys, credential: &SecretText) -> Result<Option<Principal>> {
    keys.authenticate(&Credential::bearer(credential.expose())).await
}

async fn fixture() -> Fixture {
    let keys = keys(&ManualClock::new(Timestamp(1))).await;
    let created = keys.create(wanted()).await.unwrap();
    let credential = created.credential.expose().to_owned();
    let other = keys.create(wanted()).await.unwrap().credential.expose().to_owned();
    let swapped = format!("dk_{}_{}", created.key.id, other.rsplit('_').next().unwrap());
    let forged =
        format!("{}{}", &credential[..credential.len() - 1], if credential.ends_with('a') { 'e' } else { 'a' });
    let upper = format!("dk_{}", credential[3..].to_uppercase());
    let mut fixture = Fixture::new(keys, &credential, created.key.principal()).foreign("adminkey").foreign("ds_e30.AA");
    for wrong in
        ["dk_", "dk_1_2", &forged, &swapped, &upper, &format!("{credential}a"), &format!("dk_{}_", created.key.id)]
    {
        fixture = fixture.wrong(wrong);
    }
    fixture
}

crate::conformance::auth!(fixture);

#[tokio::test]
async fn a_key_has_256_random_bits_and_only_their_digest_is_kept() {
    let keys = keys(&ManualClock::new(Timestamp(1))).await;
    let created = keys.create(wanted()).await.unwrap();
    let (id, secret) = created.credential.expose().strip_prefix("dk_").unwrap().split_once('_').unwrap();
    assert_eq!((id, secret.len()), (created.key.id.as_str(), 52));
    assert!((id.to_owned() + secret).bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
    let record = serde_json::to_string(&*created.key).unwrap();
    assert!(!record.contains(secret) && record.contains(&data_encoding::HEXLOWER.encode(&Sha256::digest(secret))));
    assert!(!format!("{created:?} {keys:?}").contains(secret));
    assert_ne!(keys.create(wanted()).await.unwrap().credential.expose(), created.credential.expose());
}

#[tokio::test]
async fn a_key_survives_a_restart_and_a_deleted_one_does_not_come_back() {
    let (storage, clock) = (Arc::new(MemoryStorage::new()), ManualClock::new(Timestamp(1)));
    let keys = ApiKeys::new(ledger(storage.clone(), &clock).await);
    let kept = keys.create(wanted()).await.unwrap();
    let deleted = keys.create(wanted()).await.unwrap();
    keys.delete(&deleted.key.id).await.unwrap();
    for keys in [keys, ApiKeys::new(ledger(storage.clone(), &clock).await)] {
        assert_eq!(ask(&keys, &kept.credential).await.unwrap(), Some(kept.key.principal()));
        assert_eq!(ask(&keys, &deleted.credential).await.unwrap_err().kind(), ErrorKind::Unauthorized);
        assert_eq!(keys.list().await.unwrap().len(), 1);
        assert_eq!(keys.delete(&deleted.key.id).await.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(keys.delete("no such/key").await.unwrap_err().kind(), ErrorKind::NotFound);
    }
}

#[tokio::test]
async fn a_key_of_a_shared_store_lives_and_dies_in_every_process_within_a_second() {
    let (storage, clock) = (Arc::new(Shared::default()), ManualClock::new(Timestamp(1)));
    let one = ApiKeys::new(ledger(storage.clone(), &clock).await);
    let other = ApiKeys::new(ledger(storage, &clock).await);
    let created = one.create(wanted()).await.unwrap();
    clock.advance(Duration::from_secs(1));
    assert!(ask(&other, &created.credential).await.is_ok());
    one.delete(&created.key.id).await.unwrap();
    clock.advance(Duration::from_secs(1));
    assert_eq!(ask(&other, &created.credential).await.unwrap_err().kind(), ErrorKind::Unauthorized);
}

#[tokio::test]
async fn a_key_expires_to_the_moment_and_stays_in_the_list() {
    let clock = ManualClock::new(Timestamp(1));
    let keys = keys(&clock).await;
    let created = keys.create(NewApiKey { expires_in: Some(Duration::from_secs(2)), ..wanted() }).await.unwrap();
    assert_eq!(created.key.expires, Some(Timestamp(2_000_001)));
    clock.advance(Duration::from_micros(1_999_999));
    assert!(ask(&keys, &created.credential).await.is_ok());
    clock.advance(Duration::from_micros(1));
    let error = ask(&keys, &created.credential).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Unauthorized && error.to_string().contains("expired"));
    assert_eq!(keys.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_makes_no_key_is_refused() {
    let keys = keys(&ManualClock::new(Timestamp(1))).await;
    let scope =
        |database: &str, actions: &[Action]| vec![Scope { database: database.into(), actions: actions.to_vec() }];
    let long = "n".repeat(API_KEY_NAME_CHARS_MAX + 1);
    let named = ["", "a\nb", "admin", &long].map(|name| NewApiKey { name: name.into(), ..wanted() });
    let scoped = ["", "a b", "*a", "a**", ".a", "a/b"]
        .map(|name| NewApiKey { scopes: scope(name, &[Action::Read]), ..wanted() });
    let lasting = [Duration::ZERO, API_KEY_LIFETIME_MAX + Duration::from_secs(1)]
        .map(|time| NewApiKey { expires_in: Some(time), ..wanted() });
    let others = [
        NewApiKey { permissions: vec![], ..wanted() },
        NewApiKey { permissions: vec![Permission::Read, Permission::Admin], ..wanted() },
        NewApiKey { scopes: scope("a", &[]), ..wanted() },
        NewApiKey { scopes: vec![scope("a", &[Action::Read]).remove(0); SCOPES_MAX + 1], ..wanted() },
    ];
    for refused in named.into_iter().chain(scoped).chain(lasting).chain(others) {
        let error = keys.create(refused.clone()).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, "invalid_api_key"), "{refused:?}");
    }
    assert!(keys.list().await.unwrap().is_empty());
    for good in ["*", "chat*", "chat.v1", "a_b-c*"] {
        keys.create(NewApiKey { scopes: scope(good, &[Action::Schema]), ..wanted() }).await.unwrap();
    }
    let longest = NewApiKey { expires_in: Some(API_KEY_LIFETIME_MAX), ..wanted() };
    assert!(keys.create(longest).await.unwrap().key.expires.unwrap().to_string().starts_with("20"));
}
