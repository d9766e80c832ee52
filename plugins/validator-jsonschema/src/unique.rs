//! What comparing values with each other costs.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

/// Up to this many items boon compares each with each; more are hashed first.
const COMPARED_MAX: usize = 20;

/// The parts of a value: what comparing it with another costs at most, in comparisons.
pub(crate) fn size(value: &Value) -> u64 {
    match value {
        Value::String(text) => 1 + text.len() as u64 / 16,
        Value::Array(items) => 1 + items.iter().map(size).sum::<u64>(),
        Value::Object(members) => {
            1 + members.iter().map(|(name, value)| 2 + name.len() as u64 / 16 + size(value)).sum::<u64>()
        }
        _ => 1,
    }
}

/// The comparisons that `uniqueItems` costs at most. boon's hash does not see where a nested array ends, so different
/// items may share a hash, and those are compared each with each.
pub(crate) fn comparisons(items: &[Value]) -> u64 {
    let whole: u64 = items.iter().map(size).sum();
    if items.len() <= COMPARED_MAX {
        return whole.saturating_mul(items.len() as u64);
    }
    let mut groups: HashMap<u64, (u64, u64)> = HashMap::with_capacity(items.len());
    for item in items {
        let mut hasher = DefaultHasher::new();
        feed(item, &mut hasher);
        let group = groups.entry(hasher.finish()).or_default();
        *group = (group.0 + 1, group.1.saturating_add(size(item)));
    }
    // Hashing itself costs about as much as eight comparisons of every part.
    groups.values().fold(whole.saturating_mul(8), |sum, (count, size)| sum.saturating_add(count.saturating_mul(*size)))
}

/// Feeds a hasher so that two values agree here wherever they agree in boon.
fn feed(value: &Value, hasher: &mut DefaultHasher) {
    match value {
        Value::Null => 0_u8.hash(hasher),
        Value::Bool(value) => value.hash(hasher),
        Value::Number(number) => number.as_f64().unwrap_or_default().to_bits().hash(hasher),
        Value::String(text) => text.hash(hasher),
        Value::Array(items) => items.iter().for_each(|item| feed(item, hasher)),
        Value::Object(members) => {
            let mut sum = 0;
            for (name, value) in members {
                let mut member = DefaultHasher::new();
                name.hash(&mut member);
                feed(value, &mut member);
                sum ^= member.finish();
            }
            sum.hash(hasher);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn different_items_cost_in_proportion() {
        let items: Vec<_> = (0..10_000).map(|n| json!({"id": n, "tags": ["a", n]})).collect();
        assert!(comparisons(&items) < 20 * items.iter().map(size).sum::<u64>());
    }

    #[test]
    fn items_that_share_a_hash_cost_the_square() {
        // The same leaves under every possible nesting of two levels.
        let items: Vec<_> = (0..1000).map(|n| json!([vec![0; n], vec![0; 1000 - n]])).collect();
        let size = items.iter().map(size).sum::<u64>();
        assert!(comparisons(&items) >= 1000 * size);
    }
}
