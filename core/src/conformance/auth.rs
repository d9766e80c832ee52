//! [`Auth`](crate::auth::Auth) as tests. A fixture is an async function that gives a provider with credentials it takes,
//! refuses, and does not know.

use std::sync::Arc;

use crate::auth::{Auth, Credential, Principal};
use crate::error::ErrorKind;

/// A provider under test and the credentials to try on it.
#[derive(Debug)]
pub struct Fixture {
    auth: Arc<dyn Auth>,
    good: String,
    who: Principal,
    foreign: Vec<String>,
    wrong: Vec<String>,
}

impl Fixture {
    /// A provider that takes `good` as `who`.
    pub fn new(auth: impl Auth, good: &str, who: Principal) -> Self {
        Self { auth: Arc::new(auth), good: good.into(), who, foreign: Vec::new(), wrong: Vec::new() }
    }

    /// A credential that is of another kind.
    #[must_use]
    pub fn foreign(mut self, credential: &str) -> Self {
        self.foreign.push(credential.into());
        self
    }

    /// A credential of this kind that does not count.
    #[must_use]
    pub fn wrong(mut self, credential: &str) -> Self {
        self.wrong.push(credential.into());
        self
    }
}

/// Expands to one test for each sentence of the trait's documentation.
#[macro_export]
macro_rules! conformance_auth {
    ($fixture:path) => {
        mod auth_conformance {
            use super::*;

            #[tokio::test]
            async fn a_good_credential_is_its_principal() {
                $crate::conformance::auth::a_good_credential_is_its_principal(&$fixture().await).await;
            }

            #[tokio::test]
            async fn a_credential_of_another_kind_is_left_to_the_next() {
                $crate::conformance::auth::a_credential_of_another_kind_is_left_to_the_next(&$fixture().await).await;
            }

            #[tokio::test]
            async fn a_wrong_one_of_this_kind_is_unauthorized() {
                $crate::conformance::auth::a_wrong_one_of_this_kind_is_unauthorized(&$fixture().await).await;
            }

            #[tokio::test]
            async fn nothing_repeats_the_credential() {
                $crate::conformance::auth::nothing_repeats_the_credential(&$fixture().await).await;
            }
        }
    };
}

/// "Who presents this credential."
pub async fn a_good_credential_is_its_principal(fixture: &Fixture) {
    for _ in 0..2 {
        let who = fixture.auth.authenticate(&Credential::bearer(&fixture.good)).await.unwrap();
        assert_eq!(who.as_ref(), Some(&fixture.who));
    }
}

/// "`None` means 'not my kind of credential, ask the next'."
pub async fn a_credential_of_another_kind_is_left_to_the_next(fixture: &Fixture) {
    for foreign in fixture.foreign.iter().map(String::as_str).chain(["", "x"]) {
        assert_eq!(fixture.auth.authenticate(&Credential::bearer(foreign)).await.unwrap(), None);
    }
}

/// "One of this kind that is wrong, expired or withdrawn is `Unauthorized`."
pub async fn a_wrong_one_of_this_kind_is_unauthorized(fixture: &Fixture) {
    for wrong in &fixture.wrong {
        let error = fixture.auth.authenticate(&Credential::bearer(wrong)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized);
    }
}

/// "No error and no `Debug` repeats the credential."
pub async fn nothing_repeats_the_credential(fixture: &Fixture) {
    let credential = Credential::bearer(&fixture.good);
    assert!(!format!("{:?} {credential:?}", fixture.auth).contains(&fixture.good));
    for wrong in fixture.wrong.iter().filter(|wrong| wrong.len() > 4) {
        let error = fixture.auth.authenticate(&Credential::bearer(wrong)).await.unwrap_err();
        assert!(!format!("{error:?} {error}").contains(wrong.as_str()));
    }
}
