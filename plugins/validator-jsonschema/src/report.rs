//! Flattens boon's tree of errors into violations, each at its place.
//!
//! Alternatives are reported as themselves, then what each of them misses. Two places need help: boon numbers items
//! behind a tuple from zero again, and forgets where the object of a wrong property name is.

use std::cell::LazyCell;
use std::collections::HashSet;

use boon::{ErrorKind, InstanceToken, SchemaToken, ValidationError};
use delta_core::error::Violation;
use delta_core::validator::{SCHEMA_BASE, VIOLATIONS_MAX};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::dialect;
use crate::graph::Graph;
use crate::message;
use crate::node::NodeId;

/// The longest pointer, in bytes; a longer one ends at the last part that fits.
const POINTER_BYTES_MAX: usize = 4096;
/// The most bytes of all violations of one check.
const REPORT_BYTES_MAX: usize = 128 << 10;
/// The most errors that are looked at: many may be the same violation, met on several ways.
const ERRORS_MAX: usize = 10_000;

type Failure<'s, 'v> = ValidationError<'s, 'v>;
/// Finds the objects whose names are checked, and by which subschema.
pub(crate) type Named<'a> = Box<dyn FnOnce() -> Vec<(NodeId, String)> + 'a>;

/// The violations of one check.
pub(crate) struct Report<'a> {
    graph: &'a Graph,
    /// The schema's own address: its pointers are given bare.
    address: &'a str,
    document: &'a Value,
    named: LazyCell<Vec<(NodeId, String)>, Named<'a>>,
    named_used: HashSet<(String, String)>,
    errors: usize,
    bytes: usize,
    violations: Vec<Violation>,
}

/// How an error was come to.
#[derive(Clone, Default)]
struct Trail {
    text: String,
    pointer: String,
    depth: usize,
    /// Items, by depth, whose numbers start again behind a tuple, and how long that is.
    shifts: Vec<(usize, usize)>,
    /// The last place that was known.
    place: String,
}

/// Lists the violations that boon found.
pub(crate) fn violations(
    failure: &Failure<'_, '_>,
    graph: &Graph,
    address: &str,
    document: &Value,
    named: Named<'_>,
) -> Vec<Violation> {
    let mut report = Report {
        graph,
        address,
        document,
        named: LazyCell::new(named),
        named_used: HashSet::new(),
        errors: 0,
        bytes: 0,
        violations: Vec::new(),
    };
    let (text, pointer) = place(failure.schema_url);
    report.error(failure, &Trail { text, pointer, ..Trail::default() });
    report.violations
}

impl Report<'_> {
    fn full(&self) -> bool {
        self.errors > ERRORS_MAX || self.violations.len() >= VIOLATIONS_MAX || self.bytes > REPORT_BYTES_MAX
    }

    fn error(&mut self, failure: &Failure<'_, '_>, before: &Trail) {
        self.errors += 1;
        if self.full() {
            return;
        }
        let mut trail = self.advance(failure, before);
        match &failure.kind {
            ErrorKind::PropertyName { prop } => return self.name(failure, prop, &trail),
            ErrorKind::AdditionalProperties { got } => {
                for name in got {
                    let pointer = format!("{}/{}", trail.place, dialect::escaped(name));
                    self.violation(failure, pointer, message::describe(&ErrorKind::FalseSchema));
                }
                return;
            }
            ErrorKind::Required { want } => {
                for name in want {
                    self.violation(failure, trail.place.clone(), format!("{} is required", message::quoted(name)));
                }
                return;
            }
            ErrorKind::Contains | ErrorKind::MinContains { .. } => return self.leaf(failure, &trail),
            ErrorKind::AnyOf | ErrorKind::OneOf(_) => self.leaf(failure, &trail),
            ErrorKind::Reference { url, .. } if !failure.causes.is_empty() => {
                (trail.text, trail.pointer) = place(url);
            }
            _ if failure.causes.is_empty() => return self.leaf(failure, &trail),
            _ => {}
        }
        for cause in &failure.causes {
            self.error(cause, &trail);
        }
    }

    fn leaf(&mut self, failure: &Failure<'_, '_>, trail: &Trail) {
        self.violation(failure, trail.place.clone(), message::describe(&failure.kind));
    }

    /// A wrong name: boon does not say of which object, but every object that this subschema checks and that has the
    /// name is wrong in the same way.
    fn name(&mut self, failure: &Failure<'_, '_>, name: &str, trail: &Trail) {
        let node = self.graph.find(&trail.text, &trail.pointer);
        let holds = |pointer: &str| self.document.pointer(pointer).is_some_and(|object| object.get(name).is_some());
        let known = self.named.iter().find(|(by, pointer)| {
            Some(*by) == node
                && pointer.matches('/').count() == trail.depth
                && !self.named_used.contains(&(pointer.clone(), name.to_owned()))
                && holds(pointer)
        });
        let pointer = known.map_or_else(|| trail.place.clone(), |(_, pointer)| pointer.clone());
        self.named_used.insert((pointer.clone(), name.to_owned()));
        let mut reason = message::describe(&failure.kind);
        if let Some(cause) = failure.causes.first().map(first_leaf) {
            reason = format!("{reason}: {}", message::describe(&cause.kind));
        }
        self.violation(failure, pointer, reason);
    }

    fn violation(&mut self, failure: &Failure<'_, '_>, pointer: String, message: String) {
        if self.full() {
            return;
        }
        let (text, mut at) = place(failure.schema_url);
        let mut keyword = String::new();
        if let Some(path) = failure.kind.keyword_path() {
            // boon's own word for it.
            keyword =
                if path.keyword == "additionalProperty" { "additionalProperties" } else { path.keyword }.to_owned();
            at = format!("{at}/{keyword}");
            if let Some(SchemaToken::Prop(name)) = path.token {
                at = format!("{at}/{}", dialect::escaped(name));
            }
        } else if let ErrorKind::FalseSchema = failure.kind {
            keyword = self.last_keyword(&text, &at);
        }
        if text != self.address {
            at = format!("{}#{at}", text.strip_prefix(SCHEMA_BASE).unwrap_or(&text));
        }
        let violation = Violation { pointer: fitting(pointer), schema_pointer: fitting(at), keyword, message };
        if !self.violations.contains(&violation) {
            self.bytes += violation.pointer.len() + violation.schema_pointer.len() + violation.message.len();
            self.violations.push(violation);
        }
    }

    /// The keyword that a `false` stands at.
    fn last_keyword(&self, text: &str, pointer: &str) -> String {
        let draft = self.graph.draft(text).unwrap_or_default();
        let tokens: Vec<&str> = pointer.split('/').skip(1).collect();
        let mut rest = tokens.as_slice();
        let mut last = "false";
        while let Some(hop) = dialect::hop(draft, &mut rest) {
            last = hop.keyword;
        }
        last.to_owned()
    }

    /// Follows the schema's text from the last error to this one, and tells where in the document that is.
    fn advance(&self, failure: &Failure<'_, '_>, before: &Trail) -> Trail {
        let mut trail = before.clone();
        let (text, pointer) = place(failure.schema_url);
        let way = pointer.strip_prefix(&trail.pointer).filter(|_| text == trail.text);
        if let (Some(way), Some(draft)) = (way, self.graph.draft(&text)) {
            let tokens: Vec<&str> = way.split('/').skip(1).collect();
            let mut rest = tokens.as_slice();
            loop {
                let at = rest;
                let Some(hop) = dialect::hop(draft, &mut rest) else { break };
                if dialect::descends(hop.keyword) {
                    trail.shifts.extend(self.tuple(&trail, hop).map(|length| (trail.depth, length)));
                    trail.depth += 1;
                }
                for token in at.iter().take(at.len() - rest.len()) {
                    trail.pointer = format!("{}/{token}", trail.pointer);
                }
            }
        }
        (trail.text, trail.pointer) = (text, pointer);
        if !matches!(failure.kind, ErrorKind::PropertyName { .. } | ErrorKind::Schema { .. }) {
            trail.place = instance(&failure.instance_location.tokens, &trail.shifts);
        }
        trail
    }

    /// How many items a tuple takes before this keyword's.
    fn tuple(&self, trail: &Trail, hop: dialect::Hop<'_>) -> Option<usize> {
        if hop.part.is_some() || !matches!(hop.keyword, "items" | "additionalItems") {
            return None;
        }
        let node = self.graph.nodes.get(self.graph.find(&trail.text, &trail.pointer)?)?;
        Some(node.prefix_items.len()).filter(|length| *length > 0)
    }
}

fn first_leaf<'e, 's, 'v>(failure: &'e Failure<'s, 'v>) -> &'e Failure<'s, 'v> {
    let mut leaf = failure;
    while let Some(cause) = leaf.causes.first() {
        leaf = cause;
    }
    leaf
}

/// A subschema's address as boon writes it: the text's address and a pointer.
pub(crate) fn place(url: &str) -> (String, String) {
    let (text, fragment) = url.split_once('#').unwrap_or((url, ""));
    (text.to_owned(), percent_decode_str(fragment).decode_utf8_lossy().into_owned())
}

fn instance(tokens: &[InstanceToken<'_>], shifts: &[(usize, usize)]) -> String {
    let mut pointer = String::new();
    for (depth, token) in tokens.iter().enumerate() {
        let shift: usize = shifts.iter().filter(|(at, _)| *at == depth).map(|(_, length)| length).sum();
        pointer.push('/');
        match token {
            InstanceToken::Prop(name) => pointer.push_str(&dialect::escaped(name)),
            InstanceToken::Item(at) => pointer.push_str(&(at + shift).to_string()),
        }
    }
    pointer
}

/// A pointer, or the longest start of it that is not too long to report.
fn fitting(mut pointer: String) -> String {
    while pointer.len() > POINTER_BYTES_MAX {
        let end = pointer.rfind('/').unwrap_or_default();
        pointer.truncate(end);
    }
    pointer
}
