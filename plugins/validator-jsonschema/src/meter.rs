//! Measures a check before it is run: how much work it is, how deep it recurses, how much its errors can weigh.
//!
//! The walk goes where boon would go if nothing ever ended early, so the measure is an upper bound; only types and `if`
//! are looked at, because they decide which way boon goes. A walk costs a fraction of the check, and ends at the limit.

use serde_json::{Map, Value};

use crate::node::{Condition, Format, Node, NodeId};
use crate::pattern;
use crate::unique;
use crate::validator::Compiled;
use crate::way::{Token, Way};

/// Applying one subschema to one value, in steps of about two nanoseconds.
pub(crate) const APPLY_STEPS: u64 = 32;
/// What a failure adds, its memory included: about 160 bytes that live until the check ends.
pub(crate) const FAILURE_STEPS: u64 = 128;
/// Looking up one name.
const NAME_STEPS: u64 = 16;
/// Comparing two values.
const COMPARE_STEPS: u64 = 2;
/// Reading one byte of a text for a format.
const FORMAT_STEPS: u64 = 12;
/// Holding one part of a value against a meta-schema, which applies about ten subschemas to it.
const META_STEPS: u64 = 12 * (APPLY_STEPS + FAILURE_STEPS);
/// The levels that one level of a value takes in a meta-schema, at most.
const META_LEVELS: usize = 5;
/// An `if` up to this many steps is evaluated to see which way it leads.
const CONDITION_STEPS_MAX: u64 = 1 << 14;
/// What one described error weighs, and one token of its pointer, in bytes.
const ERROR_BYTES: u64 = 160;
const TOKEN_BYTES: u64 = 32;
/// The most places that are remembered for violations of `propertyNames`.
const PLACES_MAX: usize = 1000;

/// Why a walk ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// More steps than the limit.
    Steps,
    /// Deeper than the limit.
    Levels,
    /// A subschema is applied again to the value it is being applied to.
    Loop,
}

/// What a check will need.
#[derive(Debug, Default)]
pub(crate) struct Measure {
    pub(crate) steps: u64,
    pub(crate) levels: usize,
    pub(crate) error_bytes: u64,
}

/// One walk.
pub(crate) struct Meter<'g> {
    compiled: &'g Compiled,
    steps_max: u64,
    levels_max: usize,
    measure: Measure,
    named: Option<Vec<(NodeId, String)>>,
}

impl<'g> Meter<'g> {
    pub(crate) fn new(compiled: &'g Compiled, steps_max: u64, levels_max: usize) -> Self {
        Self { compiled, steps_max, levels_max, measure: Measure::default(), named: None }
    }

    /// Measures the check of a document.
    pub(crate) fn measure(mut self, document: &Value) -> Result<Measure, Stop> {
        self.root(document, 0, 1)?;
        Ok(self.measure)
    }

    /// Which subschemas check the names of which objects, as pointers into the document.
    pub(crate) fn named(mut self, document: &Value) -> Result<Vec<(NodeId, String)>, Stop> {
        self.named = Some(Vec::new());
        self.root(document, 0, 1)?;
        Ok(self.named.unwrap_or_default())
    }

    fn root(&mut self, value: &Value, node: NodeId, level: usize) -> Result<(), Stop> {
        let tracked = self.tracks(node);
        self.apply(value, &Way { node, depth: 0, chain: 1, level, tracked, token: None, parent: None })
    }

    /// Applies a subschema to the same value.
    fn same(&mut self, node: NodeId, value: &Value, way: &Way<'_>) -> Result<(), Stop> {
        let tracked = way.tracked || self.tracks(node);
        let (chain, level) = (way.chain + 1, way.level + 1);
        self.apply(value, &Way { node, depth: way.depth, chain, level, tracked, token: None, parent: Some(way) })
    }

    /// Applies a subschema to a member or an item.
    fn part(&mut self, node: NodeId, value: &Value, token: Token<'_>, way: &Way<'_>) -> Result<(), Stop> {
        let (depth, level, tracked) = (way.depth + 1, way.level + 1, self.tracks(node));
        self.apply(value, &Way { node, depth, chain: 1, level, tracked, token: Some(token), parent: Some(way) })
    }

    fn tracks(&self, node: NodeId) -> bool {
        let tracks = |node: &Node| node.unevaluated_properties.is_some() || node.unevaluated_items.is_some();
        self.compiled.graph.unevaluated && self.compiled.graph.nodes.get(node).is_some_and(tracks)
    }

    fn spend(&mut self, steps: u64) -> Result<(), Stop> {
        self.measure.steps = self.measure.steps.saturating_add(steps);
        if self.measure.steps > self.steps_max { Err(Stop::Steps) } else { Ok(()) }
    }

    fn enter(&mut self, level: usize) -> Result<(), Stop> {
        self.measure.levels = self.measure.levels.max(level);
        if level > self.levels_max { Err(Stop::Levels) } else { Ok(()) }
    }

    /// Counts keywords that may fail: work for boon either way, and weight if they are described.
    fn fail(&mut self, count: u64, way: &Way<'_>) -> Result<(), Stop> {
        let bytes = ERROR_BYTES + TOKEN_BYTES * way.depth as u64;
        self.measure.error_bytes = self.measure.error_bytes.saturating_add(count.saturating_mul(bytes));
        self.spend(FAILURE_STEPS)
    }

    fn apply(&mut self, value: &Value, way: &Way<'_>) -> Result<(), Stop> {
        let graph = &self.compiled.graph;
        let Some(node) = graph.nodes.get(way.node) else { return Ok(()) };
        self.spend(APPLY_STEPS + way.chain / 2)?;
        self.enter(way.level)?;
        if node.meta {
            return self.meta(value, way);
        }
        if graph.dynamic && way.repeats() {
            return Err(Stop::Loop);
        }
        if !node.allows(value) {
            return self.fail(1, way);
        }
        if node.assertions > 0 {
            self.fail(node.assertions, way)?;
        }
        self.spend(node.compared.saturating_mul(COMPARE_STEPS))?;
        if let Some(reference) = node.reference {
            return self.same(reference, value, way);
        }
        match value {
            Value::Object(members) => self.object(node, members, value, way)?,
            Value::Array(items) => self.array(node, items, way)?,
            Value::String(text) => self.text(node, text)?,
            _ => {}
        }
        for dynamic in &node.dynamic {
            self.spend(way.level as u64 * NAME_STEPS)?;
            self.same(way.target(graph, dynamic), value, way)?;
        }
        for child in &node.same {
            self.same(*child, value, way)?;
        }
        node.condition.map_or(Ok(()), |condition| self.condition(condition, value, way))
    }

    fn object(&mut self, node: &Node, members: &Map<String, Value>, value: &Value, way: &Way<'_>) -> Result<(), Stop> {
        self.spend((node.names_looked_up + members.len() as u64) * NAME_STEPS + way.tracking(members.len()))?;
        for (name, value) in members {
            let token = Token::Member(name);
            for (price, child) in &node.pattern_properties {
                self.spend(price.steps(name))?;
                self.part(*child, value, token, way)?;
            }
            let own = node.properties.get(name);
            let rest = [&node.additional_properties, &node.unevaluated_properties].into_iter().flatten();
            for child in own.into_iter().chain(rest.filter(|_| own.is_none())) {
                self.part(*child, value, token, way)?;
            }
        }
        if let Some(child) = node.property_names {
            if let Some(named) = self.named.as_mut().filter(|named| named.len() < PLACES_MAX) {
                named.push((way.node, way.pointer()));
            }
            for name in members.keys() {
                self.root(&Value::String(name.clone()), child, way.level + 1)?;
            }
        }
        for (_, child) in node.dependent.iter().filter(|(name, _)| members.contains_key(name)) {
            self.same(*child, value, way)?;
        }
        Ok(())
    }

    fn array(&mut self, node: &Node, items: &[Value], way: &Way<'_>) -> Result<(), Stop> {
        self.spend(way.tracking(items.len()))?;
        if node.unique_items {
            self.spend(unique::comparisons(items))?;
        }
        for (at, item) in items.iter().enumerate() {
            let listed = node.prefix_items.get(at);
            let rest = [&node.items, &node.unevaluated_items].into_iter().flatten();
            let applied = listed.into_iter().chain(rest.filter(|_| listed.is_none())).chain(&node.contains);
            for child in applied {
                self.part(*child, item, Token::Item(at), way)?;
            }
        }
        Ok(())
    }

    fn text(&mut self, node: &Node, text: &str) -> Result<(), Stop> {
        let read = match node.format {
            Some(Format::Regex) => pattern::read_steps(text),
            Some(Format::Other) => text.len() as u64 * FORMAT_STEPS + NAME_STEPS,
            None => 0,
        };
        let matched = node.pattern.map_or(0, |price| price.steps(text));
        self.spend(read.saturating_add(matched).saturating_add(text.len() as u64 / 8))
    }

    /// `then` or `else`, whichever it will be; both, where that cannot be told cheaply.
    fn condition(&mut self, condition: Condition, value: &Value, way: &Way<'_>) -> Result<(), Stop> {
        let before = self.measure.steps;
        self.same(condition.holds, value, way)?;
        let steps = self.measure.steps - before;
        let compiled = self.compiled;
        let known = compiled
            .conditions
            .get(&condition.holds)
            .filter(|_| steps <= CONDITION_STEPS_MAX && !compiled.graph.dynamic);
        let holds = match known {
            Some(index) => {
                self.spend(steps)?;
                Some(compiled.schemas.validate(value, *index).is_ok())
            }
            None => None,
        };
        let then = condition.then.filter(|_| holds != Some(false));
        let otherwise = condition.otherwise.filter(|_| holds != Some(true));
        for child in [then, otherwise].into_iter().flatten() {
            self.same(child, value, way)?;
        }
        Ok(())
    }

    /// A meta-schema looks at every part of a value once, with a handful of subschemas.
    fn meta(&mut self, value: &Value, way: &Way<'_>) -> Result<(), Stop> {
        let steps = unique::size(value).saturating_mul(META_STEPS);
        self.enter(way.level + META_LEVELS * (1 + levels(value)))?;
        self.measure.error_bytes = self.measure.error_bytes.saturating_add(steps);
        self.spend(steps)
    }
}

fn levels(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(levels).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(levels).max().unwrap_or(0),
        _ => 0,
    }
}
