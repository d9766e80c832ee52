//! What holds for every patch, and the suites that others wrote.

use json_patch::{Patch as Theirs, merge};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::document::equal::equal;
use crate::document::tree::{Node, Work};
use crate::document::{DEPTH_MAX, Document};
use crate::error::Result;
use crate::patch::{Patch, PatchLimits};
use crate::pointer::Pointer;

fn document(value: &Value) -> Document {
    Document::parse(value.to_string().as_bytes(), DEPTH_MAX).unwrap()
}

fn apply(patch: &Patch, target: &Document) -> Result<Document> {
    let result = patch.apply(target, &PatchLimits::default())?;
    assert_eq!(Document::parse(result.bytes(), DEPTH_MAX).unwrap(), result);
    Ok(result)
}

fn same(left: &Document, right: &Document) -> bool {
    let (left, right) = (Node::Text(left.text().unwrap()), Node::Text(right.text().unwrap()));
    equal(&left, &right, &mut Work::new(1 << 20)).unwrap()
}

/// Runs every record of a file of the JSON Patch test suite (core/vectors/json-patch), disabled ones too.
fn suite(text: &'static str) -> usize {
    // One record holds an object with the same key twice, which a parse of the whole file would refuse.
    let file = Document::trusted(text.into());
    let part = |record: usize, name: &str| {
        let pointer = Pointer::parse(&format!("/{record}{name}")).unwrap();
        file.at(&pointer).unwrap()
    };
    let mut run = 0;
    for record in (0..).take_while(|record| part(*record, "").is_some()) {
        let what = part(record, "").unwrap().text().unwrap().to_owned();
        let (Some(target), Some(patch)) = (part(record, "/doc"), part(record, "/patch")) else { continue };
        let parsed = Document::parse(patch.bytes(), DEPTH_MAX).map(Patch::Operations);
        let result = parsed.and_then(|patch| apply(&patch, &target));
        match (part(record, "/expected"), part(record, "/error")) {
            (Some(expected), _) => assert!(same(&result.unwrap(), &expected), "{what}"),
            (None, Some(_)) => assert!(result.is_err(), "{what}"),
            (None, None) => drop(result.unwrap()),
        }
        run += 1;
    }
    run
}

#[test]
fn the_json_patch_test_suite_passes() {
    assert_eq!(suite(include_str!("../../vectors/json-patch/spec_tests.json")), 17);
    assert_eq!(suite(include_str!("../../vectors/json-patch/tests.json")), 78);
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..5).prop_map(Value::from),
        "[ab]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[ab~/]{0,2}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// A path, and often one that leads somewhere.
fn path() -> impl Strategy<Value = String> {
    let step = prop_oneof!["[ab]{0,2}", "[0-3]", Just("-".to_owned()), Just("~0".to_owned()), Just("~1a".to_owned())];
    prop::collection::vec(step, 0..4).prop_map(|steps| steps.iter().map(|step| format!("/{step}")).collect())
}

fn operations() -> impl Strategy<Value = Value> {
    let operation = (0..6, path(), path(), value()).prop_map(|(kind, path, from, value)| match kind {
        0 => json!({"op": "add", "path": path, "value": value}),
        1 => json!({"op": "remove", "path": path}),
        2 => json!({"op": "replace", "path": path, "value": value}),
        3 => json!({"op": "move", "from": from, "path": path}),
        4 => json!({"op": "copy", "from": from, "path": path}),
        _ => json!({"op": "test", "path": path, "value": value}),
    });
    prop::collection::vec(operation, 0..5).prop_map(Value::from)
}

/// The merge patch that makes `to` of `from`; neither may hold `null`.
fn difference(from: &Value, to: &Value) -> Value {
    let (Value::Object(from), Value::Object(to)) = (from, to) else { return to.clone() };
    let gone = from.keys().filter(|key| !to.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let changed = to.iter().filter(|(key, value)| from.get(*key) != Some(value));
    let changed = changed.map(|(key, value)| (key.clone(), difference(from.get(key).unwrap_or(&Value::Null), value)));
    Value::Object(gone.chain(changed).collect::<Map<_, _>>())
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Null => json!(0),
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        Value::Object(members) => members.into_iter().map(|(key, value)| (key, without_nulls(value))).collect(),
        other => other,
    }
}

proptest! {
    #[test]
    fn operations_do_what_another_implementation_does(target in value(), operations in operations()) {
        // The other one refuses to move the whole document where it is.
        prop_assume!(!operations.as_array().unwrap().iter().any(|one| one["op"] == "move" && one["path"] == "" && one["from"] == ""));
        let ours = apply(&Patch::Operations(document(&operations)), &document(&target));
        let mut theirs = target.clone();
        let patch: Theirs = serde_json::from_value(operations).unwrap();
        // Without undoing what was done before a failure: the other one panics where it cannot.
        match (ours, json_patch::patch_unsafe(&mut theirs, &patch)) {
            (Ok(ours), Ok(())) => prop_assert_eq!(ours.to_value().unwrap(), theirs),
            (Err(_), Err(_)) => {}
            // Only the other one takes away or moves the whole document.
            (Err(error), Ok(())) => prop_assert_eq!(error.code(), "bad_patch"),
            (Ok(ours), Err(error)) => prop_assert!(false, "{:?} but {error}", ours.to_value().unwrap()),
        }
    }

    #[test]
    fn operations_that_another_implementation_finds_lead_there(from in value(), to in value()) {
        let patch = serde_json::to_value(json_patch::diff(&from, &to)).unwrap();
        let result = apply(&Patch::Operations(document(&patch)), &document(&from)).unwrap();
        prop_assert_eq!(result.to_value().unwrap(), to);
    }

    #[test]
    fn merging_does_what_another_implementation_does_and_once_is_enough(target in value(), patch in value()) {
        let ours = Patch::Merge(document(&patch));
        let once = apply(&ours, &document(&target)).unwrap();
        let mut theirs = target;
        merge(&mut theirs, &patch);
        prop_assert_eq!(once.to_value().unwrap(), theirs);
        prop_assert_eq!(apply(&ours, &once).unwrap(), once);
    }

    #[test]
    fn a_difference_that_is_merged_leads_there(from in value(), to in value()) {
        let (from, to) = (without_nulls(from), without_nulls(to));
        let result = apply(&Patch::Merge(document(&difference(&from, &to))), &document(&from)).unwrap();
        prop_assert_eq!(result.to_value().unwrap(), to);
    }

    #[test]
    fn a_pointer_leads_where_another_implementation_goes(target in value(), path in path()) {
        let part = document(&target).at(&Pointer::parse(&path).unwrap()).unwrap();
        let part = part.map(|part| Document::parse(part.bytes(), DEPTH_MAX).unwrap().to_value().unwrap());
        prop_assert_eq!(part.as_ref(), target.pointer(&path));
    }
}
