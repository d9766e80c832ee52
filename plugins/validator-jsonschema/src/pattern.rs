//! Regular expressions: refused where they cannot be matched in linear time or cost too much, and priced where they can.
//!
//! boon hands the pattern to the `regex` crate, which matches with a lazily built automaton and falls back to simulating
//! all states at once where that automaton would grow too large. Which of the two it will be decides the price.

use std::collections::HashMap;

use regex_automata::dfa::{StartKind, dense};
use regex_automata::nfa::thompson;
use regex_syntax::ast::parse::Parser;
use regex_syntax::ast::{Ast, ClassPerl, ClassPerlKind, ClassSetItem, Error, ErrorKind, Visitor, visit};

use crate::config::Config;

/// How large a whole automaton may become for the pattern to count as one that never falls back, in bytes.
const AUTOMATON_BYTES_MAX: usize = 64 << 10;
/// Steps to read one byte of a text as a regular expression, for each escape in it: boon replaces the escapes one by one
/// and reads the text again after each.
const READ_STEPS: u64 = 64;
/// The most steps to read all patterns of one schema: about a tenth of a second.
const READ_STEPS_MAX: u64 = 75_000_000;

/// The patterns of one schema.
#[derive(Debug, Default)]
pub(crate) struct Patterns {
    known: HashMap<String, Price>,
    program_bytes: usize,
    read_steps: u64,
}

/// What matching a pattern costs, in steps for each byte of text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Price(u64);

impl Price {
    /// The steps to match a text.
    pub(crate) fn steps(self, text: &str) -> u64 {
        (text.len() as u64).saturating_mul(self.0).saturating_add(32)
    }
}

/// The steps to read a text as a regular expression, as boon does for `format: regex` and for every pattern.
pub(crate) fn read_steps(text: &str) -> u64 {
    let escapes = text.bytes().filter(|byte| *byte == b'\\').count() as u64;
    (text.len() as u64).saturating_mul(READ_STEPS).saturating_mul(escapes + 1)
}

impl Patterns {
    /// Counts a text that boon will read as a pattern, used or not.
    pub(crate) fn read(&mut self, text: &str, limits: &Config) -> Result<(), String> {
        if text.len() > limits.pattern_bytes_max {
            let most = limits.pattern_bytes_max;
            return Err(format!("has a regular expression longer than the limit of {most} bytes (pattern_bytes_max)"));
        }
        self.read_steps = self.read_steps.saturating_add(read_steps(text));
        if self.read_steps > READ_STEPS_MAX {
            return Err("has regular expressions with more escapes than the limit allows".into());
        }
        Ok(())
    }

    /// Prices a pattern, or says what is wrong with it.
    pub(crate) fn price(&mut self, text: &str, limits: &Config) -> Result<Price, String> {
        if let Some(price) = self.known.get(text) {
            return Ok(*price);
        }
        if self.known.len() >= limits.patterns_max {
            let most = limits.patterns_max;
            return Err(format!("has more regular expressions than the limit of {most} (patterns_max)"));
        }
        if text.len() > limits.pattern_bytes_max {
            self.read(text, limits)?;
        }
        let translated = translate(text)
            .map_err(|reason| format!("is not a regular expression that can be used, {}: {reason}", quoted(text)))?;
        let left = limits.pattern_program_bytes_max.saturating_sub(self.program_bytes);
        let program = thompson::Compiler::new()
            .configure(thompson::Config::new().nfa_size_limit(Some(left)))
            .build(&translated)
            .map_err(|error| match error.size_limit() {
                Some(_) => format!(
                    "has regular expressions that compile to more than the limit of {} bytes \
                     (pattern_program_bytes_max), the last is {}",
                    limits.pattern_program_bytes_max,
                    quoted(text)
                ),
                None => format!("is not a regular expression that can be used, {}", quoted(text)),
            })?;
        self.program_bytes = self.program_bytes.saturating_add(program.memory_usage());
        let price = Price(if never_falls_back(&program) { 1 } else { 2 * program.states().len() as u64 });
        self.known.insert(text.to_owned(), price);
        Ok(price)
    }
}

fn quoted(text: &str) -> String {
    crate::message::quoted(text)
}

fn never_falls_back(program: &thompson::NFA) -> bool {
    let config = dense::Config::new()
        .start_kind(StartKind::Unanchored)
        .dfa_size_limit(Some(AUTOMATON_BYTES_MAX))
        .determinize_size_limit(Some(AUTOMATON_BYTES_MAX));
    dense::Builder::new().configure(config).build_from_nfa(program).is_ok()
}

/// Spells a pattern so that `\d`, `\w` and `\s` mean what they mean in ECMA 262; the same meaning boon gives it.
fn translate(text: &str) -> Result<String, String> {
    let mut text = text.to_owned();
    let ast = loop {
        match Parser::new().parse(&text) {
            Ok(ast) => break ast,
            Err(error) => text = control_letter(&error).ok_or_else(|| error.kind().to_string())?,
        }
    };
    let classes = visit(&ast, Classes::default())?;
    for class in classes.iter().rev() {
        text.replace_range(class.span.start.offset..class.span.end.offset, ecma(class));
    }
    Ok(text)
}

/// `\cA`, which this dialect does not know, as the control character it stands for.
fn control_letter(error: &Error) -> Option<String> {
    let (text, at) = (error.pattern(), error.span());
    let (before, after) = (text.get(..at.start.offset)?, text.get(at.end.offset..)?);
    let wrong = text.get(at.start.offset..at.end.offset)?;
    let letter = after.chars().next().filter(char::is_ascii_alphabetic)?;
    if *error.kind() != ErrorKind::EscapeUnrecognized || wrong != r"\c" {
        return None;
    }
    Some(format!("{before}{}{}", char::from(letter as u8 % 32), after.get(1..)?))
}

fn ecma(class: &ClassPerl) -> &'static str {
    match (&class.kind, class.negated) {
        (ClassPerlKind::Digit, false) => "[0-9]",
        (ClassPerlKind::Digit, true) => "[^0-9]",
        (ClassPerlKind::Word, false) => "[A-Za-z0-9_]",
        (ClassPerlKind::Word, true) => "[^A-Za-z0-9_]",
        (ClassPerlKind::Space, false) => r"[ \t\n\r\x0b\x0c\u{a0}\u{feff}\u{2003}\u{2029}]",
        (ClassPerlKind::Space, true) => r"[^ \t\n\r\x0b\x0c\u{a0}\u{feff}\u{2003}\u{2029}]",
    }
}

/// Collects the classes to spell out, in the order of the text.
#[derive(Default)]
struct Classes(Vec<ClassPerl>);

impl Visitor for Classes {
    type Output = Vec<ClassPerl>;
    type Err = String;

    fn finish(mut self) -> Result<Self::Output, String> {
        self.0.sort_by_key(|class| class.span.start.offset);
        Ok(self.0)
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), String> {
        if let Ast::ClassPerl(class) = ast {
            self.0.push((**class).clone());
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), String> {
        if let ClassSetItem::Perl(class) = item {
            self.0.push(class.clone());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(text: &str) -> Result<Price, String> {
        Patterns::default().price(text, &Config::default())
    }

    #[test]
    fn usual_patterns_are_cheap() {
        for text in
            [r"^[a-z0-9_-]{1,64}$", r"^\d{4}-\d\d-\d\d$", r"\.json$", r"^\w+@\w+\.\w{2,}$", r"^\cA[\s\S]*$", "ä|ö"]
        {
            assert_eq!(price(text).unwrap().0, 1, "{text}");
        }
    }

    #[test]
    fn patterns_that_grow_are_priced_by_their_states() {
        assert!(price("[01]*1[01]{400}$").unwrap().0 > 400);
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        assert!(price("(?=a)b").unwrap_err().contains("look-ahead"));
        assert!(price(r"(a)\1").unwrap_err().contains("backreferences"));
        assert!(price("(").unwrap_err().contains("unclosed group"));
        assert!(price("((a{1000}){1000}){1000}").unwrap_err().contains("pattern_program_bytes_max"));
        assert!(price(&"a".repeat(3000)).unwrap_err().contains("pattern_bytes_max"));
    }

    #[test]
    fn limits_count_all_patterns_together() {
        let limits = Config { patterns_max: 2, ..Config::default() };
        let mut patterns = Patterns::default();
        for text in ["a", "b", "a", "b"] {
            patterns.price(text, &limits).unwrap();
        }
        assert!(patterns.price("c", &limits).unwrap_err().contains("patterns_max"));

        let mut patterns = Patterns::default();
        let outcomes: Vec<_> = (0..20).map(|n| patterns.price(&format!("x{n}{{9999}}"), &Config::default())).collect();
        assert!(outcomes.iter().any(Result::is_ok) && outcomes.iter().any(Result::is_err));
    }

    #[test]
    fn escapes_are_counted_before_they_are_read() {
        let mut patterns = Patterns::default();
        let text = r"\d".repeat(500);
        let refused = (0..100).find_map(|_| patterns.read(&text, &Config::default()).err());
        assert!(refused.unwrap().contains("escapes"));
    }
}
