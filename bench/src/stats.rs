//! Percentiles and medians.

use std::time::Duration;

/// Percentiles (nearest rank) of nanoseconds, which it sorts.
pub(crate) fn percentiles<const N: usize>(nanos: &mut [u32], at: [f64; N]) -> [Duration; N] {
    nanos.sort_unstable();
    at.map(|percent| {
        let rank = (percent / 100.0 * nanos.len() as f64).ceil() as usize;
        Duration::from_nanos(nanos.get(rank.saturating_sub(1)).copied().unwrap_or_default().into())
    })
}

/// The middle one; of an even number the mean of the middle two.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    if values.len() % 2 == 1 { at(middle) } else { (at(middle.wrapping_sub(1)) + at(middle)) / 2.0 }
}

/// A duration in microseconds.
pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let mut nanos: Vec<u32> = (1..=100).rev().collect();
        let expected = [50, 99, 100].map(Duration::from_nanos);
        assert_eq!(percentiles(&mut nanos, [50.0, 99.0, 100.0]), expected);
        assert_eq!(percentiles(&mut [7], [50.0, 99.0]), [7, 7].map(Duration::from_nanos));
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]).to_bits(), 2.0_f64.to_bits());
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]).to_bits(), 2.5_f64.to_bits());
    }
}
