//! Formats tables for terminals.

use comfy_table::{
    CellAlignment, ColumnConstraint, ContentArrangement, Table, TableComponent, Width, presets,
};

use crate::terminal;

pub use wording::{age, counted, thousands};

/// Width between two columns: the space after each column, and one space in place of the line.
const GAP: usize = 2;

/// A table with a header. Columns are two spaces apart, so that it fits a terminal of 80 columns.
/// Columns of numbers are aligned to the right.
///
/// On a narrower terminal, cells of several words are wrapped. If even single words do not fit side by
/// side, each row becomes a list of its cells.
pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    table_within(terminal::columns().map(usize::from), header, rows)
}

/// Formats a table within a width, or as wide as its cells if none is given.
fn table_within(
    columns: Option<usize>,
    header: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> String {
    let rows: Vec<Vec<String>> = rows.into_iter().collect();
    let words: Vec<usize> = (0..header.len())
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(String::as_str);
            let words = cells.chain([header[column]]).flat_map(str::split_whitespace);
            words.map(|word| word.chars().count()).max().unwrap_or_default()
        })
        .collect();
    // The line below the header includes the space after the last column.
    let narrowest = words.iter().sum::<usize>() + GAP * header.len().saturating_sub(1) + 1;
    if columns.is_some_and(|columns| columns < narrowest) {
        return list(header, &rows);
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_style(TableComponent::HeaderLines, '─');
    table.set_style(TableComponent::MiddleHeaderIntersections, '─');
    table.set_header(header);
    let numeric = |column: usize| {
        let cells = || rows.iter().filter_map(|row| row.get(column));
        cells().any(|cell| is_number(cell)) && cells().all(|cell| is_number(cell) || cell == "-")
    };
    let to_the_right: Vec<usize> = (0..header.len()).filter(|column| numeric(*column)).collect();
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        // One space here, and one in place of the line between two columns.
        column.set_padding((0, 1));
    }
    for index in to_the_right {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    if let Some(columns) = columns {
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(columns.try_into().unwrap_or(u16::MAX));
        for (column, word) in table.column_iter_mut().zip(words) {
            let width = (word + 1).try_into().unwrap_or(u16::MAX);
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(width)));
        }
    }
    table.trim_fmt()
}

/// Each row as lines of a name and a value, with an empty line between rows.
fn list(header: &[&str], rows: &[Vec<String>]) -> String {
    let widest = header.iter().map(|name| name.chars().count()).max().unwrap_or_default();
    let row = |row: &Vec<String>| {
        let lines = header.iter().zip(row).map(|(name, cell)| format!("{name:<widest$}  {cell}"));
        lines.map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
    };
    rows.iter().map(row).collect::<Vec<_>>().join("\n\n")
}

fn is_number(cell: &str) -> bool {
    cell.replace([',', ' ', '%'], "").parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_to_the_right_and_words_to_the_left() {
        let text = table(&["word", "number"], [vec!["a".to_owned(), "1".to_owned()]]);
        assert_eq!(text, "word  number\n─────────────\na          1");
    }

    #[test]
    fn on_a_narrow_terminal_words_take_the_next_line_and_none_is_broken() {
        let header = ["queue", "pending rows", "oldest"];
        let row = ["vitals", "1,234,567", "3 h"].map(str::to_owned).to_vec();
        let whole = table_within(Some(32), &header, [row.clone()]);
        assert_eq!(whole.lines().count(), 3, "{whole}");
        let text = table_within(Some(26), &header, [row]);
        let lines = [
            "queue     pending  oldest",
            "             rows",
            "──────────────────────────",
            "vitals  1,234,567  3 h",
        ];
        assert_eq!(text, lines.join("\n"));
    }

    #[test]
    fn where_words_do_not_fit_beside_each_other_rows_become_lists() {
        let rows = [["a", "1"], ["b", ""]].map(|row| row.map(str::to_owned).to_vec());
        let text = table_within(Some(8), &["what", "number"], rows);
        assert_eq!(text, "what    a\nnumber  1\n\nwhat    b\nnumber");
    }
}
