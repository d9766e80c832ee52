//! The checker itself: it accepts what can have happened and nothing else.

use std::cell::Cell;
use std::time::Duration;

use delta_tests::linear::{Answer, Call, Operation, Tag, When, check};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// A tag of a version: in these tests a write is called like its value.
fn tag(version: u64, value: u64) -> Tag {
    Tag { version, write: value }
}

fn operation(times: (u64, u64), call: Call, answer: Answer) -> Operation {
    let [called, answered] = [times.0, times.1].map(Duration::from_millis);
    Operation { client: 0, called, answered, call, answer }
}

fn get(times: (u64, u64), found: Option<(u64, u64)>) -> Operation {
    let answer = found.map_or(Answer::Missing, |(version, value)| Answer::Found(value, tag(version, value)));
    operation(times, Call::Get, answer)
}

fn put(times: (u64, u64), value: u64, when: When, version: u64) -> Operation {
    let answer = Answer::Kept { tag: tag(version, value), created: version == 1 };
    operation(times, Call::Put { value, when }, answer)
}

fn delete(times: (u64, u64), existed: bool) -> Operation {
    operation(times, Call::Delete { when: When::Always }, Answer::Removed { existed })
}

fn unknown(called: u64, call: Call) -> Operation {
    operation((called, called), call, Answer::Unknown)
}

fn refused(times: (u64, u64), call: Call) -> Operation {
    operation(times, call, Answer::Refused)
}

const ALWAYS: When = When::Always;

#[track_caller]
fn accepted(history: &[Operation]) {
    check(history).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert!(brute(history), "the simple checker does not agree");
}

#[track_caller]
fn rejected(history: &[Operation]) {
    assert!(check(history).is_err(), "it was accepted");
    assert!(!brute(history), "the simple checker does not agree");
}

#[test]
fn a_stale_read_is_found_and_a_concurrent_one_is_none() {
    let writes = [put((0, 1), 1, ALWAYS, 1), put((2, 3), 2, ALWAYS, 2)];
    rejected(&[&writes[..], &[get((4, 5), Some((1, 1)))]].concat());
    rejected(&[&writes[..], &[get((4, 5), None)]].concat());
    accepted(&[&writes[..], &[get((2, 5), Some((1, 1)))]].concat());
    accepted(&[&writes[..], &[get((4, 5), Some((2, 2)))]].concat());
    // Two readers must not see two versions in turns.
    let slow = [put((0, 1), 1, ALWAYS, 1), put((2, 20), 2, ALWAYS, 2)];
    accepted(&[&slow[..], &[get((3, 4), Some((1, 1))), get((5, 6), Some((2, 2)))]].concat());
    rejected(&[&slow[..], &[get((3, 4), Some((2, 2))), get((5, 6), Some((1, 1)))]].concat());
}

#[test]
fn a_lost_write_and_a_write_that_won_twice_are_found() {
    rejected(&[put((0, 1), 1, ALWAYS, 1), put((2, 3), 2, ALWAYS, 1)]);
    rejected(&[put((0, 1), 1, ALWAYS, 1), put((2, 3), 2, ALWAYS, 3)]);
    let both = |first, second| [put((0, 1), 1, ALWAYS, 1), put((2, 9), 2, first, 2), put((2, 9), 3, second, 3)];
    let old = When::Is(tag(1, 1));
    rejected(&both(old, old));
    accepted(&both(old, ALWAYS));
    accepted(&both(old, When::Is(tag(2, 2))));
    rejected(&[put((0, 5), 1, When::Absent, 1), put((0, 5), 2, When::Absent, 1)]);
    accepted(&[put((0, 5), 1, When::Absent, 1), delete((0, 5), true), put((0, 5), 2, When::Absent, 1)]);
    rejected(&[put((0, 1), 1, ALWAYS, 1), delete((2, 3), false)]);
    rejected(&[put((0, 1), 1, ALWAYS, 1), delete((2, 3), true), get((4, 5), Some((1, 1)))]);
}

#[test]
fn a_refusal_must_have_had_its_reason() {
    let change = |value, when| Call::Put { value, when };
    rejected(&[put((0, 1), 1, ALWAYS, 1), refused((2, 3), change(2, When::Is(tag(1, 1))))]);
    accepted(&[put((0, 1), 1, ALWAYS, 1), refused((2, 3), change(2, When::Absent))]);
    rejected(&[refused((0, 1), change(2, When::Absent))]);
    accepted(&[refused((0, 1), change(2, When::Present)), put((2, 3), 1, ALWAYS, 1)]);
    rejected(&[put((0, 1), 1, ALWAYS, 1), refused((2, 3), change(2, When::Present))]);
    rejected(&[refused((0, 1), change(2, ALWAYS))]);
    let replaced = [put((0, 1), 1, ALWAYS, 1), put((2, 9), 2, ALWAYS, 2)];
    accepted(&[&replaced[..], &[refused((3, 4), change(3, When::Is(tag(1, 1))))]].concat());
    // What was refused is never seen.
    rejected(&[put((0, 1), 1, ALWAYS, 1), refused((2, 3), change(2, When::Absent)), get((4, 5), Some((2, 2)))]);
}

#[test]
fn what_is_unknown_may_happen_late_or_never_but_once() {
    let first = put((0, 1), 1, ALWAYS, 1);
    let lost = unknown(2, Call::Put { value: 2, when: ALWAYS });
    let sees = |at, version, value| get((at, at + 1), Some((version, value)));
    accepted(&[first, lost, sees(4, 1, 1)]);
    accepted(&[first, lost, sees(4, 2, 2)]);
    accepted(&[first, lost, sees(4, 1, 1), sees(60, 2, 2)]);
    rejected(&[first, lost, sees(4, 2, 2), sees(60, 1, 1)]);
    rejected(&[first, sees(0, 2, 2), lost]);
    // Nobody sees it but by the version after it.
    accepted(&[first, lost, put((4, 5), 3, ALWAYS, 3)]);
    accepted(&[first, lost, put((4, 5), 3, ALWAYS, 2), put((6, 7), 4, ALWAYS, 4)]);
    rejected(&[first, lost, put((4, 5), 3, ALWAYS, 3), put((6, 7), 4, ALWAYS, 5)]);
    rejected(&[first, put((4, 5), 3, ALWAYS, 3), unknown(6, Call::Put { value: 2, when: ALWAYS })]);
    let removal = unknown(2, Call::Delete { when: ALWAYS });
    accepted(&[first, removal, get((4, 5), None), put((6, 7), 2, When::Absent, 1)]);
    rejected(&[first, removal, get((4, 5), None), put((6, 7), 2, ALWAYS, 1), get((8, 9), None)]);
    let of_version = unknown(2, Call::Delete { when: When::Is(tag(1, 1)) });
    accepted(&[first, of_version, sees(4, 1, 1), get((6, 7), None)]);
    rejected(&[first, of_version, put((4, 5), 2, ALWAYS, 2), get((6, 7), None)]);
    let creation = unknown(2, Call::Put { value: 9, when: When::Absent });
    let of_something = unknown(2, Call::Put { value: 9, when: When::Present });
    accepted(&[first, of_something, put((4, 5), 3, ALWAYS, 3)]);
    rejected(&[first, of_something, delete((4, 5), true), put((6, 7), 3, ALWAYS, 2)]);
    accepted(&[first, creation, delete((4, 5), true), delete((6, 7), true), get((8, 9), None)]);
    rejected(&[first, delete((4, 5), true), delete((6, 7), true)]);
}

#[test]
fn what_nobody_wrote_and_a_tag_of_two_documents_are_found() {
    rejected(&[get((0, 1), Some((1, 7)))]);
    let twice = [put((0, 1), 1, ALWAYS, 1), operation((2, 3), Call::Get, Answer::Found(1, tag(2, 1)))];
    assert!(check(&twice).is_err());
}

/// A history of ten thousand answers and hundreds of unknown outcomes is no matter of minutes, whether it is fine or not.
#[test]
fn long_histories_with_many_unknown_outcomes_are_checked() {
    let (mut history, mut version) = (Vec::new(), 0);
    for round in 0..2_000_u64 {
        let at = round * 10;
        version += 1;
        history.push(put((at, at + 8), 10 * round + 1, ALWAYS, version));
        history.push(get((at, at + 9), Some((version, 10 * round + 1))));
        if round % 10 == 3 {
            history.push(unknown(at, Call::Put { value: 10 * round + 2, when: ALWAYS }));
            history.push(unknown(at, Call::Delete { when: ALWAYS }));
            history.push(unknown(at, Call::Put { value: 10 * round + 3, when: When::Absent }));
        }
        if round % 20 == 19 {
            history.push(delete((at + 9, at + 9), true));
            history.push(get((at + 9, at + 10), None));
            version = 0;
        }
    }
    check(&history).unwrap_or_else(|wrong| panic!("{wrong}"));
    history.push(get((30_000, 30_001), Some((19, 19_981))));
    assert!(check(&history).is_err());
}

/// The state of the simple checker: version and value.
type Plain = Option<(u64, u64)>;

fn holds(when: When, state: Plain) -> bool {
    match when {
        When::Always => true,
        When::Absent => state.is_none(),
        When::Present => state.is_some(),
        When::Is(of) => state == Some((of.version, of.write)),
    }
}

/// Does a request as the product promises it.
fn perform(call: Call, state: Plain) -> (Plain, Answer) {
    match call {
        Call::Get => {
            (state, state.map_or(Answer::Missing, |(version, value)| Answer::Found(value, tag(version, value))))
        }
        Call::Put { when, .. } | Call::Delete { when } if !holds(when, state) => (state, Answer::Refused),
        Call::Put { value, .. } => {
            let version = state.map_or(0, |(version, _)| version) + 1;
            (Some((version, value)), Answer::Kept { tag: tag(version, value), created: state.is_none() })
        }
        Call::Delete { .. } => (None, Answer::Removed { existed: state.is_some() }),
    }
}

/// Tries every order: far too slow for anything but a handful, and simple enough to be right.
fn brute(history: &[Operation]) -> bool {
    fn search(left: &[Operation], state: Plain) -> bool {
        if left.iter().all(|operation| operation.answer == Answer::Unknown) {
            return true;
        }
        let answered = left.iter().filter(|operation| operation.answer != Answer::Unknown);
        let earliest = answered.map(|operation| operation.answered).min().unwrap();
        (0..left.len()).filter(|at| left[*at].called <= earliest).any(|at| {
            let (next, answer) = perform(left[at].call, state);
            let rest = [&left[..at], &left[at + 1..]].concat();
            [Answer::Unknown, answer].contains(&left[at].answer) && search(&rest, next)
        })
    }
    search(history, None)
}

/// What one request of a made-up history is: verb, condition, when it was called, how long it took, when it happened.
type Made = (u8, u8, u64, u64, u64, bool);

/// A history that can have happened: each request happens at a moment of its own.
fn happened(made: &[Made]) -> Vec<Operation> {
    let mut order: Vec<_> = (0..made.len()).collect();
    let moment = |at: usize| made[at].2 + made[at].4 % (made[at].3 + 1);
    order.sort_by_key(|at| moment(*at));
    let (mut state, mut tags, mut history) = (None, vec![tag(1, 1_000)], vec![None; made.len()]);
    for at in order {
        let (verb, condition, called, took, _, is_unknown) = made[at];
        let when = match condition % 5 {
            0 => When::Absent,
            1 => When::Is(tags[usize::from(condition / 5) % tags.len()]),
            2 => When::Present,
            _ => ALWAYS,
        };
        let call = match (verb % 4, when) {
            (0 | 1, when) => Call::Put { value: at as u64, when },
            (2, When::Absent) => Call::Delete { when: ALWAYS },
            (2, when) => Call::Delete { when },
            _ => Call::Get,
        };
        // One in three of unknown outcome never happens.
        let (next, answer) = perform(call, state);
        let happens = !is_unknown || took % 3 != 0;
        state = if happens { next } else { state };
        if let (Answer::Kept { tag, .. }, false) = (answer, is_unknown) {
            tags.push(tag);
        }
        let answer = if is_unknown { Answer::Unknown } else { answer };
        history[at] = Some(operation((called, called + took), call, answer));
    }
    history.into_iter().flatten().collect()
}

#[test]
fn it_agrees_with_one_that_tries_every_order() {
    let made = (0..4_u8, 0..40_u8, 0..20_u64, 0..12_u64, 0..64_u64, prop::bool::weighted(0.25));
    let changed = prop::option::of((0..8_usize, 0..8_usize));
    let strategy = (prop::collection::vec(made, 1..8), changed);
    let config = Config { failure_persistence: None, ..Config::with_cases(4_000) };
    let impossible = Cell::new(0);
    let result = TestRunner::new(config).run(&strategy, |(made, changed)| {
        let mut history = happened(&made);
        prop_assert!(brute(&history), "the simple checker rejects what happened: {history:?}");
        if let Some((one, other)) = changed {
            // Two requests change times, and what they were told may have become impossible.
            let (one, other) = (one % history.len(), other % history.len());
            let times = |operation: &Operation| (operation.called, operation.answered);
            let (of_one, of_other) = (times(&history[one]), times(&history[other]));
            (history[one].called, history[one].answered) = of_other;
            (history[other].called, history[other].answered) = of_one;
        }
        let possible = brute(&history);
        impossible.set(impossible.get() + usize::from(!possible));
        prop_assert_eq!(check(&history).is_ok(), possible, "{:?}", history);
        Ok(())
    });
    result.unwrap_or_else(|wrong| panic!("{wrong}"));
    assert!(impossible.get() > 200, "only {} histories were impossible", impossible.get());
}
