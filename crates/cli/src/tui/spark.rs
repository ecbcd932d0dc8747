//! Sparklines: the latest values of something, one character each.

use std::collections::VecDeque;

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The latest values of a resource, a bounded number of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct History(VecDeque<f64>);

impl History {
    /// How many are kept.
    const LENGTH: usize = 64;

    /// Adds a value. One that is not finite has no place on a line.
    pub(crate) fn push(&mut self, value: f64) {
        if value.is_finite() {
            if self.0.len() == Self::LENGTH {
                self.0.pop_front();
            }
            self.0.push_back(value);
        }
    }

    /// The last `width` values, between the lowest and the highest of them.
    pub(crate) fn line(&self, width: usize) -> String {
        let shown = self.0.len().saturating_sub(width);
        let values = || self.0.iter().skip(shown).copied();
        let (low, high) = values().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        let bar = |value: f64| {
            // Halves first: the whole span of two huge values may be infinite.
            let part = (value / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0);
            let at = if part.is_finite() { (part * 7.0).round() as usize } else { 0 };
            BARS.get(at).copied().unwrap_or('█')
        };
        let line: String = values().map(bar).collect();
        format!("{line:>width$}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(values: &[f64], width: usize) -> String {
        let mut history = History::default();
        values.iter().for_each(|&value| history.push(value));
        history.line(width)
    }

    #[test]
    fn lines_span_what_they_show() {
        assert_eq!(line(&[0.0, 1.0, 2.0, 7.0], 6), "  ▁▂▃█");
        assert_eq!(line(&[100.0, 0.0, 7.0], 2), "▁█", "what has left the line does not flatten it");
        assert_eq!(line(&[5.0, 5.0], 3), " ▁▁");
        assert_eq!(line(&[], 3), "   ");
        assert_eq!(line(&[f64::MIN, f64::NAN, f64::MAX], 2), "▁█");
        assert_eq!(line(&[1.0; 200], 100).trim().chars().count(), History::LENGTH);
    }
}
