//! What has changed, in words and numbers.

use super::{between, page};
use crate::support::Database;

/// The text of the summary's entry.
fn said<'p>(page: &'p str, name: &str) -> &'p str {
    between(page, &format!("<span class=\"name\">{name}</span>"), "</li>")
}

#[tokio::test]
async fn more_less_unchanged_and_too_few_are_said_in_words() {
    let db = Database::new().await;
    // Monday 6 May to Sunday 19 May: in the second week 6,000 steps instead of 5,000, and so on.
    db.execute(
        "INSERT INTO user_profiles VALUES (1, 'Europe/Berlin', '{}');
         INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, metric, CASE WHEN day < 7 THEN before ELSE now END, unit, 'watch',
                timestamptz '2024-05-06 09:00+02' + day * interval '1 day',
                timestamptz '2024-05-06 09:00+02' + day * interval '1 day' + length
         FROM generate_series(0, 13) AS days (day),
              (VALUES ('steps', 5000, 6000, 'steps', interval '1 h'),
                      ('resting_heart_rate', 60.5, 58.25, 'bpm', '0'),
                      ('body_mass', 70.04, 70.01, 'kg', '0'),
                      ('blood_pressure_systolic', 121, 124, 'mmHg', '0'),
                      ('blood_pressure_diastolic', 80, 79, 'mmHg', '0'),
                      ('sleep_asleep', 1, 1, 'min', '7 h'))
                  AS v (metric, before, now, unit, length);
         INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, 'heart_rate_variability_sdnn', 40, 'ms', 'watch', at, at
         FROM generate_series(timestamptz '2024-05-14 09:00+02', '2024-05-16 09:00+02', '1 day') AS t (at);
         INSERT INTO lab_raw (user_id, test_name, loinc_code, value_text, unit, reference_range, status,
                              collected_at, source)
         VALUES (1, 'Potassium', '2823-3', '5.3', 'mmol/L', '3.5-5.1', 'final', '2024-05-14 08:00Z', 'lab'),
                (1, 'Sodium', '2951-2', '140', 'mmol/L', '136-145', 'final', '2024-05-14 08:00Z', 'lab')",
    )
    .await;
    assert_eq!(db.run_once()["rows_failed"], 0);

    let week = page(&db, "1", &["--period", "week", "--on", "2024-05-15"]);

    let change = |name: &str| said(&week, name).to_owned();
    let is = |name: &str, now: &str, words: &str| {
        let said = change(name);
        assert!(said.contains(&format!("<strong class=\"now\">{now}</strong>")), "{name}: {said}");
        assert!(said.contains(words), "{name}: {said}");
    };
    is("Steps", "6,000 a day", "▲ 1,000 more (20 %), before 5,000");
    is("Resting heart rate", "58.2 per minute", "▼ 2.3 lower, before 60.5");
    is("Body mass", "70.0 kg", "= unchanged, before 70.0");
    is("Blood pressure", "124/79 mmHg", "systolic ▲ 3 higher, before 121");
    is("Blood pressure", "124/79 mmHg", "diastolic ▼ 1 lower, before 80");
    is("Sleep", "7 h 00 min a night", "= unchanged, before 7 h 00 min");
    is(
        "Heart rate variability SDNN",
        "40.0 ms",
        "too little data to compare: figures on 3 of 7 days, before on 0 of 7",
    );
    assert!(week.contains("Compared with the week before, 6 May 2024 to 12 May 2024."));
    assert!(week.contains("2 tests, 1 flagged by the laboratory or by the range"), "flags");
    assert!(week.contains("Potassium H ▲."));

    // The range of the same days is compared with as many days.
    let range = page(&db, "1", &["--from", "2024-05-13", "--to", "2024-05-19"]);
    assert!(range.contains("Compared with the 7 days before, 6 May 2024 to 12 May 2024."));
    assert_eq!(said(&range, "Steps"), said(&week, "Steps"));
    // A month with 14 of its 31 days.
    let month = page(&db, "1", &["--period", "month"]);
    assert!(said(&month, "Steps").contains("too little data"), "{}", said(&month, "Steps"));
}
