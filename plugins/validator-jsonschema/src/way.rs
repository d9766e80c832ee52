//! The way that led to a subschema: what dynamic references, loops and pointers depend on.

use crate::dialect;
use crate::graph::Graph;
use crate::node::{Dynamic, NodeId};

/// Remembering one member or item as not evaluated yet, and what it adds for each doubling of their number.
const UNEVALUATED_STEPS: u64 = 48;
const DOUBLING_STEPS: u64 = 16;

/// The way that led to a subschema, as boon keeps it.
pub(crate) struct Way<'a> {
    pub(crate) node: NodeId,
    /// How many members and items deep the value lies.
    pub(crate) depth: usize,
    /// How many subschemas are being applied to this value.
    pub(crate) chain: u64,
    /// How many subschemas are being applied at all.
    pub(crate) level: usize,
    /// Whether somebody waits to hear what was evaluated.
    pub(crate) tracked: bool,
    pub(crate) token: Option<Token<'a>>,
    pub(crate) parent: Option<&'a Way<'a>>,
}

#[derive(Clone, Copy)]
pub(crate) enum Token<'a> {
    Member(&'a str),
    Item(usize),
}

impl Way<'_> {
    fn ancestors(&self) -> impl Iterator<Item = &Way<'_>> {
        std::iter::successors(Some(self), |way| way.parent)
    }

    /// What it costs to remember what was not evaluated yet.
    pub(crate) fn tracking(&self, parts: usize) -> u64 {
        let doublings = u64::from(parts.checked_ilog2().unwrap_or(0));
        if self.tracked { parts as u64 * (UNEVALUATED_STEPS + doublings * DOUBLING_STEPS) } else { 0 }
    }

    /// Whether the same subschema is already being applied to the same value.
    pub(crate) fn repeats(&self) -> bool {
        let same_value = self.ancestors().skip(1).take_while(|way| way.depth == self.depth);
        same_value.into_iter().any(|way| way.node == self.node)
    }

    /// Where a dynamic reference leads from here: to the outermost schema on the way that offers itself.
    pub(crate) fn target(&self, graph: &Graph, dynamic: &Dynamic) -> NodeId {
        let offers = |way: &Way<'_>| {
            let part = graph.nodes.get(graph.nodes.get(way.node)?.part)?;
            match dynamic {
                Dynamic::Recursive(_) => part.recursive_anchor.then_some(way.node),
                Dynamic::Anchor(_, anchor) => part.dynamic_anchors.get(anchor.as_ref()?).copied(),
            }
        };
        let target = match dynamic {
            Dynamic::Recursive(target) | Dynamic::Anchor(target, _) => *target,
        };
        let follows = graph.nodes.get(target).is_some_and(|node| match dynamic {
            Dynamic::Recursive(_) => node.recursive_anchor,
            Dynamic::Anchor(_, anchor) => anchor.is_some() && node.dynamic_anchor == *anchor,
        });
        if follows { self.ancestors().filter_map(offers).last().unwrap_or(target) } else { target }
    }

    /// Where the value lies in the document.
    pub(crate) fn pointer(&self) -> String {
        let mut tokens: Vec<_> = self.ancestors().filter_map(|way| way.token).collect();
        tokens.reverse();
        tokens.iter().fold(String::new(), |pointer, token| match token {
            Token::Member(name) => pointer + "/" + &dialect::escaped(name),
            Token::Item(at) => format!("{pointer}/{at}"),
        })
    }
}
