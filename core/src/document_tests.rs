//! Documents are kept as they are, or refused.

use super::*;
use proptest::prelude::*;

fn refused(text: &[u8]) -> String {
    let error = Document::parse(text, DEPTH_MAX).unwrap_err();
    assert_eq!(error.code(), "bad_json");
    error.to_string()
}

#[test]
fn bytes_are_kept_as_received() {
    for text in [" {\"b\":1,\"a\":2}\n", "1e999", "-0.0E-0", "123456789012345678901234567890", "\"\\u00e4\"", "[]"] {
        assert_eq!(Document::parse(text.as_bytes(), DEPTH_MAX).unwrap().bytes(), text.as_bytes());
    }
}

#[test]
fn nothing_is_repaired() {
    assert!(refused(b"{\"a\":1,\"\\u0061\":2}").contains("same key twice"));
    assert!(refused(b"\"\xff\"").contains("UTF-8"));
    assert!(refused(b"\"\\ud800\"").contains("surrogate"));
    assert!(refused(b"\"\\ud800\\u0041\"").contains("surrogate"));
    assert!(refused(b"\"\\udc00\"").contains("surrogate"));
    assert!(refused(b"1 2").contains("after the end"));
    assert!(refused(b"").contains("ends"));
    for bad in [
        "NaN",
        "Infinity",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "'a'",
        "tru",
        "\"\t\"",
        "\u{feff}1",
    ] {
        refused(bad.as_bytes());
    }
}

#[test]
fn depth_has_a_limit_and_bombs_are_cheap() {
    let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
    assert!(Document::parse(&nested(DEPTH_MAX), DEPTH_MAX).is_ok());
    assert!(refused(&nested(DEPTH_MAX + 1)).contains("128 levels"));
    assert!(refused(&vec![b'['; 1 << 20]).contains("128 levels"));
    assert!(Document::parse(&nested(DEPTH_MAX_CEILING), usize::MAX).unwrap().to_value().is_ok());
}

#[test]
fn many_keys_are_still_compared() {
    let members: Vec<_> = (0..100).map(|n| format!("\"k{n}\":{n}")).collect();
    assert!(Document::parse(format!("{{{}}}", members.join(",")).as_bytes(), DEPTH_MAX).is_ok());
    refused(format!("{{{},\"k3\":0}}", members.join(",")).as_bytes());
}

#[test]
fn members_keep_their_bytes() {
    let members = parse_members(b" {\"a\": { \"x\":1.0 } ,\"\\u0062\":[1 ,2]}", DEPTH_MAX).unwrap();
    let pairs: Vec<_> = members.iter().map(|(key, document)| (key.as_str(), document.bytes().as_ref())).collect();
    assert_eq!(pairs, [("a", &b"{ \"x\":1.0 }"[..]), ("b", &b"[1 ,2]"[..])]);
    assert!(parse_members(b"[1]", DEPTH_MAX).is_err());
    assert!(parse_members(b"{\"a\":1,\"a\":2}", DEPTH_MAX).is_err());
    assert!(parse_members(b"{}", DEPTH_MAX).unwrap().is_empty());
}

#[test]
fn numbers_become_what_a_validator_can_compare() {
    let value = Document::parse(b"[1e999,-1e999,18446744073709551615,-3,2.5]", DEPTH_MAX).unwrap().to_value().unwrap();
    assert_eq!(value, serde_json::json!([f64::MAX, f64::MIN, u64::MAX, -3, 2.5]));
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn agrees_with_serde_json_on_valid_documents(value in json(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        prop_assert_eq!(Document::parse(text.as_bytes(), DEPTH_MAX).unwrap().to_value().unwrap(), value);
    }

    #[test]
    fn accepts_nothing_that_serde_json_refuses(bytes in "[\\[\\]{},:\"\\\\u0-9a-f.eE+\\- tnrls\u{0}-\u{20}ä]{0,24}") {
        if Document::parse(bytes.as_bytes(), DEPTH_MAX).is_ok() {
            let theirs = serde_json::from_str::<Value>(&bytes);
            prop_assert!(theirs.is_ok() || theirs.unwrap_err().to_string().contains("number out of range"));
        }
    }
}

#[test]
fn elements_keep_their_bytes() {
    let elements = parse_elements(b" [1.50 , {\"a\" :[ ]},\"x\"]", DEPTH_MAX).unwrap();
    let texts: Vec<&[u8]> = elements.iter().map(|element| &element.bytes()[..]).collect();
    assert_eq!(texts, [&b"1.50"[..], b"{\"a\" :[ ]}", b"\"x\""]);
    assert!(parse_elements(b"[]", DEPTH_MAX).unwrap().is_empty());
    for bad in ["", "{}", "[1", "[1,]", "[1]]", "[1 2]"] {
        assert!(parse_elements(bad.as_bytes(), DEPTH_MAX).is_err(), "{bad}");
    }
}
