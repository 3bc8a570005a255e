//! The units of the page: as reported, or as asked for.

use super::{between, page, table};
use crate::support::Database;
use crate::support::outside::assert_says;

const DAY: [&str; 4] = ["--from", "2024-05-01", "--to", "2024-05-02"];

async fn insert(db: &Database) {
    db.execute(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, metric, value, unit, 'app', at, at + length
         FROM (VALUES (timestamptz '2024-05-01 08:00Z'), ('2024-05-02 08:00Z')) AS days (at),
              (VALUES ('body_mass', 154.3, 'lb', interval '0'),
                      ('body_temperature', 98.6, '°F', '0'),
                      ('distance_walking_running', 5.2, 'km', '1 h'),
                      ('height', 180.34, 'cm', '0'),
                      ('blood_glucose', 10.0, 'mmol/L', '0')) AS v (metric, value, unit, length)",
    )
    .await;
    assert_eq!(db.run_once()["rows_failed"], 0);
}

fn with(options: &[&'static str]) -> Vec<&'static str> {
    [&DAY[..], options].concat()
}

#[tokio::test]
async fn figures_are_in_the_units_of_the_devices_unless_others_are_asked_for() {
    let db = Database::new().await;
    insert(&db).await;

    let reported = page(&db, "1", &DAY);
    assert_eq!(table(&reported, "Figures: body mass, lb")[0][1], "154.3");
    assert_eq!(table(&reported, "Figures: body temperature, °F")[0][1], "98.6");
    assert_eq!(table(&reported, "Figures: distance walking running, km")[0][0], "5.2");
    assert_eq!(table(&reported, "Figures: height, cm")[0][1], "180.3");
    assert_eq!(table(&reported, "Figures: glucose, mmol/L")[0][6], "10");
    assert_says(&reported, &["3.9 to 10.0 mmol/L", "Glucose, mean", "10.0 mmol/L"]);

    let us = page(&db, "1", &with(&["--units", "us"]));
    assert_eq!(table(&us, "Figures: body mass, lb")[0][1], "154.3");
    assert_eq!(table(&us, "Figures: distance walking running, mi")[0][0], "3.23");
    assert_eq!(table(&us, "Figures: height, in")[0][1], "71");
    assert_eq!(table(&us, "Figures: glucose, mg/dL")[0][6], "180.2");
    assert_says(&us, &["70 to 180 mg/dL"]);

    let metric = page(&db, "1", &with(&["--units", "metric", "--glucose-unit", "mg/dL"]));
    assert_eq!(table(&metric, "Figures: body mass, kg")[0][1], "70");
    assert_eq!(table(&metric, "Figures: body temperature, °C")[0][1], "37");
    assert_eq!(table(&metric, "Figures: distance walking running, km")[0][0], "5.2");
    assert_eq!(table(&metric, "Figures: glucose, mg/dL")[0][6], "180.2");

    let mixed = page(&db, "1", &with(&["--units", "us", "--glucose-unit", "mmol/L"]));
    assert_eq!(table(&mixed, "Figures: glucose, mmol/L")[0][6], "10");
    // The limit itself is in range, by the limits in its own unit, in whatever unit it is shown.
    for page in [&reported, &us, &metric, &mixed] {
        assert_eq!(table(page, "Figures: glucose, m")[0][3], "100");
    }
}

#[tokio::test]
async fn a_chart_of_results_is_in_the_unit_of_the_laboratory() {
    let db = Database::new().await;
    db.execute(
        "INSERT INTO lab_raw (user_id, test_name, loinc_code, value_text, unit, reference_range,
                              status, collected_at, source)
         VALUES (1, 'Creatinine', '2160-0', '80', 'µmol/L', '60-110', 'final', '2024-05-01 08:00Z', 'lab'),
                (1, 'Creatinine', '2160-0', '130', 'µmol/L', '60-110', 'final', '2024-05-02 08:00Z', 'lab')",
    )
    .await;
    db.run_once();

    for options in [&[][..], &["--units", "us"]] {
        let page = page(&db, "1", &with(options));
        let chart = between(&page, "<strong>Creatinine</strong>", "</figure>");
        assert_says(chart, &[", µmol/L", "130 µmol/L", ">60<", ">140<"]);
        let labs = between(&page, "<table class=\"labs\">", "</table>");
        assert_says(labs, &[">80<br>", "= 0.905 mg/dL", "H ▲ above"]);
    }
}
