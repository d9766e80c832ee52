//! Whether the history of one entity is linearizable: whether each request can have happened at one moment between its call
//! and its answer, one after the other (Herlihy and Wing, 1990).
//!
//! A depth-first search over the orders that real time allows, remembering where it has been, as Wing and Gong (1993) and
//! Lowe (2017) do it. It is quick because each version of an entity has a tag of its own. Unknown outcomes are what costs:
//! one whose value somebody saw happened before that; of the others those of one kind differ in nothing that can be seen, so
//! that only their number counts, and none of them need ever happen.

use std::collections::HashMap;
use std::time::Duration;

use super::facts::{Does, Facts, Kind, Seen, State, Violation, holds};
use super::history::Operation;

/// How many places of the search are remembered before it gives up.
const PLACES_MAX: usize = 3_000_000;
/// How many requests a report shows.
const SHOWN_MAX: usize = 40;

/// How many unknown outcomes of each kind have happened.
type Used = [usize; Kind::ALL.len()];

/// A place of the search: what has happened, and what that left.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Done {
    /// All before this one.
    first: usize,
    /// And these after it, in order.
    beyond: Vec<usize>,
    state: State,
}

impl Done {
    fn count(&self) -> usize {
        self.first + self.beyond.len()
    }

    fn with(&self, at: usize, state: State) -> Self {
        let mut done = Self { state, ..self.clone() };
        if let Err(place) = done.beyond.binary_search(&at) {
            done.beyond.insert(place, at);
        }
        let run = done.beyond.iter().zip(done.first..).take_while(|(at, expected)| *at == expected).count();
        done.beyond.drain(..run);
        done.first += run;
        done
    }
}

/// Checks the history of one entity, which began absent.
pub fn check(history: &[Operation]) -> Result<(), Violation> {
    let facts = Facts::of(history)?;
    let start = Done { first: 0, beyond: Vec::new(), state: State::Absent };
    let mut stack = vec![(start.clone(), Used::default())];
    // Where the search has been, and with which unknown outcomes: more of them than that help nobody.
    let mut been: HashMap<Done, Vec<Used>> = HashMap::new();
    let (mut farthest, mut places) = (start, 0);
    while let Some((done, used)) = stack.pop() {
        let done = watched(&facts, done);
        if done.count() == facts.seen.len() {
            return Ok(());
        }
        if done.count() > farthest.count() {
            farthest.clone_from(&done);
        }
        let before = been.entry(done.clone()).or_default();
        if before.iter().any(|before| before.iter().zip(&used).all(|(before, used)| before <= used)) {
            continue;
        }
        before.push(used);
        places += 1;
        if places > PLACES_MAX {
            return Err(Violation::new(format!("no order was found in {PLACES_MAX} steps, nor that there is none")));
        }
        // What is known comes first: it is on top.
        guesses(&facts, &done, used, &mut stack);
        for at in open(&facts.seen, &done) {
            let next = facts.seen.get(at).and_then(|seen| after(seen.does, done.state));
            stack.extend(next.map(|state| (done.with(at, state), used)));
        }
    }
    Err(report(&facts, &farthest))
}

/// The same place once all has been seen that changes nothing and can be seen there: that is never too early.
fn watched(facts: &Facts, mut done: Done) -> Done {
    let sees = |at: &usize, state| facts.seen.get(*at).is_some_and(|seen| after(seen.does, state) == Some(state));
    while let Some(at) = open(&facts.seen, &done).into_iter().find(|at| sees(at, done.state)) {
        done = done.with(at, done.state);
    }
    done
}

/// What may come next: what was called before anything that is still to come was answered.
fn open(seen: &[Seen], done: &Done) -> Vec<usize> {
    let mut open = Vec::new();
    let mut earliest = Duration::MAX;
    let mut beyond = done.beyond.iter().peekable();
    for (at, one) in seen.iter().enumerate().skip(done.first) {
        if one.called > earliest {
            break;
        }
        if beyond.next_if(|done| **done == at).is_none() {
            open.push(at);
            earliest = earliest.min(one.answered);
        }
    }
    open
}

/// What a request leaves, if its answer is true in a state.
fn after(does: Does, state: State) -> Option<State> {
    match does {
        Does::See(None) => (state == State::Absent).then_some(state),
        Does::See(Some(tag)) => (state == State::Is(tag)).then_some(state),
        Does::Refuse(when) => (!holds(when, state)).then_some(state),
        Does::Keep(when, tag) => (holds(when, state) && tag.version == state.version() + 1).then_some(State::Is(tag)),
        Does::Remove(when, existed) => {
            (holds(when, state) && (state != State::Absent) == existed).then_some(State::Absent)
        }
    }
}

/// The places that an unknown outcome leads to.
fn guesses(facts: &Facts, done: &Done, used: Used, stack: &mut Vec<(Done, Used)>) {
    let open = open(&facts.seen, done);
    let earliest = open.iter().filter_map(|at| facts.seen.get(*at)).map(|seen| seen.answered).min();
    let was_called = |called: Duration| earliest.is_none_or(|earliest| called <= earliest);
    let unseen = State::Unseen(done.state.version() + 1);
    for (kind, (queue, slot)) in Kind::ALL.iter().zip(facts.unknown.iter().zip(0..)) {
        let next = used.get(slot).and_then(|used| queue.get(*used));
        let state = match kind {
            Kind::Put => unseen,
            Kind::Create if done.state == State::Absent => unseen,
            Kind::Change if done.state != State::Absent => unseen,
            Kind::Delete if done.state != State::Absent => State::Absent,
            Kind::Create | Kind::Change | Kind::Delete => continue,
        };
        if next.is_some_and(|called| was_called(*called)) {
            let mut more = used;
            more.iter_mut().skip(slot).take(1).for_each(|used| *used += 1);
            stack.push((Done { state, ..done.clone() }, more));
        }
    }
    // A version is current once, so that what was to replace it happens once at most.
    if let State::Is(tag) = done.state {
        for (called, removes) in facts.of_version.get(&tag).into_iter().flatten() {
            if was_called(*called) {
                let state = if *removes { State::Absent } else { unseen };
                stack.push((Done { state, ..done.clone() }, used));
            }
        }
    }
}

/// What could not be explained, for people.
fn report(facts: &Facts, farthest: &Done) -> Violation {
    let operation = |at: usize| facts.seen.get(at).map(|seen| seen.operation.to_string()).unwrap_or_default();
    let open: Vec<_> = open(&facts.seen, farthest);
    let mut text = format!(
        "no order explains more than {} of {} answers; after those the entity is {}, and none of these can come next:",
        farthest.count(),
        facts.seen.len(),
        farthest.state
    );
    let mut lines = |title: &str, all: &mut dyn Iterator<Item = String>| {
        text.push_str(title);
        all.take(SHOWN_MAX).for_each(|line| text.push_str(&format!("\n    {line}")));
    };
    lines("", &mut open.iter().map(|at| operation(*at)));
    let is_done = |at: &usize| *at < farthest.first || farthest.beyond.binary_search(at).is_ok();
    let end = farthest.beyond.last().map_or(farthest.first, |last| last + 1);
    let last: Vec<_> = (0..end).filter(is_done).collect();
    lines("\n  before them:", &mut last.iter().rev().take(SHOWN_MAX / 2).rev().map(|at| operation(*at)));
    let until = open.iter().filter_map(|at| facts.seen.get(*at)).map(|seen| seen.answered).max().unwrap_or_default();
    let unknown = facts.doubtful.iter().filter(|operation| operation.called <= until);
    lines("\n  of unknown outcome, and never seen:", &mut unknown.map(ToString::to_string));
    Violation::new(text)
}
