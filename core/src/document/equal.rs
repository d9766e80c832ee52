//! When two JSON values are the same (RFC 6902, section 4.6): by what they mean, not by how they are written.
//!
//! Numbers are compared as the decimal numbers they are, of any size: nothing is rounded.

use crate::document::tree::{Node, Work, parser};
use crate::error::Result;

/// Whether two values are the same; both are opened only as far as that takes.
pub(crate) fn equal<'a>(left: &Node<'a>, right: &Node<'a>, work: &mut Work) -> Result<bool> {
    if let (Node::Text(left), Node::Text(right)) = (left, right) {
        work.spend(left.len().min(right.len()))?;
        if left == right {
            return Ok(true);
        }
    }
    match (left.first_byte(), right.first_byte()) {
        (b'[', b'[') | (b'{', b'{') => {}
        (b'"', b'"') => return same_string(left, right, work),
        (b'-' | b'0'..=b'9', b'-' | b'0'..=b'9') => return same_number(left, right, work),
        (left, right) => return Ok(left == right),
    }
    let (mut left_opened, mut right_opened) = (None, None);
    match (opened(left, &mut left_opened, work)?, opened(right, &mut right_opened, work)?) {
        (Node::Array(left), Node::Array(right)) if left.len() == right.len() => {
            for (left, right) in left.iter().zip(right) {
                if !equal(left, right, work)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Node::Object(left), Node::Object(right)) if left.len() == right.len() => {
            for left in left.members() {
                match right.get(&left.key) {
                    Some(right) if equal(&left.value, right, work)? => {}
                    _ => return Ok(false),
                }
            }
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// The node, or what it holds once it is opened.
fn opened<'n, 'a>(node: &'n Node<'a>, place: &'n mut Option<Node<'a>>, work: &mut Work) -> Result<&'n Node<'a>> {
    match node {
        Node::Text(text) => Ok(place.insert(Node::Text(text)).open(work)?),
        _ => Ok(node),
    }
}

fn texts<'a>(left: &Node<'a>, right: &Node<'a>, work: &mut Work) -> Result<(&'a str, &'a str)> {
    let text = |node: &Node<'a>| if let Node::Text(text) = node { text.trim() } else { "" };
    let (left, right) = (text(left), text(right));
    work.spend(left.len().saturating_add(right.len()))?;
    Ok((left, right))
}

fn same_string<'a>(left: &Node<'a>, right: &Node<'a>, work: &mut Work) -> Result<bool> {
    let (left, right) = texts(left, right, work)?;
    Ok(parser(left).string()? == parser(right).string()?)
}

fn same_number<'a>(left: &Node<'a>, right: &Node<'a>, work: &mut Work) -> Result<bool> {
    let (left, right) = texts(left, right, work)?;
    Ok(Decimal::parse(left) == Decimal::parse(right))
}

/// A number in the one form in which equal numbers look the same: ±0.d₁d₂… × 10^exponent, d₁ and the last digit not 0.
#[derive(PartialEq, Eq, Debug)]
struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    exponent: Exponent,
}

/// An integer of any size: sign and digits, without leading zeros.
#[derive(PartialEq, Eq, Debug, Default)]
struct Exponent {
    negative: bool,
    digits: Vec<u8>,
}

impl Decimal {
    fn parse(text: &str) -> Self {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (negative, mantissa) = signed(mantissa);
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = || whole.bytes().chain(fraction.bytes());
        let leading = digits().take_while(|digit| *digit == b'0').count();
        let mut digits: Vec<u8> = digits().skip(leading).collect();
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        if digits.is_empty() {
            return Self { negative: false, digits, exponent: Exponent::default() };
        }
        let point = whole.len() as i64 - leading as i64;
        Self { negative, digits, exponent: Exponent::parse(exponent, point) }
    }
}

impl Exponent {
    /// Up to so many digits a number is added to as an `i128`.
    const SHORT: usize = 30;

    /// The written exponent, and how far the point was moved.
    fn parse(text: &str, point: i64) -> Self {
        let (negative, text) = signed(text);
        let text = text.trim_start_matches('0');
        if text.len() <= Self::SHORT {
            let value = text.parse::<i128>().unwrap_or_default();
            let sum = if negative { -value } else { value } + i128::from(point);
            let digits = sum.unsigned_abs().to_string();
            return Self { negative: sum < 0, digits: digits.trim_start_matches('0').into() };
        }
        // So long a number keeps its sign whatever a text's length adds to it.
        let mut digits: Vec<u8> = text.bytes().collect();
        let mut carry = if negative { -point } else { point };
        for digit in digits.iter_mut().rev() {
            let sum = i64::from(*digit - b'0') + carry;
            *digit = b'0' + sum.rem_euclid(10) as u8;
            carry = sum.div_euclid(10);
        }
        if carry > 0 {
            digits.splice(..0, carry.to_string().bytes());
        }
        let leading = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..leading);
        Self { negative, digits }
    }
}

fn signed(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(left: &str, right: &str) -> bool {
        equal(&Node::Text(left), &Node::Text(right), &mut Work::new(1 << 20)).unwrap()
    }

    #[test]
    fn numbers_are_compared_as_decimals_of_any_size() {
        let big = "9".repeat(40);
        let bigger = format!("1{}", "0".repeat(40));
        for (left, right) in [
            ("1", "1.0"),
            ("1", "1e0"),
            ("100", "1E+2"),
            ("0", "-0.0e9"),
            ("-12.50", "-125e-1"),
            ("0.001", "1e-3"),
            ("1e999", "10e998"),
            ("12345678901234567890123456789012345678901", "1.2345678901234567890123456789012345678901e40"),
            (&format!("10e{big}"), &format!("1e{bigger}")),
            (&format!("0.1e-{big}"), &format!("1e-{bigger}")),
            (&format!("1e{}", "0".repeat(50)), "1"),
            ("10e999999999999999999999999999999", "1e1000000000000000000000000000000"),
        ] {
            assert!(same(left, right), "{left} and {right}");
        }
        for (left, right) in [
            ("1", "-1"),
            ("1", "10"),
            ("9007199254740993", "9007199254740992"),
            ("0.1", "0.10000000000000000001"),
            ("1e999", "1e998"),
            ("1e9", "1e-9"),
            (&format!("1e{big}"), &format!("1e-{big}")),
            (&format!("1e{big}"), &format!("1e{bigger}")),
        ] {
            assert!(!same(left, right), "{left} and {right}");
        }
    }

    #[test]
    fn values_are_compared_by_what_they_mean() {
        assert!(same(r#"{"a":[1,"\u0062"],"c":null}"#, r#" { "c" : null, "\u0061" : [1.0, "b"] } "#));
        for (left, right) in [
            ("[1,2]", "[2,1]"),
            ("[1]", "[1,1]"),
            (r#"{"a":1}"#, r#"{"a":1,"b":1}"#),
            (r#"{"a":1}"#, r#"{"b":1}"#),
            ("[]", "{}"),
            ("0", "false"),
            ("null", "false"),
            ("\"1\"", "1"),
            ("true", "false"),
        ] {
            assert!(!same(left, right), "{left} and {right}");
        }
    }
}
