//! Tables and durations for people.

use comfy_table::{CellAlignment, Table, TableComponent, presets};

/// A table with a header; columns of numbers are set to the right.
pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let rows: Vec<Vec<String>> = rows.into_iter().collect();
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
    for index in to_the_right {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}

fn is_number(cell: &str) -> bool {
    cell.replace([',', ' ', '%'], "").parse::<f64>().is_ok()
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
        assert!(text.lines().any(|line| line == " a           1 "), "{text}");
    }
}
