//! What clients send: bodies, patches and pointers.

use delta_core::ErrorKind;
use delta_core::document::{DEPTH_MAX, Document, parse_members};
use delta_core::patch::{Patch, PatchLimits};
use delta_core::pointer::Pointer;
use serde_json::Value;

use crate::two;

/// A body is refused, or kept byte for byte; and what is accepted is JSON to others too.
pub fn body(data: &[u8]) {
    match (Document::parse(data, DEPTH_MAX), serde_json::from_slice::<Value>(data)) {
        (Ok(document), theirs) => {
            assert_eq!(document.bytes(), data, "a document does not keep its bytes");
            let ours = document.to_value().expect("a parsed document has a value");
            match theirs {
                Ok(theirs) => same(&ours, &theirs),
                Err(error) => assert!(
                    ["number out of range", "recursion limit"].iter().any(|known| error.to_string().contains(known)),
                    "a document is accepted that is no JSON: {error}"
                ),
            }
        }
        (Err(error), Ok(_)) => assert!(
            ["same key twice", "nested deeper"].iter().any(|known| error.to_string().contains(known)),
            "JSON is refused: {error}"
        ),
        (Err(_), Err(_)) => {}
    }
    if let Ok(members) = parse_members(data, DEPTH_MAX) {
        for (_, document) in members {
            let again = Document::parse(document.bytes(), DEPTH_MAX).expect("a member is a document");
            assert_eq!(again, document);
        }
    }
}

/// Whether two trees are the same but for the last digit of a number, which serde_json rounds faster and less exactly.
fn same(ours: &Value, theirs: &Value) {
    match (ours, theirs) {
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => {
            ours.iter().zip(theirs).for_each(|(ours, theirs)| same(ours, theirs));
        }
        (Value::Object(ours), Value::Object(theirs)) if ours.len() == theirs.len() => {
            for (key, ours) in ours {
                same(ours, theirs.get(key).expect("a member that serde_json does not see"));
            }
        }
        (Value::Number(ours), Value::Number(theirs)) => {
            let (ours, theirs) = (ours.as_f64().unwrap_or_default(), theirs.as_f64().unwrap_or_default());
            let apart = (ours - theirs).abs();
            assert!(apart <= ours.abs() * 1e-15 || apart <= f64::MIN_POSITIVE, "{ours} and {theirs}");
        }
        (ours, theirs) => assert_eq!(ours, theirs),
    }
}

/// A pointer is refused or prints as it was; and it leads where serde_json's leads.
pub fn pointer(data: &[u8]) {
    let (text, document) = two(data);
    let Ok(text) = std::str::from_utf8(text) else { return };
    let Ok(pointer) = Pointer::parse(text) else { return };
    assert_eq!(pointer.to_string(), text);
    let Ok(document) = Document::parse(document, DEPTH_MAX) else { return };
    let part = document.at(&pointer).expect("a document can be walked");
    let part = part.map(|part| {
        assert_eq!(Document::parse(part.bytes(), DEPTH_MAX).expect("a part is a document"), part);
        part.to_value().expect("a part has a value")
    });
    let whole = document.to_value().expect("a document has a value");
    assert_eq!(part.as_ref(), whole.pointer(text));
}

/// A patch is refused, or makes a document within the limits; a merge done twice is the merge done once.
pub fn patch(data: &[u8]) {
    let limits = PatchLimits { bytes_max: 4 << 10, depth_max: 32, operations_max: 50 };
    let (document, patch) = two(data);
    let (Ok(document), Ok(patch)) = (Document::parse(document, DEPTH_MAX), Document::parse(patch, DEPTH_MAX)) else {
        return;
    };
    let apply = |patch: &Patch, document: &Document| match patch.apply(document, &limits) {
        Ok(result) => {
            let again = Document::parse(result.bytes(), limits.depth_max).expect("the result is a document");
            assert_eq!(again, result);
            assert!(result.bytes().len() <= limits.bytes_max, "the result is larger than the limit");
            Some(result)
        }
        Err(error) => {
            let known = [ErrorKind::Invalid, ErrorKind::Conflict, ErrorKind::TooLarge];
            assert!(known.contains(&error.kind()), "{error:?}");
            None
        }
    };
    let merge = Patch::Merge(patch.clone());
    if let Some(once) = apply(&merge, &document) {
        assert_eq!(apply(&merge, &once).as_ref(), Some(&once), "a merge done twice differs");
    }
    apply(&Patch::Operations(patch), &document);
}
