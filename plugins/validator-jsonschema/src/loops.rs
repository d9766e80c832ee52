//! Finds subschemas that would be applied to the same value again.

use delta_core::{Error, Result};

use crate::graph::{Graph, refusal};
use crate::node::{Dynamic, NodeId};

/// Refuses a subschema that is applied again to the value it is being applied to: no check of it would end.
pub(crate) fn check(graph: &Graph) -> Result<()> {
    let mut state = vec![Visit::Not; graph.nodes.len()];
    for start in 0..graph.nodes.len() {
        let mut path = vec![(start, same_value(graph, start))];
        while let Some((node, rest)) = path.last_mut() {
            let node = *node;
            if let Some(visit) = state.get_mut(node).filter(|visit| **visit == Visit::Not) {
                *visit = Visit::On;
            }
            match rest.pop().map(|next| (next, state.get(next))) {
                Some((next, Some(Visit::Not))) => path.push((next, same_value(graph, next))),
                Some((next, Some(Visit::On))) => return Err(loop_at(graph, next)),
                Some(_) => {}
                None => {
                    path.pop();
                    if let Some(visit) = state.get_mut(node) {
                        *visit = Visit::Done;
                    }
                }
            }
        }
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Visit {
    Not,
    On,
    Done,
}

fn same_value(graph: &Graph, node: NodeId) -> Vec<NodeId> {
    let Some(node) = graph.nodes.get(node) else { return Vec::new() };
    let decided = node.dynamic.iter().filter_map(|dynamic| match dynamic {
        Dynamic::Recursive(target) => graph.nodes.get(*target).filter(|node| !node.recursive_anchor).map(|_| *target),
        Dynamic::Anchor(target, anchor) => {
            graph.nodes.get(*target).filter(|node| anchor.is_none() || node.dynamic_anchor != *anchor).map(|_| *target)
        }
    });
    node.applied_to_the_same().chain(decided).collect()
}

fn loop_at(graph: &Graph, node: NodeId) -> Error {
    let place = graph.places.iter().find(|(_, id)| **id == node).map(|((text, pointer), _)| (*text, pointer.as_str()));
    let (text, pointer) = place.unwrap_or_default();
    let address = graph.texts.get(text).map_or("", |(url, _)| url.as_str());
    refusal(address, pointer, "applies itself to the same value again, without end")
}
