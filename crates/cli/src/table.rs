//! Tables: columns aligned by what the terminal shows.

use crate::printer::{Line, Tone};

/// A table. Columns are two spaces apart; the last one is not filled up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    heads: Vec<&'static str>,
    right: Vec<bool>,
    rows: Vec<Vec<Line>>,
}

impl Table {
    /// A table with these heads; columns whose head begins with `>` are aligned to the right.
    pub(crate) fn new(heads: &[&'static str]) -> Self {
        Self {
            right: heads.iter().map(|head| head.starts_with('>')).collect(),
            heads: heads.iter().map(|head| head.trim_start_matches('>')).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Line>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The lines to print. A column that is empty in every row is left out.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let heads: Vec<_> = self.heads.iter().map(|head| Line::of(Tone::Faint, head)).collect();
        let columns: Vec<_> = (0..heads.len())
            .filter_map(|at| {
                let widest = self.rows.iter().filter_map(|row| row.get(at)).map(Line::width).max()?;
                (widest > 0).then(|| (at, widest.max(heads.get(at).map_or(0, Line::width))))
            })
            .collect();
        let last = columns.last().map(|&(at, _)| at);
        std::iter::once(&heads)
            .chain(&self.rows)
            .map(|row| {
                let mut line = Line::new();
                for &(at, wide) in &columns {
                    let cell = row.get(at).cloned().unwrap_or_default();
                    let fill = " ".repeat(wide.saturating_sub(cell.width()));
                    let right = self.right.get(at).copied().unwrap_or_default();
                    line = match (right, Some(at) == last) {
                        (true, _) => line.plain(fill).join(cell),
                        (false, true) => line.join(cell),
                        (false, false) => line.join(cell).plain(fill),
                    };
                    if Some(at) != last {
                        line = line.plain("  ");
                    }
                }
                line.trimmed()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other() {
        let mut table = Table::new(&["NAME", ">SIZE", "EMPTY", "NOTE"]);
        table.row(["Küche".into(), "7".into(), "".into(), "x".into()]);
        table.row(["温度計".into(), "1234567".into(), "".into(), "".into()]);
        let shown: Vec<_> = table.lines().iter().map(Line::text).collect();
        assert_eq!(shown, ["NAME       SIZE  NOTE", "Küche         7  x", "温度計  1234567"]);
        assert_eq!(shown.iter().map(|line| crate::printer::width(line.trim_end())).max(), Some(21));
    }
}
