//! Patches do what RFC 7396 and RFC 6902 say, and stay within their limits.

use super::*;

fn document(text: &str) -> Document {
    Document::parse(text.as_bytes(), DEPTH_MAX).unwrap()
}

fn merged(target: &str, patch: &str) -> String {
    apply(target, &Patch::Merge(document(patch)), &PatchLimits::default()).unwrap()
}

fn apply(target: &str, patch: &Patch, limits: &PatchLimits) -> Result<String> {
    let result = patch.apply(&document(target), limits)?;
    let text = result.text()?.to_owned();
    assert_eq!(document(&text), result);
    Ok(text)
}

fn patched(target: &str, operations: &str) -> Result<String> {
    apply(target, &Patch::Operations(document(operations)), &PatchLimits::default())
}

fn refused(target: &str, operations: &str) -> (String, String) {
    let error = patched(target, operations).unwrap_err();
    (error.code().to_owned(), error.to_string())
}

/// RFC 7396, appendix A: original, patch, result.
const APPENDIX_A: [(&str, &str, &str); 15] = [
    (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
    (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
    (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
    (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
    (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
    (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
    (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
    (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
    (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
    (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
    (r#"{"a":"foo"}"#, "null", "null"),
    (r#"{"a":"foo"}"#, "\"bar\"", "\"bar\""),
    (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
    ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
    ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
];

#[test]
fn merging_follows_the_examples_of_the_rfc() {
    for (original, patch, result) in APPENDIX_A {
        assert_eq!(merged(original, patch), result, "{original} and {patch}");
    }
}

#[test]
fn what_a_patch_does_not_touch_keeps_its_bytes() {
    let original = r#" { "z" : 123456789012345678901234567890.10 , "\u0061" : { "y":1E5, "x" : [ 1 ] } , "b" : 0 } "#;
    let expected = r#"{"z":123456789012345678901234567890.10,"\u0061":{ "y":1E5, "x" : [ 1 ] },"b":1e999,"ä\n":-0}"#;
    assert_eq!(merged(original, r#"{"b":1e999,"ä\n":-0}"#), expected);
    let operations = r#"[{"op":"replace","path":"/b","value":1e999},{"op":"add","path":"/ä\n","value":-0}]"#;
    assert_eq!(patched(original, operations).unwrap(), expected);
    assert_eq!(patched(original, "[]").unwrap(), original);
    let kept = r#"[{"op":"test","path":"/a/y","value":100000},{"op":"replace","path":"/a/x/0","value":2}]"#;
    assert!(patched(original, kept).unwrap().contains(r#""\u0061":{"y":1E5,"x":[2]}"#));
}

#[test]
fn an_error_names_the_operation_and_its_path_and_nothing_else() {
    let target = r#"{"a":["secret"],"s":"secret"}"#;
    for (operation, code, line) in [
        (r#"{"op":"remove","path":"/x"}"#, "patch_failed", "operation 2 (\"/x\"): it does not exist in the document"),
        (r#"{"op":"replace","path":"/a/1","value":1}"#, "patch_failed", "does not exist"),
        (r#"{"op":"add","path":"/x/y","value":1}"#, "patch_failed", "parent does not exist"),
        (r#"{"op":"add","path":"/s/y","value":1}"#, "patch_failed", "neither an array nor an object"),
        (r#"{"op":"add","path":"/a/2","value":1}"#, "patch_failed", "no such index"),
        (r#"{"op":"add","path":"/a/01","value":1}"#, "patch_failed", "no such index"),
        (r#"{"op":"copy","from":"/x","path":"/y"}"#, "patch_failed", "\"from\" does not exist"),
        (r#"{"op":"move","from":"/x","path":"/y"}"#, "patch_failed", "\"from\": it does not exist"),
        (r#"{"op":"move","from":"/x","path":"/x"}"#, "patch_failed", "\"from\" does not exist"),
        (r#"{"op":"move","from":"/a","path":"/a/0"}"#, "bad_patch", "into itself"),
        (r#"{"op":"move","from":"","path":"/a/0"}"#, "bad_patch", "into itself"),
        (r#"{"op":"remove","path":""}"#, "bad_patch", "delete the entity"),
        (
            r#"{"op":"test","path":"/s","value":"x"}"#,
            "patch_test_failed",
            "operation 2 (\"/s\"): the test does not hold",
        ),
        (r#"{"op":"test","path":"/x","value":null}"#, "patch_test_failed", "does not hold"),
        (r#"{"op":"test","path":"/s"}"#, "bad_patch", "operation 2: \"value\" is missing"),
        (r#"{"op":"spam","path":"/s"}"#, "bad_patch", "must be add"),
        (r#"{"path":"/s"}"#, "bad_patch", "\"op\" is missing"),
        (r#"{"op":"add","path":7,"value":1}"#, "bad_patch", "\"path\" is missing, or no string"),
        (r#"{"op":"copy","path":"/s"}"#, "bad_patch", "\"from\" is missing"),
        (r#"{"op":"remove","path":"s"}"#, "invalid_pointer", "operation 2: \"path\": a JSON pointer"),
        ("[]", "bad_patch", "an operation is an object"),
    ] {
        let first = r#"{"op":"add","path":"/n","value":null}"#;
        let (found, message) = refused(target, &format!("[{first},{operation}]"));
        assert_eq!(found, code, "{operation}: {message}");
        assert!(message.contains(line) && !message.contains("secret"), "{operation}: {message}");
    }
    assert_eq!(refused("{}", "{}").0, "bad_patch");
}

#[test]
fn kinds_say_what_to_do_next() {
    let kind = |operations: &str| patched("{}", operations).unwrap_err().kind();
    use crate::error::ErrorKind;
    assert_eq!(kind(r#"[{"op":"test","path":"","value":1}]"#), ErrorKind::Conflict);
    assert_eq!(kind(r#"[{"op":"remove","path":"/a"}]"#), ErrorKind::Conflict);
    assert_eq!(kind(r#"[{"op":"remove","path":"a"}]"#), ErrorKind::Invalid);
    assert_eq!(kind("1"), ErrorKind::Invalid);
}

#[test]
fn a_document_that_is_copied_into_itself_is_bounded() {
    let doubled = r#"{"op":"copy","from":"/a","path":"/a/-"}"#;
    let operations = format!("[{}]", vec![doubled; 40].join(","));
    let (code, message) = refused(r#"{"a":["some text"]}"#, &operations);
    assert_eq!(code, "too_large", "{message}");
    let deeper = r#"{"op":"copy","from":"","path":"/a"}"#;
    let operations = format!("[{}]", [deeper; 12].join(","));
    let limits = PatchLimits { bytes_max: usize::MAX, depth_max: 8, ..PatchLimits::default() };
    let error = apply("{}", &Patch::Operations(document(&operations)), &limits).unwrap_err();
    assert!(error.to_string().contains("deeper than 8 levels"), "{error}");
}

#[test]
fn every_limit_is_exact() {
    let limits = PatchLimits { bytes_max: 13, depth_max: 2, operations_max: 1 };
    let code = |patch: &str| {
        apply("{\"a\" :     1}", &Patch::Operations(document(patch)), &limits).map_err(|e| e.code().to_owned())
    };
    assert_eq!(code(r#"[{"op":"add","path":"/b","value":2}]"#).unwrap(), r#"{"a":1,"b":2}"#);
    assert_eq!(code(r#"[{"op":"add","path":"/b","value":20}]"#), Err("too_large".to_owned()));
    assert_eq!(code(r#"[{"op":"replace","path":"/a","value":[2,345]}]"#).unwrap(), r#"{"a":[2,345]}"#);
    assert_eq!(code(r#"[{"op":"replace","path":"/a","value":[[2]]}]"#), Err("too_large".to_owned()));
    assert_eq!(
        code(r#"[{"op":"test","path":"/a","value":1},{"op":"test","path":"/a","value":1}]"#),
        Err("too_large".to_owned())
    );
    let merge = |patch: &str| {
        apply("{\"a\" :     1}", &Patch::Merge(document(patch)), &limits).map_err(|e| e.code().to_owned())
    };
    assert_eq!(merge(r#"{"b":2}"#).unwrap(), r#"{"a":1,"b":2}"#);
    assert_eq!(merge(r#"{"b":20}"#), Err("too_large".to_owned()));
    assert_eq!(merge(r#"{"a":[[2]]}"#), Err("too_large".to_owned()));
}

#[test]
fn much_work_for_few_bytes_is_refused() {
    let items = vec!["0"; 100_000].join(",");
    let front = format!("[{}]", vec![r#"{"op":"add","path":"/0","value":0}"#; 1_000].join(","));
    let limits = PatchLimits { bytes_max: 300_000, ..PatchLimits::default() };
    let error = apply(&format!("[{items}]"), &Patch::Operations(document(&front)), &limits).unwrap_err();
    assert!(error.to_string().contains("too much work"), "{error}");
    let end = front.replace("/0", "/-");
    assert!(apply(&format!("[{items}]"), &Patch::Operations(document(&end)), &limits).is_ok());
}

#[test]
fn the_deepest_document_can_be_patched() {
    let nested = format!("{}1{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX));
    let operations = format!(r#"[{{"op":"replace","path":"{}","value":2}}]"#, "/0".repeat(DEPTH_MAX));
    assert_eq!(patched(&nested, &operations).unwrap(), nested.replace('1', "2"));
}
