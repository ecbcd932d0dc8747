//! How the layers went: a table for people, JSON for programs, and a last line for both.

use std::{fmt, time::Duration};

use serde_json::{Value, json};

use super::layers::BUILD;
use crate::{needs::in_ci, row, table::columns};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed,
    Skipped,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::Skipped => "skipped",
        })
    }
}

struct Row {
    layer: &'static str,
    outcome: Outcome,
    took: Duration,
    detail: String,
}

#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

impl Report {
    pub(crate) fn add(&mut self, layer: &'static str, outcome: Outcome, took: Duration, detail: String) {
        self.rows.push(Row { layer, outcome, took, detail });
    }

    /// How many layers ended so. The build is a row of the table but not a layer.
    fn count(&self, outcome: Outcome) -> usize {
        self.rows.iter().filter(|row| row.outcome == outcome && row.layer != BUILD.name).count()
    }

    pub(crate) fn good(&self, in_ci: bool) -> bool {
        self.count(Outcome::Failed) == 0 && !(in_ci && self.count(Outcome::Skipped) > 0)
    }

    pub(crate) fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let result = row.outcome.to_string().to_lowercase();
            json!({"layer": row.layer, "result": result, "seconds": row.took.as_secs_f64(), "detail": row.detail})
        });
        rows.collect()
    }

    /// The last line. Where a skipped layer is a failure it is counted as one.
    fn last_line(&self, in_ci: bool) -> String {
        let [passed, failed, skipped] = [Outcome::Passed, Outcome::Failed, Outcome::Skipped].map(|it| self.count(it));
        match (in_ci, skipped) {
            (true, _) => format!("{passed} passed, {} failed", failed + skipped),
            (false, 0) => format!("{passed} passed, {failed} failed"),
            (false, _) => format!("{passed} passed, {failed} failed, {skipped} skipped"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![row!["layer", "result", "time", ""]];
        rows.extend(self.rows.iter().map(|row| {
            let outcome = match row.outcome {
                Outcome::Skipped if in_ci() => "FAILED: skipped".into(),
                outcome => outcome.to_string(),
            };
            row![row.layer, outcome, format!("{:.1} s", row.took.as_secs_f64()), row.detail]
        }));
        writeln!(f, "{}{}", columns(&rows), self.last_line(in_ci()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(outcomes: &[(&'static str, Outcome)]) -> Report {
        let mut report = Report::default();
        for (layer, outcome) in outcomes {
            report.add(layer, *outcome, Duration::from_millis(1500), "why".into());
        }
        report
    }

    #[test]
    fn a_skipped_layer_is_a_failure_in_ci_only() {
        use Outcome::{Failed, Passed, Skipped};
        let all = report(&[("build", Passed), ("fmt", Passed), ("lint", Passed)]);
        assert_eq!(all.last_line(false), "2 passed, 0 failed");
        assert!(all.good(true));
        let some = report(&[("fmt", Passed), ("netns", Skipped)]);
        assert_eq!(some.last_line(false), "1 passed, 0 failed, 1 skipped");
        assert_eq!(some.last_line(true), "1 passed, 1 failed");
        assert!(some.good(false) && !some.good(true));
        assert!(!report(&[("fmt", Failed)]).good(false));
    }

    #[test]
    fn the_json_has_every_row() {
        let json = report(&[("fmt", Outcome::Failed)]).json();
        assert_eq!(json, json!([{"layer": "fmt", "result": "failed", "seconds": 1.5, "detail": "why"}]));
    }
}
