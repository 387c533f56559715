//! Tables: a heading, and columns as wide as what stands in them.

use super::{Tone, safe, toned};

/// Two spaces part the columns, so that texts with single spaces stay one.
const GAP: &str = "  ";

/// Rows under a heading.
pub(in crate::cli) struct Table {
    heading: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    /// Whose cells are coloured by what they say.
    status: Option<usize>,
}

impl Table {
    pub(in crate::cli) fn new(heading: &[&'static str]) -> Self {
        let status = heading.iter().position(|title| *title == "STATUS");
        Self { heading: heading.to_vec(), rows: Vec::new(), status }
    }

    /// Adds a row with a cell for each column.
    pub(in crate::cli) fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.heading.len());
        let shown = |cell: String| if cell.is_empty() { "-".to_owned() } else { safe(&cell) };
        self.rows.push(cells.into_iter().map(shown).collect());
    }

    /// The lines of the table; of one without rows, `nothing`.
    pub(in crate::cli) fn text(&self, nothing: &str) -> String {
        if self.rows.is_empty() {
            return nothing.to_owned();
        }
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0).max(self.heading[column].len())
        };
        let widths: Vec<usize> = (0..self.heading.len()).map(width).collect();
        let heading: Vec<String> = self.heading.iter().map(|&title| title.to_owned()).collect();
        let mut lines = vec![self.line(&heading, &widths, false)];
        lines.extend(self.rows.iter().map(|row| self.line(row, &widths, true)));
        lines.join("\n")
    }

    fn line(&self, cells: &[String], widths: &[usize], is_row: bool) -> String {
        let mut line = String::new();
        for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
            let is_last = column + 1 == cells.len();
            let padding = if is_last { 0 } else { width - cell.chars().count() };
            let tone = if is_row && self.status == Some(column) { Tone::of_status(cell) } else { Tone::Plain };
            line.push_str(&toned(tone, cell));
            line.push_str(&" ".repeat(padding));
            line.push_str(if is_last { "" } else { GAP });
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_is_said_in_words() {
        let mut table = Table::new(&["ID", "NAME", "STATUS"]);
        assert_eq!(table.text("no channels"), "no channels");
        table.row(["1".into(), "Bücher".into(), "sent".into()]);
        table.row(["100".into(), String::new(), "a\nb".into()]);
        assert_eq!(table.text(""), "ID   NAME    STATUS\n1    Bücher  sent\n100  -       a\\u{a}b");
    }
}
