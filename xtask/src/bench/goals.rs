//! The goals in SPECIFICATION.md.
//!
//! Every table whose first column is headed `row` is a table of goals; its second column must be headed `goal`, and
//! what further columns say is for people:
//!
//! ```text
//! | row                    | goal            | what it is                                    |
//! |------------------------|-----------------|-----------------------------------------------|
//! | `fabric.request-reply` | `<= 1.25 ratio` | median of a request with its reply, 64 bytes  |
//! | `node.idle-memory`     | `<= 30 MiB`     | resident memory of a node that does nothing   |
//! ```
//!
//! A goal is a comparison (`<`, `<=`, `>`, `>=`), a number and a unit. The unit `ratio` compares the ratio to the
//! reference that was measured beside it; any other compares the value, converted where both are times, sizes or
//! rates. Back quotes around a cell do not matter. A goal that cannot be read is an error, and so is a second one for
//! the same row: a promise is never dropped silently.

use std::{collections::BTreeMap, fmt};

use super::rows::{Row, Verdict};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Less,
    AtMost,
    More,
    AtLeast,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Goal {
    comparison: Comparison,
    number: f64,
    unit: String,
    /// As the specification has it.
    text: String,
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Goal {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a goal like `<= 1.25 ratio` or `>= 100 MB/s`");
        let mut words = text.split_whitespace();
        let (Some(comparison), Some(number), Some(unit), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(wrong());
        };
        let comparison = match comparison {
            "<" => Comparison::Less,
            "<=" => Comparison::AtMost,
            ">" => Comparison::More,
            ">=" => Comparison::AtLeast,
            _ => return Err(wrong()),
        };
        let number = number.parse().ok().filter(|number: &f64| number.is_finite()).ok_or_else(wrong)?;
        Ok(Self { comparison, number, unit: unit.into(), text: text.into() })
    }

    /// Whether a row meets the goal; an error if the two cannot be compared.
    pub(super) fn met_by(&self, row: &Row) -> Result<bool, String> {
        let cannot = |why: &str| format!("{}: {why}, and its goal is {self}", row.name);
        let measured = if self.unit == "ratio" {
            row.ratio().ok_or_else(|| cannot("it was measured without a reference"))?
        } else {
            convert(row.value, &row.unit, &self.unit)
                .ok_or_else(|| cannot(&format!("it was measured in {}", row.unit)))?
        };
        Ok(match self.comparison {
            Comparison::Less => measured < self.number,
            Comparison::AtMost => measured <= self.number,
            Comparison::More => measured > self.number,
            Comparison::AtLeast => measured >= self.number,
        })
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Dimension {
    Time,
    Size,
    Rate,
}

fn unit(name: &str) -> Option<(Dimension, f64)> {
    if let Some(size) = name.strip_suffix("/s") {
        return unit(size).filter(|(dimension, _)| *dimension == Dimension::Size).map(|(_, by)| (Dimension::Rate, by));
    }
    Some(match name {
        "ns" => (Dimension::Time, 1e-9),
        "us" => (Dimension::Time, 1e-6),
        "ms" => (Dimension::Time, 1e-3),
        "s" => (Dimension::Time, 1.0),
        "B" => (Dimension::Size, 1.0),
        "kB" => (Dimension::Size, 1e3),
        "MB" => (Dimension::Size, 1e6),
        "GB" => (Dimension::Size, 1e9),
        "KiB" => (Dimension::Size, 1024.0),
        "MiB" => (Dimension::Size, 1024.0 * 1024.0),
        "GiB" => (Dimension::Size, 1024.0 * 1024.0 * 1024.0),
        _ => return None,
    })
}

fn convert(value: f64, from: &str, to: &str) -> Option<f64> {
    if from == to {
        return Some(value);
    }
    let ((from, by), (to, per)) = (unit(from)?, unit(to)?);
    (from == to).then(|| value * by / per)
}

/// All goals by the name of their row.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Goals(BTreeMap<String, Goal>);

impl Goals {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut goals = BTreeMap::new();
        let (mut in_goals, mut header) = (false, true);
        for (number, line) in text.lines().enumerate() {
            let wrong = |what: String| format!("line {}: {what}", number + 1);
            let Some(cells) = cells(line) else {
                (in_goals, header) = (false, true);
                continue;
            };
            let (first, second) = (cells.first().copied().unwrap_or_default(), cells.get(1).copied());
            if header {
                (in_goals, header) = (first == "row", false);
                if in_goals && second != Some("goal") {
                    return Err(wrong("a table whose first column is `row` wants `goal` as its second".into()));
                }
            } else if in_goals && !is_rule(&cells) {
                if !is_name(first) {
                    return Err(wrong(format!("{first:?} is not a row's name like `fabric.request-reply`")));
                }
                let goal = Goal::parse(second.unwrap_or_default()).map_err(wrong)?;
                if goals.insert(first.to_owned(), goal).is_some() {
                    return Err(wrong(format!("{first} has a goal already")));
                }
            }
        }
        Ok(Self(goals))
    }

    pub(super) fn of(&self, name: &str) -> Option<&Goal> {
        self.0.get(name)
    }

    /// The rows of the chosen groups that have a goal and were not measured.
    pub(super) fn unmeasured<'a>(
        &'a self,
        measured: &'a [Verdict],
        chosen: impl Fn(&str) -> bool + 'a,
    ) -> impl Iterator<Item = &'a str> {
        let names = self.0.keys().map(String::as_str);
        names.filter(move |name| {
            let group = name.split_once('.').map_or(*name, |(group, _)| group);
            chosen(group) && measured.iter().all(|verdict| verdict.row.name != *name)
        })
    }
}

/// The cells of a table's line, without back quotes around them; nothing if it is not one.
fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.trim().strip_prefix('|')?;
    let inner = inner.strip_suffix('|').unwrap_or(inner);
    Some(inner.split('|').map(|cell| unquoted(cell.trim())).collect())
}

fn unquoted(cell: &str) -> &str {
    cell.strip_prefix('`').and_then(|cell| cell.strip_suffix('`')).unwrap_or(cell).trim()
}

fn is_rule(cells: &[&str]) -> bool {
    cells.iter().all(|cell| !cell.is_empty() && cell.chars().all(|char| "-:".contains(char)))
}

/// `group.what`, `group.what.size` and so on, in lower-case letters, digits, hyphens and underscores.
pub(super) fn is_name(name: &str) -> bool {
    let allowed = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || "-_".contains(char);
    let is_part = |part: &str| !part.is_empty() && part.chars().all(allowed);
    name.contains('.') && name.split('.').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# Specification

| promise | number |
|---|---|
| nothing | to see |

| row | goal | what |
|:---|---:|---|
| `fabric.request-reply` | `<= 1.25 ratio` | median |
| fabric.stream | >= 0.9 ratio |
| `node.memory` | `<= 30 MiB` | idle |

Words.
";

    #[test]
    fn the_goals_of_the_specification_are_understood() {
        let goals = Goals::parse(include_str!("../../../SPECIFICATION.md")).unwrap();
        assert!(["fabric.", "amp.", "dt."].iter().all(|group| goals.0.keys().any(|name| name.starts_with(group))));
    }

    fn row(value: f64, unit: &str, reference: Option<f64>) -> Row {
        let reference = reference.map(|value| ("beside".to_owned(), value));
        Row { name: "fabric.x".into(), value, unit: unit.into(), reference }
    }

    fn met(goal: &str, row: &Row) -> Result<bool, String> {
        Goal::parse(goal).unwrap().met_by(row)
    }

    #[test]
    fn goals_are_read_from_their_tables_only() {
        let goals = Goals::parse(TEXT).unwrap();
        assert_eq!(goals.0.keys().collect::<Vec<_>>(), ["fabric.request-reply", "fabric.stream", "node.memory"]);
        assert_eq!(goals.of("fabric.stream").unwrap().to_string(), ">= 0.9 ratio");
        assert_eq!(goals.unmeasured(&[], |group| group == "fabric").count(), 2);
        assert_eq!(Goals::parse("no table"), Ok(Goals::default()));
    }

    #[test]
    fn what_cannot_be_read_is_an_error_with_its_line() {
        for (line, named) in [
            ("| fabric.x | about 3 ms |", "about 3 ms"),
            ("| fabric.x | <= fast ms |", "fast"),
            ("| fabric.x | <= inf ms |", "inf"),
            ("| fabric.x | <= 3 |", "<= 3"),
            ("| fabric.x | = 3 ms |", "= 3 ms"),
            ("| fabric.x |", "\"\""),
            ("| Fabric x | <= 3 ms |", "Fabric x"),
            ("| fabric.stream | <= 3 ms |\n| fabric.stream | <= 3 ms |", "already"),
        ] {
            let error = Goals::parse(&format!("| row | goal |\n|---|---|\n{line}\n")).unwrap_err();
            assert!(error.starts_with("line ") && error.contains(named), "{line}: {error}");
        }
        assert!(Goals::parse("| row | what | goal |\n").unwrap_err().contains("second"));
    }

    #[test]
    fn goals_are_met_or_not() {
        let with_reference = row(120.0, "us", Some(100.0));
        assert_eq!(met("<= 1.25 ratio", &with_reference), Ok(true));
        assert_eq!(met("<= 1.2 ratio", &with_reference), Ok(true));
        assert_eq!(met("< 1.2 ratio", &with_reference), Ok(false));
        assert_eq!(met(">= 0.9 ratio", &row(80.0, "MB/s", Some(100.0))), Ok(false));
        assert_eq!(met("<= 30 MiB", &row(29.0, "MiB", None)), Ok(true));
        assert_eq!(met("<= 30 MiB", &row(31.0 * 1024.0, "KiB", None)), Ok(false));
        assert_eq!(met("> 1 MiB/s", &row(1.0, "MB/s", None)), Ok(false));
        assert_eq!(met("<= 3 s", &row(2999.0, "ms", None)), Ok(true));
        assert_eq!(met(">= 8 messages", &row(8.0, "messages", None)), Ok(true));
    }

    #[test]
    fn what_cannot_be_compared_is_an_error() {
        assert!(met("<= 1.25 ratio", &row(1.0, "us", None)).unwrap_err().contains("reference"));
        assert!(met("<= 3 s", &row(1.0, "MiB", None)).unwrap_err().contains("MiB"));
        assert!(met("<= 3 MB", &row(1.0, "MB/s", None)).is_err());
        assert!(met("<= 3 apples", &row(1.0, "pears", None)).is_err());
    }
}
