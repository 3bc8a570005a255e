//! Weeks and months: the cost of a query, and the same figures as by the former definitions.

use serde_json::Value;

use crate::support::Database;

const VIEWS: [(&str, &str); 6] = [
    ("vitals", "metric"),
    ("lab", "analyte"),
    ("nutrition", ""),
    ("sleep", ""),
    ("blood_pressure", ""),
    ("glucose", ""),
];

const PERIODS: [&str; 2] = ["week", "month"];

/// Days of these users in a table, written in random order, with all that its columns can hold.
/// Figures that may be unknown are sometimes NULL, and some are tiny or huge.
async fn fill(db: &Database, table: &str, key: &str, users: &str) {
    let columns = db
        .query(
            "SELECT column_name::text, data_type::text, is_nullable = 'YES'
             FROM information_schema.columns
             WHERE table_name = $1 || '_daily' AND table_schema = 'public' ORDER BY ordinal_position",
            &[&table],
        )
        .await;
    let of_column = |name: &str, of_type: &str| match (name, of_type) {
        ("user_id", _) => "u".to_owned(),
        ("local_date", _) => "day".to_owned(),
        (name, _) if name == key => "'key ' || k::text".to_owned(),
        ("unit", _) => "CASE WHEN k = 2 AND random() < 0.3 THEN 'other' ELSE 'unit' END".to_owned(),
        ("last_flag" | "worst_flag", _) => {
            "(ARRAY['HH', 'LL', 'H', 'L', 'N'])[1 + floor(random() * 5)]".to_owned()
        }
        ("worst_category", _) => {
            "(ARRAY['normal', 'elevated', 'stage_1', 'stage_2', 'severe'])[1 + floor(random() * 5)]"
                .to_owned()
        }
        ("sample_count", _) => "1 + floor(random() * 5)::int".to_owned(),
        (_, "double precision") => {
            "CASE WHEN random() < 0.03 THEN 1e-200 WHEN random() < 0.03 THEN 1e100
                                         ELSE 200 * random() END"
                .to_owned()
        }
        (_, "integer" | "bigint") => "floor(random() * 5)::int".to_owned(),
        (_, "timestamp with time zone") => "day + random() * interval '2 days'".to_owned(),
        (_, "boolean") => "random() < 0.1".to_owned(),
        (_, "jsonb") => "'{}'::jsonb".to_owned(),
        (_, "text") => "md5(random()::text)".to_owned(),
        other => panic!("a column {other:?}"),
    };
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for column in &columns {
        let (name, of_type): (String, String) = (column.get(0), column.get(1));
        let value = of_column(&name, &of_type);
        values.push(match column.get(2) {
            true => format!("CASE WHEN random() < 0.9 THEN {value} END"),
            false => value,
        });
        names.push(name);
    }
    let keys = if key.is_empty() { 1 } else { 3 };
    db.execute(&format!(
        "SELECT setseed(0.25);
         INSERT INTO {table}_daily ({})
         SELECT {}
         FROM (SELECT u, date '2023-12-20' + d AS day, k
               FROM {users} AS u, generate_series(0, 49) AS d, generate_series(1, {keys}) AS k
               WHERE random() < 0.8 ORDER BY random()) AS days;
         ANALYZE {table}_daily",
        names.join(", "),
        values.join(", "),
    ))
    .await;
}

/// The rows that a query reads from tables.
async fn rows_read(db: &Database, sql: &str) -> u64 {
    fn of_node(node: &Value) -> u64 {
        let number = |name: &str| node[name].as_f64().unwrap_or_default();
        let own = match node.get("Relation Name") {
            Some(_) => {
                (number("Actual Rows") + number("Rows Removed by Filter")) * number("Actual Loops")
            }
            None => 0.0,
        };
        let parts = node["Plans"].as_array().into_iter().flatten();
        own as u64 + parts.map(of_node).sum::<u64>()
    }
    // The client cannot read the type json.
    db.execute(
        "CREATE OR REPLACE FUNCTION explained(query text) RETURNS text LANGUAGE plpgsql AS $$
             DECLARE plan json;
             BEGIN
                 EXECUTE 'EXPLAIN (ANALYZE, FORMAT JSON) ' || query INTO plan;
                 RETURN plan;
             END $$",
    )
    .await;
    let rows = db.query("SELECT explained($1)", &[&sql]).await;
    let explained: Value = serde_json::from_str(rows[0].get(0)).unwrap();
    of_node(&explained[0]["Plan"])
}

#[tokio::test]
async fn a_users_week_or_month_reads_that_users_days_however_many_others_there_are() {
    let db = Database::new().await;
    for (table, key) in VIEWS {
        fill(&db, table, key, "generate_series(1, 5)").await;
        let of_user = format!("SELECT count(*) FROM {table}_daily WHERE user_id = 3");
        let days: i64 = db.value(&of_user).await;
        // A small table is read whole, because that is quick. The index has to be usable.
        db.execute("SET enable_seqscan = off").await;
        for others in ["generate_series(6, 7)", "generate_series(8, 60)"] {
            for period in PERIODS {
                let asked = format!(
                    "SELECT * FROM {table}_{period}ly
                     WHERE user_id = 3 AND {period}_start BETWEEN '2024-01-01' AND '2024-01-07'"
                );
                let read = rows_read(&db, &asked).await;
                assert_eq!(read, days as u64, "{table}_{period}ly");
                if !key.is_empty() {
                    let of_key = rows_read(&db, &format!("{asked} AND {key} = 'key 2'")).await;
                    assert!(of_key < read / 2, "{table}_{period}ly of a {key}: {of_key} rows");
                }
            }
            fill(&db, table, key, others).await;
        }
    }
}

#[tokio::test]
async fn all_weeks_and_months_are_computed_with_one_reading_of_the_days() {
    let db = Database::new().await;
    for (table, key) in VIEWS {
        fill(&db, table, key, "generate_series(1, 20)").await;
        let days: i64 = db.value(&format!("SELECT count(*) FROM {table}_daily")).await;
        for period in PERIODS {
            let read = rows_read(&db, &format!("SELECT * FROM {table}_{period}ly")).await;
            assert_eq!(read, days as u64, "{table}_{period}ly");
        }
    }
}

/// Every row of every view. A sufficiency that is not known was false by the former definitions.
async fn periods(db: &Database) -> Vec<String> {
    let mut rows = Vec::new();
    for (table, _) in VIEWS {
        for period in PERIODS {
            let sql = format!(
                "SELECT (to_jsonb(v) || jsonb_strip_nulls(jsonb_build_object('is_sufficient',
                             coalesce((to_jsonb(v) ->> 'is_sufficient')::boolean, false))))::text
                 FROM {table}_{period}ly AS v"
            );
            let of_view = db.query(&sql, &[]).await;
            assert!(of_view.len() > 20, "{table}_{period}ly");
            rows.extend(of_view.iter().map(|row| format!("{table} {}", row.get::<_, String>(0))));
        }
    }
    rows.sort();
    rows
}

#[tokio::test]
async fn weeks_and_months_are_to_the_last_bit_those_of_the_former_definitions() {
    const FORMER: &str =
        include_str!("../../migrations/2026-11-30-000019_periods_by_user/down.sql");
    let db = Database::new().await;
    for (table, key) in VIEWS {
        fill(&db, table, key, "generate_series(1, 12)").await;
    }
    let now = periods(&db).await;
    db.execute(FORMER).await;
    let before = periods(&db).await;
    assert_eq!(crate::support::tables::difference(&now, &before), None);
}

#[tokio::test]
async fn the_figures_of_a_user_are_the_same_alone_and_among_all() {
    let db = Database::new().await;
    for (table, key) in VIEWS {
        fill(&db, table, key, "generate_series(1, 9)").await;
        for period in PERIODS {
            let different: i64 = db
                .value(&format!(
                    "WITH everybody AS MATERIALIZED (SELECT * FROM {table}_{period}ly)
                     SELECT count(*)
                     FROM (SELECT v::text FROM {table}_{period}ly AS v WHERE user_id = 4
                           EXCEPT ALL SELECT v::text FROM everybody AS v WHERE user_id = 4) AS d"
                ))
                .await;
            assert_eq!(different, 0, "{table}_{period}ly");
        }
    }
}

#[tokio::test]
async fn the_worst_flag_of_a_week_ranks_an_abnormal_one_between_low_and_normal() {
    let db = Database::new().await;
    fill(&db, "lab", "analyte", "generate_series(1, 1)").await;
    db.execute(
        "DELETE FROM lab_daily WHERE (analyte, local_date) NOT IN
             (SELECT analyte, local_date FROM lab_daily
              WHERE analyte = 'key 1' AND local_date BETWEEN '2024-01-01' AND '2024-01-07'
              ORDER BY local_date LIMIT 3)",
    )
    .await;
    for (flags, worst) in [
        ("N A N", Some("A")),
        ("A L N", Some("L")),
        ("H A L", Some("L")),
        ("LL HH A", Some("HH")),
        ("- N -", Some("N")),
        ("- - -", None),
    ] {
        db.execute(&format!(
            "UPDATE lab_daily AS d
             SET last_at = d.local_date, worst_flag = nullif(split_part('{flags}', ' ', place::int), '-')
             FROM (SELECT local_date, row_number() OVER (ORDER BY local_date) AS place FROM lab_daily) AS p
             WHERE p.local_date = d.local_date"
        ))
        .await;
        let found: Option<String> = db.value("SELECT worst_flag FROM lab_weekly").await;
        assert_eq!(found.as_deref(), worst, "{flags}");
    }
}

#[tokio::test]
async fn a_week_without_any_coverage_says_neither_that_it_suffices_nor_that_it_does_not() {
    let db = Database::new().await;
    fill(&db, "glucose", "", "generate_series(1, 1)").await;
    let sufficient = "SELECT is_sufficient FROM glucose_weekly WHERE week_start = '2024-01-01'";
    for (coverage, expected) in [("100", Some(true)), ("50", Some(false)), ("NULL", None)] {
        let set = "UPDATE glucose_daily SET local_date = local_date";
        db.execute(&format!("{set}, coverage_percent = {coverage}")).await;
        db.execute(
            "INSERT INTO glucose_daily
             SELECT (jsonb_populate_record(NULL::glucose_daily, to_jsonb(g) || jsonb_build_object('local_date', day::date))).*
             FROM (SELECT * FROM glucose_daily LIMIT 1) AS g,
                  generate_series(date '2024-01-01', '2024-01-07', interval '1 day') AS day
             ON CONFLICT DO NOTHING",
        )
        .await;
        assert_eq!(db.value::<Option<bool>>(sufficient).await, expected, "{coverage}");
    }
}
