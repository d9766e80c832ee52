//! Pointers lead where RFC 6901 says.

use super::*;
use crate::document::{DEPTH_MAX, Document};

fn at(document: &str, pointer: &str) -> Option<String> {
    let document = Document::parse(document.as_bytes(), DEPTH_MAX).unwrap();
    let part = document.at(&Pointer::parse(pointer).unwrap()).unwrap()?;
    Some(String::from_utf8(part.bytes().to_vec()).unwrap())
}

/// RFC 6901, section 5.
const EXAMPLE: &str = r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8}"#;

#[test]
fn the_examples_of_the_rfc_hold() {
    assert_eq!(at(EXAMPLE, "").as_deref(), Some(EXAMPLE));
    for (pointer, part) in [
        ("/foo", r#"["bar","baz"]"#),
        ("/foo/0", "\"bar\""),
        ("/", "0"),
        ("/a~1b", "1"),
        ("/c%d", "2"),
        ("/e^f", "3"),
        ("/g|h", "4"),
        ("/i\\j", "5"),
        ("/k\"l", "6"),
        ("/ ", "7"),
        ("/m~0n", "8"),
    ] {
        assert_eq!(at(EXAMPLE, pointer).as_deref(), Some(part), "{pointer}");
        assert_eq!(Pointer::parse(pointer).unwrap().to_string(), pointer);
    }
}

#[test]
fn a_part_keeps_its_bytes() {
    let document = " { \"b\" : [ 1e0 , { \"x\" : \"]\\\"}\" } , [ ] ] ,\"a\\u0062\":-0.0 }\n";
    assert_eq!(at(document, "").as_deref(), Some(document));
    assert_eq!(at(document, "/b").as_deref(), Some("[ 1e0 , { \"x\" : \"]\\\"}\" } , [ ] ]"));
    assert_eq!(at(document, "/b/1").as_deref(), Some("{ \"x\" : \"]\\\"}\" }"));
    assert_eq!(at(document, "/b/2").as_deref(), Some("[ ]"));
    assert_eq!(at(document, "/ab").as_deref(), Some("-0.0"));
}

#[test]
fn a_pointer_that_leads_nowhere_finds_nothing() {
    for pointer in
        ["/c", "/b/3", "/b/-", "/b/01", "/b/+1", "/b/1x", "/b/", "/b/99999999999999999999999", "/b/0/0", "/a/0"]
    {
        assert_eq!(at(r#"{"b":[1,2,3],"a":"text"}"#, pointer), None, "{pointer}");
    }
    assert_eq!(at("[]", "/0"), None);
    assert_eq!(at("{}", "/"), None);
    assert_eq!(at("7", "/"), None);
}

#[test]
fn what_is_no_pointer_is_refused() {
    let many = "/".repeat(POINTER_STEPS_MAX + 1);
    for bad in ["a", "#/a", "/~", "/a~2b", "/a~", " /a", &many] {
        assert_eq!(Pointer::parse(bad).unwrap_err().code(), "invalid_pointer", "{bad}");
    }
    assert_eq!("/~01/~10".parse::<Pointer>().unwrap().steps(), ["~1", "/0"]);
    assert!(Pointer::parse(&many[1..]).is_ok());
}
