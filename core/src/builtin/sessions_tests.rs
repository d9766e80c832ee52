//! Sessions: how long they last, and what ends them.

use super::*;
use crate::auth::Scope;
use crate::builtin::api_keys::{CreatedApiKey, NewApiKey};
use crate::builtin::ledger::tests::ledger;
use crate::builtin::memory::MemoryStorage;
use crate::clock::ManualClock;
use crate::conformance;
use crate::conformance::auth::Fixture;
use crate::error::ErrorKind;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A store that processes are started over, one after the other.
#[derive(Default)]
struct Store {
    storage: Arc<MemoryStorage>,
    clock: ManualClock,
}

impl Store {
    async fn sessions(&self, admin: &str, clients: bool) -> Sessions {
        let admin = AdminKey::new(&SecretText::new(admin)).unwrap();
        let ledger = ledger(self.storage.clone(), &self.clock).await;
        Sessions::new(conformance::sealer().keyring().clone(), admin, clients, DAY, ledger)
    }

    async fn key(&self, sessions: &Sessions, expires_in: Option<Duration>) -> CreatedApiKey {
        let scopes = vec![Scope { database: "chat*".into(), actions: vec![crate::auth::Action::Read] }];
        let wanted = NewApiKey { name: "ci".into(), permissions: vec![Permission::Read], scopes, expires_in };
        sessions.keys.create(wanted).await.unwrap()
    }
}

async fn login(sessions: &Sessions) -> Session {
    sessions.login(&SecretText::new("adminkey")).await.unwrap()
}

async fn ask(sessions: &Sessions, token: &SecretText) -> Result<Option<Principal>> {
    sessions.authenticate(&Credential::Bearer(token.clone())).await
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    error.to_string()
}

async fn fixture() -> Fixture {
    let sessions = Store::default().sessions("adminkey", false).await;
    let token = login(&sessions).await.token;
    let mut forged = token.expose().to_owned();
    let last = forged.pop().unwrap();
    forged.push(if last == 'A' { 'Q' } else { 'A' });
    Fixture::new(sessions, token.expose(), Principal::admin())
        .foreign("adminkey")
        .foreign("dk_1_2")
        .wrong(&forged)
        .wrong("ds_")
        .wrong("ds_e30.AA")
}

crate::conformance::auth!(fixture);

#[tokio::test]
async fn a_session_lasts_as_long_as_it_says() {
    let store = Store::default();
    let sessions = store.sessions("adminkey", false).await;
    let session = login(&sessions).await;
    assert_eq!(session.expires.seconds(), DAY.as_secs());
    store.clock.advance(DAY - Duration::from_secs(1));
    assert!(ask(&sessions, &session.token).await.is_ok());
    store.clock.advance(Duration::from_secs(1));
    assert!(refused(ask(&sessions, &session.token).await).contains("expired"));
}

#[tokio::test]
async fn a_session_survives_a_restart_and_dies_with_the_admin_key() {
    let store = Store::default();
    let sessions = store.sessions("adminkey", true).await;
    let token = login(&sessions).await.token;
    let client = sessions.login_client("app").unwrap().token;
    assert!(ask(&store.sessions("adminkey", true).await, &token).await.is_ok());
    for (admin, clients, token) in [("other", true, &token), ("other", true, &client), ("adminkey", false, &client)] {
        refused(ask(&store.sessions(admin, clients).await, token).await);
    }
}

#[tokio::test]
async fn a_session_of_an_api_key_allows_what_the_key_does_and_dies_with_it() {
    let store = Store::default();
    let sessions = store.sessions("adminkey", false).await;
    let key = store.key(&sessions, None).await;
    let session = sessions.login(&key.credential).await.unwrap();
    assert_eq!(session.who, key.key.principal());
    // The admin key may change: the session is not its.
    for sessions in [&sessions, &store.sessions("other", false).await] {
        assert_eq!(ask(sessions, &session.token).await.unwrap(), Some(key.key.principal()));
    }
    sessions.keys.delete(&key.key.id).await.unwrap();
    for sessions in [&sessions, &store.sessions("adminkey", false).await] {
        refused(ask(sessions, &session.token).await);
        refused(sessions.login(&key.credential).await);
    }
}

#[tokio::test]
async fn a_session_never_outlives_its_key() {
    let store = Store::default();
    let sessions = store.sessions("adminkey", false).await;
    let key = store.key(&sessions, Some(Duration::from_secs(60))).await;
    let session = sessions.login(&key.credential).await.unwrap();
    assert_eq!(session.expires.seconds(), 60);
    store.clock.advance(Duration::from_secs(60));
    refused(ask(&sessions, &session.token).await);
    assert!(refused(sessions.login(&key.credential).await).contains("expired"));
}

#[tokio::test]
async fn a_logout_ends_one_session_for_good() {
    let store = Store::default();
    let sessions = store.sessions("adminkey", true).await;
    let (ended, other) = (login(&sessions).await.token, login(&sessions).await.token);
    sessions.logout(&ended).await.unwrap();
    for sessions in [&sessions, &store.sessions("adminkey", true).await] {
        refused(ask(sessions, &ended).await);
        refused(sessions.logout(&ended).await);
        assert!(ask(sessions, &other).await.is_ok());
    }
    let key = sessions.logout(&SecretText::new("adminkey")).await.unwrap_err();
    assert_eq!(key.code(), "not_a_session");
}

#[tokio::test]
async fn every_changed_character_of_a_token_is_refused() {
    let sessions = Store::default().sessions("adminkey", false).await;
    let token = login(&sessions).await.token;
    for at in PREFIX.len()..token.expose().len() {
        let mut changed = token.expose().as_bytes().to_vec();
        changed[at] = if changed[at] == b'x' { b'y' } else { b'x' };
        refused(ask(&sessions, &SecretText::new(String::from_utf8(changed).unwrap())).await);
    }
}

#[tokio::test]
async fn a_client_id_alone_is_a_login_only_where_that_is_allowed() {
    let store = Store::default();
    refused(store.sessions("a", false).await.login_client("app"));
    let sessions = store.sessions("a", true).await;
    let session = sessions.login_client("app").unwrap();
    assert_eq!(session.who.permissions, [Permission::Read, Permission::Write]);
    assert_eq!(ask(&sessions, &session.token).await.unwrap(), Some(session.who));
    assert!(sessions.login_client("a\nb").is_err());
    refused(sessions.login(&SecretText::new("b")).await);
}
