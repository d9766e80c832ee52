//! Random schemas on random documents: nothing panics, what boon compiles is what was bounded, boon does no more than was
//! measured, and its two ways of checking agree (where they did not, a check would be an internal error).

use std::cell::Cell;

use delta_core::document::{DEPTH_MAX_CEILING, Document};
use delta_core::error::ErrorKind;
use delta_core::name::SchemaId;
use delta_core::validator::CompiledSchema;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::dialect::{self, Position};
use crate::meter::{APPLY_STEPS, FAILURE_STEPS};
use crate::stack::LEVELS_MAX;
use crate::{Config, JsonSchema};

const DRAFTS: [&str; 5] = [
    "http://json-schema.org/draft-04/schema#",
    "http://json-schema.org/draft-06/schema#",
    "http://json-schema.org/draft-07/schema#",
    "https://json-schema.org/draft/2019-09/schema",
    "https://json-schema.org/draft/2020-12/schema",
];

fn document(value: &Value) -> Document {
    Document::parse(value.to_string().as_bytes(), DEPTH_MAX_CEILING).unwrap()
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![Just("a"), Just("b"), Just("a/b"), Just("ä~ %"), Just("items")].prop_map(str::to_owned)
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        (-3..4_i64).prop_map(Value::from),
        Just(json!(0.5)),
        Just(json!(u64::MAX)),
        name().prop_map(Value::from),
        Just(json!("2024-02-29")),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name(), inner, 0..4).prop_map(|members| json!(members)),
        ]
    })
}

fn assertion() -> impl Strategy<Value = (String, Value)> {
    let small = 0..4_u8;
    prop_oneof![
        prop_oneof![Just("string"), Just("object"), Just("array"), Just("integer")]
            .prop_map(|name| ("type", json!(name))),
        prop::collection::vec(scalar(), 1..4).prop_map(|values| ("enum", json!(values))),
        value().prop_map(|value| ("const", value)),
        name().prop_map(|name| ("required", json!([name]))),
        (
            prop_oneof![
                Just("minItems"),
                Just("maxLength"),
                Just("minProperties"),
                Just("maximum"),
                Just("minContains")
            ],
            small
        )
            .prop_map(|(keyword, count)| (keyword, json!(count))),
        Just(("uniqueItems", json!(true))),
        prop_oneof![Just("^a"), Just("\\d{2,3}"), Just("[\\w\\s]+"), Just("\\cA|ä")]
            .prop_map(|text| ("pattern", json!(text))),
        prop_oneof![Just("date"), Just("regex"), Just("email"), Just("unknown")]
            .prop_map(|text| ("format", json!(text))),
        prop_oneof![
            Just("#/definitions/a"),
            Just("#/$defs/b"),
            Just("#"),
            Just("#n"),
            Just("other"),
            Just("other#/definitions/a")
        ]
        .prop_map(|place| ("$ref", json!(place))),
        prop_oneof![Just("#n"), Just("#/$defs/a"), Just("other#n")].prop_map(|place| ("$dynamicRef", json!(place))),
        Just(("$recursiveRef", json!("#"))),
        Just(("$recursiveAnchor", json!(true))),
        Just(("$dynamicAnchor", json!("n"))),
        prop_oneof![Just("x"), Just("#n"), Just("delta:///a")].prop_map(|id| ("$id", json!(id))),
        Just(("additionalProperties", json!(false))),
        Just(("unevaluatedItems", json!(false))),
    ]
    .prop_map(|(keyword, value)| (keyword.to_owned(), value))
}

fn schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        8 => prop::collection::vec(assertion(), 0..3).prop_map(|members| Value::Object(members.into_iter().collect())),
        1 => any::<bool>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 4, |inner| {
        let one = prop_oneof![
            Just("not"),
            Just("if"),
            Just("then"),
            Just("else"),
            Just("items"),
            Just("contains"),
            Just("propertyNames"),
            Just("additionalProperties"),
            Just("additionalItems"),
            Just("unevaluatedProperties"),
            Just("unevaluatedItems"),
        ];
        let list = prop_oneof![Just("allOf"), Just("anyOf"), Just("oneOf"), Just("items"), Just("prefixItems")];
        let named = prop_oneof![
            Just("properties"),
            Just("patternProperties"),
            Just("dependentSchemas"),
            Just("dependencies"),
            Just("definitions"),
            Just("$defs"),
        ];
        let applied = prop_oneof![
            (one, inner.clone()).prop_map(|(keyword, schema)| (keyword.to_owned(), schema)),
            (list, prop::collection::vec(inner.clone(), 1..3))
                .prop_map(|(keyword, schemas)| (keyword.to_owned(), json!(schemas))),
            (named, prop::collection::btree_map(name(), inner, 1..3))
                .prop_map(|(keyword, schemas)| (keyword.to_owned(), json!(schemas))),
            assertion(),
        ];
        prop::collection::vec(applied, 1..5)
            .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>()))
    })
}

thread_local! {
    /// How many subschemas with the format `counted` were applied.
    static APPLIED: Cell<u64> = const { Cell::new(0) };
}

/// Gives every subschema that has no format one that counts.
fn counted(schema: &mut Value) {
    let Value::Object(members) = schema else { return };
    for (keyword, inner) in members.iter_mut() {
        match (dialect::position(boon::Draft::V2020_12, keyword), inner) {
            (None, _) => {}
            (Some(Position::Members), Value::Object(schemas)) => schemas.values_mut().for_each(counted),
            (Some(_), Value::Array(schemas)) => schemas.iter_mut().for_each(counted),
            (Some(_), schema) => counted(schema),
        }
    }
    members.entry("format").or_insert(json!("counted"));
}

/// What boon applies when it checks a value without a bound.
fn applied(schema: &Value, other: &Value, value: &Value) -> u64 {
    let mut compiler = boon::Compiler::new();
    compiler.enable_format_assertions();
    let count = |_: &Value| {
        APPLIED.set(APPLIED.get() + 1);
        Ok(())
    };
    compiler.register_format(boon::Format { name: "counted", func: count });
    compiler.add_resource("delta:///a", schema.clone()).unwrap();
    compiler.add_resource("delta:///other", other.clone()).unwrap();
    let mut schemas = boon::Schemas::new();
    let index = compiler.compile("delta:///a", &mut schemas).unwrap();
    APPLIED.set(0);
    let _ = schemas.validate(value, index);
    APPLIED.get()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_and_nothing_contradicts(
        mut schema in schema(),
        mut other in schema(),
        draft in prop::sample::select(&DRAFTS[..]),
        values in prop::collection::vec(value(), 1..6),
    ) {
        for schema in [&mut schema, &mut other] {
            if let Value::Object(members) = schema {
                members.insert("$schema".into(), json!(draft));
            }
        }
        let validator = JsonSchema::new(Config { check_steps_max: 1 << 20, ..Config::default() }).unwrap();
        let lookup = |id: &SchemaId| (id.as_str() == "other").then(|| document(&other));
        match validator.compiled(&SchemaId::parse("a").unwrap(), &document(&schema), &lookup) {
            Ok(compiled) => {
                prop_assert_eq!(compiled.schemas.size(), compiled.graph.nodes.len() + 2);
                for value in &values {
                    let checked = compiled.check(&document(value));
                    prop_assert!(checked.as_ref().err().map(delta_core::Error::kind) != Some(ErrorKind::Internal), "{:?}", checked);
                    for violation in checked.unwrap_or_default() {
                        prop_assert!(value.pointer(&violation.pointer).is_some(), "{:?}", violation);
                    }
                }
            }
            Err(error) => {
                prop_assert_eq!(error.code(), "invalid_schema");
                prop_assert!(!error.to_string().contains("cannot be bounded"), "{} {}", schema, other);
            }
        }
    }
    #[test]
    fn the_measure_is_an_upper_bound(
        mut schema in schema(),
        mut other in schema(),
        draft in prop::sample::select(&DRAFTS[..]),
        values in prop::collection::vec(value(), 1..6),
    ) {
        for schema in [&mut schema, &mut other] {
            counted(schema);
            if let Value::Object(members) = schema {
                members.insert("$schema".into(), json!(draft));
            }
        }
        let lookup = |id: &SchemaId| (id.as_str() == "other").then(|| document(&other));
        let compiled = JsonSchema::default().compiled(&SchemaId::parse("a").unwrap(), &document(&schema), &lookup);
        let Ok(compiled) = compiled else { return Ok(()) };
        for value in &values {
            let Ok(measure) = compiled.measure(value, LEVELS_MAX) else { continue };
            let applied = applied(&schema, &other, value);
            // Each of them was counted as a subschema with an assertion.
            prop_assert!(measure.steps >= applied * (APPLY_STEPS + FAILURE_STEPS), "{} steps for {} applied", measure.steps, applied);
        }
    }
}
