//! Sizes, and `unsafe`.

use super::{none, sources};

/// The longest file, in lines.
const FILE_LINES_MAX: usize = 400;
/// The longest function, in lines.
const FUNCTION_LINES_MAX: usize = 60;
/// Files that are longer, each with its reason.
const LONG_FILES: [(&str, &str); 0] = [];
/// Files that may hold `unsafe`: none before the dynamic plug-ins.
const UNSAFE_FILES: [&str; 0] = [];

#[test]
fn no_file_is_longer_than_can_be_read_at_a_stretch() {
    let sources = sources();
    let lines = |text: &str| text.lines().count();
    let excused = |name: &str| LONG_FILES.iter().any(|(long, _)| *long == name);
    let long = sources.iter().filter(|(name, text)| lines(text) > FILE_LINES_MAX && !excused(name));
    none(
        "a file that is too long",
        &long.map(|(name, text)| format!("{name}: {} lines", lines(text))).collect::<Vec<_>>(),
    );
    let needless = LONG_FILES
        .iter()
        .filter(|(long, _)| !sources.iter().any(|(name, text)| name == long && lines(text) > FILE_LINES_MAX));
    none(
        "an exception that nobody needs",
        &needless.map(|(name, reason)| format!("{name}: {reason}")).collect::<Vec<_>>(),
    );
}

/// Names and lengths of the functions in code that rustfmt formatted.
fn functions(code: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let words: Vec<&str> =
            line.split_whitespace().take_while(|word| !word.contains('(') || word.starts_with("pub(")).collect();
        let name = line
            .split_once("fn ")
            .map(|(_, rest)| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap());
        let modifiers = ["pub", "const", "async", "extern", "fn"];
        let is_function = words
            .iter()
            .all(|word| modifiers.contains(word) || word.starts_with("pub(") || word.starts_with(name.unwrap_or("?")));
        let Some(name) = name.filter(|name| is_function && !name.is_empty()) else { continue };
        if line.trim_end().ends_with([';', '}']) {
            continue;
        }
        let end = lines.iter().skip(at + 1).position(|line| {
            let closes = line.len() > indent && line.as_bytes().get(indent) == Some(&b'}') && line.trim().len() <= 2;
            let declares =
                line.trim_end().ends_with(';') && line.get(indent..).is_some_and(|rest| rest.starts_with(')'));
            line.get(..indent).is_some_and(|before| before.trim().is_empty()) && (closes || declares)
        });
        found.push((name.to_owned(), end.unwrap_or(lines.len() - at) + 2));
    }
    found
}

#[test]
fn no_function_is_longer_than_a_screen() {
    let mut long = Vec::new();
    let mut seen = 0;
    for (name, text) in sources() {
        for (function, lines) in functions(&without_comments_and_strings(&text)) {
            seen += 1;
            if lines > FUNCTION_LINES_MAX {
                long.push(format!("{name}: {function} has {lines} lines"));
            }
        }
    }
    assert!(seen > 500, "only {seen} functions were found");
    none("a function that is too long", &long);
}

#[test]
fn unsafe_code_has_no_home_but_the_listed_ones() {
    let word = ["un", "safe"].concat();
    let holds = |text: &str| {
        let code = without_comments_and_strings(text);
        code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|token| token == word)
    };
    let found = sources().into_iter().filter(|(name, text)| !UNSAFE_FILES.contains(&name.as_str()) && holds(text));
    none("code that the compiler cannot check", &found.map(|(name, _)| name).collect::<Vec<_>>());
}

/// The code with comments, strings and characters blanked out; lines stay lines.
pub(super) fn without_comments_and_strings(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = skipped(rest, code.chars().next_back());
        let (taken, after) = rest.split_at(if skipped == 0 { first.len_utf8() } else { skipped });
        if skipped == 0 {
            code.push(first);
        } else {
            code.extend(taken.chars().map(|character| if character == '\n' { '\n' } else { ' ' }));
        }
        rest = after;
    }
    code
}

/// How many bytes at the start are a comment, a string or a character; 0 if it is code.
fn skipped(rest: &str, before: Option<char>) -> usize {
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return rest.find("*/").map_or(rest.len(), |end| end + 2);
    }
    let raw = rest.trim_start_matches(['b', 'c']);
    if !in_word && raw.starts_with('r') && rest.len() - raw.len() < 2 {
        let hashes = raw[1..].len() - raw[1..].trim_start_matches('#').len();
        if raw[1 + hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let start = rest.len() - raw.len() + 2 + hashes;
            return rest[start..].find(&end).map_or(rest.len(), |at| start + at + end.len());
        }
    }
    match rest.as_bytes() {
        [b'"', ..] => 1 + string_end(&rest[1..], '"'),
        [b'\'', b'\\', ..] => 1 + string_end(&rest[1..], '\''),
        // A character, and not a lifetime.
        [b'\'', ..] if rest.chars().nth(2) == Some('\'') => rest.char_indices().nth(3).map_or(rest.len(), |(at, _)| at),
        _ => 0,
    }
}

/// The length of what is left of a string, its end included.
fn string_end(rest: &str, end: char) -> usize {
    let mut escaped = false;
    for (at, character) in rest.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == end => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

#[test]
fn comments_strings_and_characters_are_no_code() {
    let text = "a // b\n\"c \\\" d\" e r#\"f \" g\"# 'h' '\\'' &'i b\"j\" br\"k\" /* l\n */ m\" n\"";
    let code = without_comments_and_strings(text);
    assert_eq!(code.split_whitespace().collect::<Vec<_>>(), ["a", "e", "&'i", "b", "m"]);
    assert_eq!(code.lines().count(), text.lines().count());
}

#[test]
fn functions_are_measured_from_head_to_brace() {
    let code = "impl A {\n    pub(crate) async fn a(\n        b: u8,\n    ) -> u8 {\n        1\n    }\n    fn b();\n    fn c(\n        d: u8,\n    );\n}\n\nfn e() {}\nfn f() {\n    let g = || fn_of(1);\n}\n";
    let expected = [("a", 5), ("c", 3), ("f", 3)].map(|(name, lines)| (name.to_owned(), lines));
    assert_eq!(functions(code), expected);
}
