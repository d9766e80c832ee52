//! Results as rows: ours, the other's, their ratio, and whether the target is met.

use std::fmt;

/// What a ratio, or a figure of ours, should be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// The row is there to be read.
    None,
}

impl Target {
    fn met(self, value: f64) -> Option<bool> {
        match self {
            Self::AtLeast(target) => Some(value >= target),
            Self::AtMost(target) => Some(value <= target),
            Self::None => None,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(target) => write!(f, ">= {target}"),
            Self::AtMost(target) => write!(f, "<= {target}"),
            Self::None => Ok(()),
        }
    }
}

/// One comparison.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    what: String,
    ours: String,
    other: String,
    /// What is held against the target.
    value: Option<f64>,
    target: Target,
}

impl Row {
    /// Ours in relation to another's.
    pub(crate) fn ratio(what: impl Into<String>, ours: (f64, &str), other: (f64, &str), target: Target) -> Self {
        let text = |(value, unit): (f64, &str)| format!("{} {unit}", figure(value));
        Self { what: what.into(), ours: text(ours), other: text(other), value: Some(ours.0 / other.0), target }
    }

    /// A figure of ours that stands alone.
    pub(crate) fn figure(what: impl Into<String>, ours: (f64, &str), target: Target) -> Self {
        let text = format!("{} {}", figure(ours.0), ours.1);
        Self { what: what.into(), ours: text, other: String::new(), value: Some(ours.0), target }
    }

    /// A comparison that could not be made here, and why.
    pub(crate) fn skipped(what: impl Into<String>, why: &str) -> Self {
        let ours = format!("skipped: {why}");
        Self { what: what.into(), ours, other: String::new(), value: None, target: Target::None }
    }

    fn cells(&self) -> [String; 6] {
        let ratio = match (self.value, self.other.is_empty()) {
            (Some(value), false) => format!("{value:.2}"),
            _ => String::new(),
        };
        let verdict = match self.value.and_then(|value| self.target.met(value)) {
            Some(true) => "met",
            Some(false) => "NOT MET",
            None => "",
        };
        [&self.what, &self.ours, &self.other, &ratio, &self.target.to_string(), verdict].map(str::to_owned)
    }
}

/// Three or more significant digits, no more decimals than that takes.
fn figure(value: f64) -> String {
    let decimals = if value.abs() < 10.0 { 2 } else { usize::from(value.abs() < 1000.0) };
    format!("{value:.decimals$}")
}

/// The rows, in columns.
pub(crate) fn render(rows: &[Row]) -> String {
    let head = ["", "DeltaDatabase", "the other", "ratio", "target", ""].map(str::to_owned);
    let lines: Vec<_> = std::iter::once(head).chain(rows.iter().map(Row::cells)).collect();
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<_> = (0..6).map(|column| width(column).unwrap_or_default()).collect();
    let line = |cells: &[String; 6]| {
        let cells = cells.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_whether_its_target_is_met() {
        let verdict = |ours, target| Row::ratio("x", (ours, "/s"), (100.0, "/s"), target).cells()[5].clone();
        assert_eq!(verdict(85.0, Target::AtLeast(0.85)), "met");
        assert_eq!(verdict(84.9, Target::AtLeast(0.85)), "NOT MET");
        assert_eq!(verdict(150.1, Target::AtMost(1.5)), "NOT MET");
        assert_eq!(verdict(1.0, Target::None), "");
        assert_eq!(Row::figure("x", (2.9, "s"), Target::AtMost(3.0)).cells(), ["x", "2.90 s", "", "", "<= 3", "met"]);
    }
}
