//! Durations as operators write them: Go's notation (`1h30m`, `250ms`, `1.5h`) and days (`7d`).

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A duration of the configuration; `0` means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConfigDuration(pub(crate) Duration);

/// Parses a duration; the error says what one looks like.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let wrong = || format!("{text:?} is not a duration; write one like 30s, 1h30m or 7d");
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let unit_bytes = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_bytes);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return Err(wrong()),
        };
        total += number.parse::<f64>().map_err(|_| wrong())? * seconds;
        rest = tail;
    }
    match Duration::try_from_secs_f64(total) {
        Ok(duration) if !text.is_empty() => Ok(duration),
        _ => Err(wrong()),
    }
}

impl<'de> Deserialize<'de> for ConfigDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Text {
            Zero(u64),
            Text(String),
        }
        let text = match Text::deserialize(deserializer)? {
            Text::Zero(number) => number.to_string(),
            Text::Text(text) => text,
        };
        parse(&text).map(Self).map_err(D::Error::custom)
    }
}

impl Serialize for ConfigDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{}ns", self.0.as_nanos()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_notation_and_days() {
        for (text, seconds) in [("0", 0.0), ("1h30m", 5400.0), ("7d", 604_800.0), ("250ms", 0.25), ("1.5h", 5400.0)] {
            assert_eq!(parse(text).unwrap(), Duration::from_secs_f64(seconds), "{text}");
        }
        for bad in ["", "5", "h", "-1s", "1x", "1h 30m", "1..2s", "99999999999999999999999d"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
