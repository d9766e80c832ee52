//! [`Storage`] as tests. A fixture is a type that makes a place for a store and opens it, again and again where it is
//! durable.

mod batches;
mod lasting;
mod listing;
mod races;
mod writing;

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;

use crate::conformance::object;
use crate::error::{ErrorKind, Result};
use crate::seal;
use crate::storage::{Expect, Group, Object, ObjectName, Public, Revision, Space, Storage};

pub use batches::*;
pub use lasting::*;
pub use listing::*;
pub use races::*;
pub use writing::*;

/// A place for one store.
pub trait Fixture: Sized + Send + Sync + 'static {
    /// A new place, without anything in it.
    fn new() -> impl Future<Output = Self> + Send;

    /// Opens the store there. Where it is durable it is opened again after the one before was dropped, and finds what was
    /// kept; where it is shared, also while another one is open.
    fn open(&self) -> impl Future<Output = Arc<dyn Storage>> + Send;
}

/// Expands to one test for each sentence of the trait's documentation.
#[macro_export]
macro_rules! conformance_storage {
    ($fixture:ty) => {
        $crate::conformance_storage!(@ $fixture:
            capabilities_do_not_change
            what_was_put_is_got_byte_for_byte
            nothing_is_found_under_a_free_name
            a_head_agrees_with_the_object
            every_write_has_another_revision
            public_objects_are_kept_like_sealed_ones
            objects_of_other_spaces_groups_and_names_are_apart
            every_spelling_of_a_name_is_kept
            large_and_empty_bodies_are_kept
            a_put_that_expects_nothing_there_finds_nothing
            a_put_that_expects_a_revision_finds_it
            an_old_revision_never_fits_again
            a_conflict_changes_nothing
            a_delete_removes
            a_delete_of_nothing_succeeds_unless_something_was_expected
            a_conditional_delete_finds_what_it_expects
            a_batch_is_answered_in_order
            a_batch_sees_its_own_earlier_writes
            a_batch_is_all_or_nothing
            an_empty_batch_has_no_answers
            of_racing_batches_one_wins_as_a_whole
            a_listing_has_each_name_once_with_its_size
            a_listing_has_only_its_group
            a_listing_beside_writers_has_all_that_stays
            many_names_are_listed
            groups_are_listed_while_they_hold_something
            quarantine_frees_the_name
            tidying_changes_no_object
            of_many_creators_one_wins
            of_many_updaters_one_wins
            of_many_deleters_one_wins
            a_counter_by_compare_and_swap_is_exact
            unconditional_writers_all_succeed
            readers_see_whole_objects
            a_reader_never_sees_an_older_state
            an_abandoned_put_is_whole_or_absent
            a_shared_store_has_one_winner_among_processes
            a_new_store_is_ready
            a_closed_store_refuses_writes
            what_was_acknowledged_is_there_after_reopening
            what_was_acknowledged_is_there_after_closing
            a_revision_outlives_its_process
        );
    };
    (@ $fixture:ty: $($name:ident)*) => {
        mod storage_conformance {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $name() {
                    let fixture = <$fixture as $crate::conformance::storage::Fixture>::new().await;
                    $crate::conformance::storage::$name(&fixture).await;
                }
            )*
        }
    };
}

/// The group that most tests use.
const GROUP: &str = "0123abcd";
/// How many tasks race.
const RACERS: u64 = 16;

/// The name of an entity.
fn entity(name: &str) -> ObjectName {
    super::name(Space::Entities, GROUP, name)
}

/// A small object; another seed gives another version.
fn small(seed: u64) -> Object {
    object(seed, 40)
}

/// An object that is not sealed, as the superblock and schemas are.
fn public(text: &str) -> Object {
    Object::Public(Public::new(Bytes::copy_from_slice(text.as_bytes())))
}

/// The image under a name.
async fn image(storage: &dyn Storage, name: &ObjectName) -> Option<Bytes> {
    storage.get(name).await.unwrap().map(|stored| stored.bytes)
}

/// The revision under a name.
async fn revision(storage: &dyn Storage, name: &ObjectName) -> Option<Revision> {
    storage.head(name).await.unwrap().map(|head| head.revision)
}

/// Which seed an object was made from, after its structure and checksum were found whole.
fn seed_of(image: &Bytes) -> u64 {
    seal::Sealed::from_image(image.clone()).unwrap();
    seal::peek(image).unwrap().version - 1
}

/// The names of a group in order, with their sizes.
async fn listed(storage: &dyn Storage, space: Space, group: &str) -> Vec<(String, u64)> {
    let listed: Vec<_> = storage.list(space, &Group::new(group)).try_collect().await.unwrap();
    let mut listed: Vec<_> = listed.into_iter().map(|one| (one.name.into(), one.size_bytes)).collect();
    listed.sort();
    listed
}

#[track_caller]
fn refused<T: Debug>(kind: ErrorKind, result: Result<T>) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), kind, "{error:?}");
}

/// Runs tasks that start together, and gives what each came to.
async fn race<T, F>(racers: u64, racer: impl Fn(u64) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let start = Arc::new(tokio::sync::Barrier::new(racers as usize));
    let racers: Vec<_> = (0..racers)
        .map(|number| {
            let (start, racer) = (start.clone(), racer(number));
            tokio::spawn(async move {
                start.wait().await;
                racer.await
            })
        })
        .collect();
    let mut came_to = Vec::new();
    for racer in racers {
        came_to.push(racer.await.unwrap());
    }
    came_to
}

/// Exactly one of the racers won, and each of the others met a conflict; answers the winner's number.
#[track_caller]
fn one_winner<T: Debug>(results: Vec<Result<T>>) -> u64 {
    let mut winners = Vec::new();
    for (number, result) in results.into_iter().enumerate() {
        match result {
            Ok(_) => winners.push(number as u64),
            result => refused(ErrorKind::Conflict, result),
        }
    }
    assert_eq!(winners.len(), 1, "winners: {winners:?}");
    winners[0]
}

/// "What this storage can do; the same answer every time."
pub async fn capabilities_do_not_change(fixture: &impl Fixture) {
    let storage = fixture.open().await;
    let before = storage.capabilities();
    storage.put(&entity("a"), &small(0), &Expect::Anything).await.unwrap();
    assert_eq!(storage.capabilities(), before);
}
