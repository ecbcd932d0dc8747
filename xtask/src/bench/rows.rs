//! What benchmarks print, and how it stands against the goals.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::goals::{Goal, Goals, is_name};
use crate::{row, table::columns};

/// One thing that was measured.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) value: f64,
    pub(super) unit: String,
    /// What was measured beside it, and its value in the same unit.
    pub(super) reference: Option<(String, f64)>,
}

impl Row {
    pub(super) fn ratio(&self) -> Option<f64> {
        let (_, beside) = self.reference.as_ref()?;
        Some(self.value / beside)
    }

    fn parse(line: &str, group: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("{what} in the row {line}");
        let Ok(Value::Object(fields)) = serde_json::from_str(line) else {
            return Err(format!("expected a row as a JSON object, found {line:?}"));
        };
        const KNOWN: [&str; 6] = ["name", "value", "unit", "reference", "reference_value", "ratio"];
        if let Some(other) = fields.keys().find(|key| !KNOWN.contains(&key.as_str())) {
            return Err(wrong(&format!("{other} has no place")));
        }
        let text = |key: &str| fields.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let number = |key: &str| fields.get(key).and_then(Value::as_f64);
        let name =
            text("name").filter(|name| is_name(name)).ok_or_else(|| wrong("there is no name like group.what"))?;
        if name.split_once('.').map(|(group, _)| group) != Some(group) {
            return Err(wrong(&format!("the name is not of the group {group}")));
        }
        let reference = match (text("reference"), number("reference_value")) {
            (None, None) => None,
            (Some(_), Some(0.0)) => return Err(wrong("reference_value is 0")),
            (Some(name), Some(value)) => Some((name.to_owned(), value)),
            _ => return Err(wrong("reference and reference_value go together")),
        };
        let row = Self {
            name: name.into(),
            value: number("value").ok_or_else(|| wrong("there is no number value"))?,
            unit: text("unit").ok_or_else(|| wrong("there is no unit"))?.into(),
            reference,
        };
        match (number("ratio"), row.ratio()) {
            (Some(said), Some(ratio)) if (said - ratio).abs() > ratio.abs() / 100.0 => {
                Err(wrong("the ratio is not that of the two values"))
            }
            (Some(_), None) => Err(wrong("there is a ratio but no reference")),
            _ => Ok(row),
        }
    }
}

/// The rows that a benchmark of this group printed.
pub(super) fn parse(printed: &str, group: &str) -> Result<Vec<Row>, String> {
    let lines = printed.lines().filter(|line| !line.trim().is_empty());
    let rows = lines.map(|line| Row::parse(line, group)).collect::<Result<Vec<_>, _>>()?;
    if rows.is_empty() { Err("it printed no row".into()) } else { Ok(rows) }
}

/// A row with its goal.
pub(super) struct Verdict {
    pub(super) row: Row,
    goal: Option<(Goal, bool)>,
}

impl Verdict {
    pub(super) fn met(&self) -> Option<bool> {
        self.goal.as_ref().map(|(_, met)| *met)
    }

    pub(super) fn json(&self) -> Value {
        let Row { name, value, unit, reference } = &self.row;
        json!({
            "name": name,
            "value": value,
            "unit": unit,
            "reference": reference.as_ref().map(|(name, _)| name),
            "reference_value": reference.as_ref().map(|(_, value)| value),
            "ratio": self.row.ratio(),
            "goal": self.goal.as_ref().map(|(goal, _)| goal.to_string()),
            "met": self.met(),
        })
    }
}

/// Holds rows against the goals.
pub(super) fn judge(rows: Vec<Row>, goals: &Goals) -> Result<Vec<Verdict>, String> {
    let mut seen = BTreeSet::new();
    let judge = |row: Row| {
        if !seen.insert(row.name.clone()) {
            return Err(format!("{} was measured twice", row.name));
        }
        let met = |goal: &Goal| goal.met_by(&row).map(|met| (goal.clone(), met));
        let goal = goals.of(&row.name).map(met).transpose()?;
        Ok(Verdict { row, goal })
    };
    rows.into_iter().map(judge).collect()
}

pub(super) fn table(verdicts: &[Verdict]) -> String {
    let mut rows = vec![row!["row", "value", "unit", "reference", "its value", "ratio", "goal", "met"]];
    rows.extend(verdicts.iter().map(|verdict| {
        let Row { name, value, unit, reference } = &verdict.row;
        let (beside, its_value) = match reference {
            Some((name, value)) => (name.as_str(), short(*value)),
            None => ("", String::new()),
        };
        let goal = verdict.goal.as_ref().map(|(goal, _)| goal.to_string()).unwrap_or_default();
        let met = match verdict.met() {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "",
        };
        let ratio = verdict.row.ratio().map(|ratio| format!("{ratio:.3}")).unwrap_or_default();
        row![name, short(*value), unit, beside, its_value, ratio, goal, met]
    }));
    columns(&rows)
}

/// A number with about four digits that matter.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 || value.fract() == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        r#"{"name": "fabric.rr", "value": 150.0, "unit": "us", "reference": "iroh", "reference_value": 100.0}"#;

    fn goals(goal: &str) -> Goals {
        Goals::parse(&format!("| row | goal |\n|---|---|\n| fabric.rr | {goal} |\n")).unwrap()
    }

    #[test]
    fn rows_are_judged_by_the_specification_alone() {
        let rows = parse(LINE, "fabric").unwrap();
        let verdicts = judge(rows, &goals("<= 1.25 ratio")).unwrap();
        let expected = json!({"name": "fabric.rr", "value": 150.0, "unit": "us", "reference": "iroh",
            "reference_value": 100.0, "ratio": 1.5, "goal": "<= 1.25 ratio", "met": false});
        assert_eq!(verdicts[0].json(), expected);
        assert!(table(&verdicts).contains("1.500  <= 1.25 ratio  NO"), "{}", table(&verdicts));
    }

    #[test]
    fn a_row_without_a_goal_is_neither_met_nor_not() {
        let rows = parse(r#"{"name": "fabric.size", "value": 9, "unit": "MiB"}"#, "fabric").unwrap();
        let verdicts = judge(rows, &goals("<= 1.25 ratio")).unwrap();
        let json = verdicts[0].json();
        assert!(json["goal"].is_null() && json["met"].is_null() && json["reference"].is_null());
        assert_eq!(goals("<= 1 s").unmeasured(&verdicts, |_| true).collect::<Vec<_>>(), ["fabric.rr"]);
    }

    #[test]
    fn what_is_not_a_row_is_an_error() {
        for (line, named) in [
            ("hello", "hello"),
            (r#"{"name": "fabric.x", "unit": "us"}"#, "value"),
            (r#"{"name": "fabric.x", "value": 1}"#, "unit"),
            (r#"{"name": "pool.x", "value": 1, "unit": "us"}"#, "group fabric"),
            (r#"{"name": "x", "value": 1, "unit": "us"}"#, "name"),
            (r#"{"name": "fabric.x", "value": 1, "unit": "us", "met": true}"#, "met"),
            (r#"{"name": "fabric.x", "value": 1, "unit": "us", "reference": "y"}"#, "together"),
            (r#"{"name": "fabric.x", "value": 1, "unit": "us", "ratio": 2}"#, "no reference"),
            (
                r#"{"name": "fabric.x", "value": 4, "unit": "us", "reference": "y", "reference_value": 2, "ratio": 1}"#,
                "ratio",
            ),
            (r#"{"name": "fabric.x", "value": 4, "unit": "us", "reference": "y", "reference_value": 0}"#, "0"),
        ] {
            let error = parse(line, "fabric").unwrap_err();
            assert!(error.contains(named), "{error}");
        }
        assert!(parse("\n", "fabric").is_err());
        let twice = parse(&format!("{LINE}\n{LINE}"), "fabric").unwrap();
        assert!(judge(twice, &Goals::default()).is_err());
    }
}
