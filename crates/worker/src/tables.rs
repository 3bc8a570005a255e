//! Tables and durations for people.

use comfy_table::{
    CellAlignment, ColumnConstraint, ContentArrangement, Table, TableComponent, Width, presets,
};

use crate::terminal;

/// Between two columns: the space behind each, and one in place of the line.
const GAP: usize = 2;

/// A table with a header, its columns two spaces apart so that it fits a terminal of 80
/// columns; columns of numbers are set to the right.
///
/// On a narrower terminal, cells of several words take several lines. Where not even single words
/// fit beside each other, each row becomes a list of its cells.
pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    table_within(terminal::columns().map(usize::from), header, rows)
}

/// The same within so many columns; as wide as its cells where none are given.
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
    // The line below the header has the space behind the last column, too.
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

/// A whole number with a comma at every third digit.
pub fn thousands(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = if number < 0 { "-".to_owned() } else { String::new() };
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many of something, in words: `1 row`, `2,000 rows`.
pub fn counted(number: i64, one: &str, several: &str) -> String {
    format!("{} {}", thousands(number), if number == 1 { one } else { several })
}

/// A duration in seconds as a person would say it.
pub fn age(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    match whole {
        0..10 => format!("{:.1} s", seconds.max(0.0)),
        10..120 => format!("{whole} s"),
        120..7200 => format!("{} min", whole / 60),
        7200..172_800 => format!("{} h", whole / 3600),
        _ => format!("{} days", whole / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_said_in_the_unit_that_fits() {
        let said = [0.04, 9.96, 59.0, 150.0, 10_000.0, 1e6].map(age);
        assert_eq!(said, ["0.0 s", "10.0 s", "59 s", "2 min", "2 h", "11 days"]);
    }

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

    #[test]
    fn thousands_are_separated() {
        let written = [0, 999, 1000, 1_234_567, -1_234].map(thousands);
        assert_eq!(written, ["0", "999", "1,000", "1,234,567", "-1,234"]);
    }

    #[test]
    fn things_are_counted_in_words() {
        assert_eq!(counted(1, "row", "rows"), "1 row");
        assert_eq!(counted(2_000, "row", "rows"), "2,000 rows");
    }
}
