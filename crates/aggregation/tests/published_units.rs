//! The part of published lists of units that is accepted; the table in `docs/units.md` is generated
//! here.

#![expect(clippy::unwrap_used, reason = "clippy takes only functions marked #[test] for tests")]

use aggregation::catalogue::Catalogue;

const LISTS: &str = include_str!("data/units.tsv");
const DOCUMENT: &str = include_str!("../../../docs/units.md");

/// Whether the unit converts for a metric, or for the analyte of a LOINC code. For a list of
/// neither (`-`), whether it is read as a UCUM code.
fn is_accepted(catalogue: &Catalogue, of: &str, unit: &str) -> bool {
    let analytes = catalogue.analytes();
    if of == "-" {
        return octofhir_ucum::validate(&analytes.unit_code(unit)).is_ok();
    }
    match catalogue.metric(of) {
        Some(metric) => metric.conversion_from(unit).is_some(),
        None => analytes.find(Some(of), "").unwrap().step_from(unit).is_some(),
    }
}

/// The table, with a row for each list.
fn table() -> String {
    let catalogue = Catalogue::built_in().unwrap();
    let mut table =
        "| list | from | units | accepted | not accepted |\n|---|---|---|---|---|\n".to_owned();
    for list in LISTS.split("# ").filter(|list| !list.is_empty()) {
        let mut lines = list.lines();
        let (name, source) = lines.next().unwrap().split_once('\t').unwrap();
        let units: Vec<(&str, &str)> = lines.map(|line| line.split_once('\t').unwrap()).collect();
        let refused: Vec<String> = units
            .iter()
            .filter(|(of, unit)| !is_accepted(&catalogue, of, unit))
            .map(|(_, unit)| format!("`{unit}`"))
            .collect();
        let accepted = units.len() - refused.len();
        let percent = 100 * accepted / units.len();
        table += &format!(
            "| {name} | {source} | {} | {accepted} ({percent} %) | {} |\n",
            units.len(),
            refused.join(" ")
        );
    }
    table
}

#[test]
fn the_document_has_the_accepted_share_of_each_published_list() {
    let table = table();
    assert!(DOCUMENT.contains(&table), "docs/units.md needs this table:\n\n{table}");
}

#[test]
fn a_code_of_ucum_is_read_as_itself_but_for_three_everyday_aliases() {
    let catalogue = Catalogue::built_in().unwrap();
    let is_same = |code: &str| {
        let read = catalogue.analytes().unit_code(code);
        [1.0, 2.0].iter().all(|value| {
            let converted = octofhir_ucum::convert(*value, code, &read);
            converted.is_ok_and(|converted| (converted / value - 1.0).abs() < 1e-12)
        })
    };
    let units = octofhir_ucum::get_all_units().iter().map(|unit| unit.code);
    let others: Vec<&str> = units.filter(|code| !is_same(code)).collect();
    // Degrees Celsius and Fahrenheit, and the stone: coulomb, farad and stere are no units of
    // health data.
    assert_eq!(others, ["C", "F", "st"]);
}
