//! The writes of one commit: what each expects, checked in order, and what is answered when they are durable.

use std::collections::HashMap;

use bytes::Bytes;
use delta_core::storage::{Expect, Revision};
use delta_core::{Error, ErrorKind, Result};
use tokio::sync::oneshot;

use crate::queue::{Demand, Request};
use crate::tree::{Change, Shelf, Tree};

/// A group in the making. Reused, so that a commit allocates little.
#[derive(Debug, Default)]
pub(crate) struct Group {
    /// The last change of each object: all of a commit have one rank in the tree, where two of one object would clash.
    changes: Vec<Change>,
    /// Where in `changes` an object is.
    places: HashMap<(Shelf, Bytes), usize>,
    answers: Vec<Answer>,
}

/// What is answered after the commit: whether each write changes something, or why not.
#[derive(Debug)]
enum Answer {
    One(Result<bool>, oneshot::Sender<Result<()>>),
    All(Result<Vec<Result<bool>>>, oneshot::Sender<Result<Vec<Result<()>>>>),
}

/// What the earlier writes of one batch make of its objects.
type Earlier = HashMap<(Shelf, Bytes), Option<Revision>>;

impl Group {
    /// Adds a request after those that are in the group already; what it expects is checked now.
    pub(crate) fn add(&mut self, tree: &Tree, request: Request) {
        match request {
            Request::One(demand, answer) => {
                let checked = self.check(tree, &demand, &Earlier::new());
                if let Ok(true) = checked {
                    self.stage(demand.change);
                }
                self.answers.push(Answer::One(checked, answer));
            }
            Request::All(demands, answer) => {
                let checked = self.check_all(tree, &demands);
                if let Ok(each) = &checked {
                    let changing = demands.into_iter().zip(each).filter(|(_, checked)| matches!(checked, Ok(true)));
                    changing.for_each(|(demand, _)| self.stage(demand.change));
                }
                self.answers.push(Answer::All(checked, answer));
            }
        }
    }

    /// Whether there is anything to write.
    pub(crate) fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// The changes, each of another object. They leave the group; the answers stay.
    pub(crate) fn changes(&mut self) -> impl ExactSizeIterator<Item = Change> {
        self.places.clear();
        self.changes.drain(..)
    }

    /// Answers every request: what changes something is durable now.
    pub(crate) fn answer(&mut self) {
        for answer in self.answers.drain(..) {
            // Who has gone is not told.
            match answer {
                Answer::One(checked, to) => drop(to.send(checked.map(drop))),
                Answer::All(checked, to) => {
                    let each = |each: Vec<Result<bool>>| each.into_iter().map(|one| one.map(drop)).collect();
                    drop(to.send(checked.map(each)));
                }
            }
        }
    }

    /// Answers every request after a failed commit. What would have changed nothing is not unknown, but it may have been
    /// decided on the changes that failed.
    pub(crate) fn refuse(&mut self, changing: impl Fn() -> Error, others: impl Fn() -> Error) {
        for answer in self.answers.drain(..) {
            match answer {
                Answer::One(Ok(true), to) => drop(to.send(Err(changing()))),
                Answer::One(_, to) => drop(to.send(Err(others()))),
                Answer::All(Ok(each), to) if each.iter().any(|one| matches!(one, Ok(true))) => {
                    drop(to.send(Err(changing())));
                }
                Answer::All(_, to) => drop(to.send(Err(others()))),
            }
        }
    }

    /// Whether a write changes something; `Conflict` if it finds what it does not expect.
    fn check(&self, tree: &Tree, demand: &Demand, earlier: &Earlier) -> Result<bool> {
        let Demand { change, expect } = demand;
        if change.to.is_some() && *expect == Expect::Anything {
            return Ok(true);
        }
        let found = self.found(tree, change, earlier)?;
        match expect.holds(found.as_ref()) {
            true => Ok(change.to.is_some() || found.is_some()),
            false => Err(Error::conflict("the object is not in the expected state")),
        }
    }

    /// The same for a batch: if one write does not fit, none does.
    fn check_all(&self, tree: &Tree, demands: &[Demand]) -> Result<Vec<Result<bool>>> {
        let mut earlier = Earlier::new();
        let mut checked = Vec::with_capacity(demands.len());
        for demand in demands {
            let one = self.check(tree, demand, &earlier);
            match one {
                Err(error) if error.kind() != ErrorKind::Conflict => return Err(error),
                one => checked.push(one),
            }
            let revision = demand.change.to.as_ref().map(|(_, revision)| revision.clone());
            earlier.insert((demand.change.shelf, demand.change.key.clone()), revision);
        }
        if checked.iter().all(Result::is_ok) {
            return Ok(checked);
        }
        let others = || Error::conflict("another write of the batch failed").with_code("batch_not_applied");
        Ok(checked.into_iter().map(|one| one.and_then(|_| Err(others()))).collect())
    }

    fn found(&self, tree: &Tree, change: &Change, earlier: &Earlier) -> Result<Option<Revision>> {
        if !earlier.is_empty() || !self.places.is_empty() {
            let object = (change.shelf, change.key.clone());
            if let Some(found) = earlier.get(&object) {
                return Ok(found.clone());
            }
            if let Some(staged) = self.places.get(&object).and_then(|&place| self.changes.get(place)) {
                return Ok(staged.to.as_ref().map(|(_, revision)| revision.clone()));
            }
        }
        Ok(tree.get(change.shelf, &change.key)?.map(|image| Revision::of(&image)))
    }

    fn stage(&mut self, change: Change) {
        let object = (change.shelf, change.key.clone());
        match self.places.get(&object).and_then(|&place| self.changes.get_mut(place)) {
            Some(staged) => *staged = change,
            None => {
                self.places.insert(object, self.changes.len());
                self.changes.push(change);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use delta_core::conformance;
    use delta_core::storage::Space;

    use super::*;
    use crate::config::Config;

    fn put(key: &'static str, seed: u64) -> Demand {
        let object = conformance::object(seed, 10);
        let to = Some((object.bytes().clone(), object.revision()));
        Demand { change: Change { shelf: Shelf::Of(Space::Entities), key: key.into(), to }, expect: Expect::Anything }
    }

    #[test]
    fn of_an_object_that_is_written_often_the_last_change_is_committed() {
        let directory = tempfile::tempdir().unwrap();
        let tree = Tree::open(directory.path(), &Config::new(directory.path())).unwrap();
        let mut group = Group::default();
        let last = put("/a", 9);
        let revision = last.change.to.as_ref().map(|(_, revision)| revision.clone());
        for demand in [put("/a", 1), put("/b", 2), put("/a", 3), last] {
            group.add(&tree, Request::One(demand, oneshot::channel().0));
        }
        let changes: Vec<_> = group.changes().collect();
        assert_eq!(changes.iter().map(|change| &change.key[..]).collect::<Vec<_>>(), [b"/a", b"/b"]);
        assert_eq!(changes[0].to.as_ref().map(|(_, revision)| revision.clone()), revision);
        assert!(!group.has_changes());
    }
}
