//! `worker status`.

use serde_json::Value;

use crate::cli::{SAMPLE, assert_narrow};
use crate::support::Database;
use crate::support::outside::assert_says;

#[tokio::test]
async fn status_shows_backlog_ages_states_and_runs_and_says_what_to_do() {
    let db = Database::new().await;
    let idle = db.run(&["status"]);
    assert_eq!((idle.code, idle.stderr.as_str()), (0, ""));
    assert_says(
        &idle.stdout,
        &["vitals", "nutrition", "labs", "Nothing is due.", "pool", "healthy"],
    );

    db.execute(SAMPLE).await;
    db.run_once();
    for _ in 0..5 {
        db.execute(SAMPLE).await;
    }
    db.execute(
        "WITH queued AS (SELECT id, row_number() OVER (ORDER BY id) AS nth FROM aggregation_queue)
         UPDATE aggregation_queue
         SET state = CASE nth WHEN 1 THEN 'dead' WHEN 2 THEN 'processing' ELSE 'pending' END,
             attempts = CASE nth WHEN 3 THEN 1 ELSE 0 END,
             not_before = CASE nth WHEN 1 THEN 'infinity' WHEN 3 THEN now() + interval '1 hour' ELSE not_before END,
             lease_expires_at = CASE nth WHEN 2 THEN now() - interval '1 hour' END,
             queued_at = now() - interval '3 hours'
         FROM queued WHERE queued.id = aggregation_queue.id;
         INSERT INTO rejected_rows (user_id, kind, raw_id, reason) VALUES (1, 'vitals', 1, 'test')",
    )
    .await;

    let status = db.run(&["status"]);
    assert_eq!((status.code, status.stderr.as_str()), (0, ""));
    assert_narrow(&status.stdout);
    let cells =
        |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ");
    let vitals = status.stdout.lines().find(|line| line.starts_with("vitals")).unwrap();
    assert_eq!(cells(vitals), "vitals 3 3 h 1 1 1 1 1");
    assert_says(
        &status.stdout,
        &[
            "2 rows are due",
            "1 row is backing off after a failure",
            "1 row is claimed by a worker that is gone",
            "1 row is dead",
            "Rejected rows",
            "run-once",
        ],
    );
}

/// The cells of the line that begins with this, with single spaces.
fn line_of(text: &str, beginning: &str) -> String {
    let line = text.lines().find(|line| line.starts_with(beginning));
    let line = line.unwrap_or_else(|| panic!("no {beginning}: {text}"));
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn status_never_says_that_nothing_is_due_while_rows_back_off_are_claimed_or_dead() {
    let db = Database::new().await;
    let mut batch = 0;
    for (state, not_before, lease, says) in [
        ("pending", "now() + interval '1 hour'", "NULL", "1 row is backing off after a failure"),
        ("processing", "now()", "now() + interval '1 hour'", "1 row is being processed."),
        ("processing", "now()", "now() - interval '1 hour'", "the lease has expired"),
        ("dead", "'infinity'", "NULL", "1 row is dead"),
    ] {
        batch += 1;
        db.execute(&format!(
            "DELETE FROM aggregation_queue;
             INSERT INTO aggregation_queue
                 (user_id, kind, starts_at, ends_at, raw_ids, state, not_before, lease_expires_at)
             VALUES (1, 'labs', '2024-05-01', '2024-05-01', ARRAY[{batch}], '{state}', {not_before}, {lease})"
        ))
        .await;
        let status = db.run(&["status"]).stdout;
        assert_says(&status, &[says]);
        assert!(!status.contains("Nothing is due"), "{status}");
    }
}

#[tokio::test]
async fn status_tells_rows_that_back_off_from_those_that_a_clock_that_was_ahead_has_dated() {
    let db = Database::new().await;
    db.execute(
        "INSERT INTO aggregation_queue
             (user_id, kind, starts_at, ends_at, raw_ids, state, queued_at, not_before, lease_expires_at)
         SELECT 1, 'labs', '2024-05-01', '2024-05-01', raw_ids, state, now() + queued, now() + turn, now() + lease
         FROM (VALUES
             (ARRAY[1, 2, 3], 'processing', interval '0', interval '0', interval '400 days'),
             (ARRAY[4, 5], 'pending', '400 days', '400 days', NULL),
             (ARRAY[6], 'pending', '0', '1 hour', NULL),
             (ARRAY[7], 'pending', '0', '0', NULL)) AS q (raw_ids, state, queued, turn, lease)",
    )
    .await;
    let status = db.run(&["status"]).stdout;
    let says = ["1 row is due", "1 row is backing off", "5 rows are dated in the future"];
    assert_says(&status, &says);
    let labs = &db.run(&["status", "--json"]).json()["kinds"]["labs"];
    let counts = ["pending", "due", "backing_off", "processing", "in_future"];
    assert_eq!(counts.map(|count| labs[count].as_i64().unwrap()), [4, 1, 1, 3, 5], "{labs}");
}

#[tokio::test]
async fn status_groups_failures_by_their_cause_with_counts_and_the_next_retry() {
    let db = Database::new().await;
    db.execute(
        "INSERT INTO aggregation_queue
             (user_id, kind, starts_at, ends_at, raw_ids, state, not_before, attempts, last_error)
         SELECT id, kind, '2024-05-01', '2024-05-01', ARRAY[id], state, not_before, 2, error
         FROM (VALUES
             (1, 'vitals', 'pending', now() + interval '150 seconds',
              'refused 23514 vitals_daily vitals_daily_mean_check'),
             (2, 'vitals', 'pending', now() + interval '1 hour',
              'refused 23514 vitals_daily vitals_daily_mean_check'),
             (3, 'vitals', 'dead', 'infinity', 'refused 23514 vitals_daily vitals_daily_mean_check'),
             (4, 'labs', 'dead', 'infinity', 'timeout'),
             (5, 'labs', 'pending', now(), 'database'))
             AS q (id, kind, state, not_before, error)",
    )
    .await;

    let status = db.run(&["status"]).stdout;

    let cause = "refused: 23514 vitals_daily vitals_daily_mean_check";
    assert_eq!(line_of(&status, "refused"), format!("{cause} vitals 3 1 in 2 min"));
    assert_eq!(line_of(&status, "timeout"), "timeout labs 1 1 never");
    assert_eq!(line_of(&status, "database"), "database labs 1 0 due now");
    let failures = db.run(&["status", "--json"]).json()["failures"].clone();
    let first = &failures[0];
    assert_eq!(
        (&first["class"], &first["rows"], &first["dead"]),
        (&"refused".into(), &3.into(), &1.into())
    );
    assert_eq!(first["detail"], "23514 vitals_daily vitals_daily_mean_check");
    assert!((100..=150).contains(&first["next_retry_seconds"].as_i64().unwrap()), "{first}");
    assert_eq!((&failures[2]["class"], &failures[2]["detail"]), (&"timeout".into(), &Value::Null));
}

#[tokio::test]
async fn status_lists_rejected_rows_by_reason_and_metric_but_no_name_that_it_does_not_know() {
    let db = Database::new().await;
    db.execute(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, metric, 9999, unit, 'watch', at, at
         FROM (VALUES ('heart_rate', 'bpm', 2), ('heart_rat', 'bpm', 3), ('hiv_antibody', 'count', 1))
                  AS v (metric, unit, rows),
              generate_series(1, rows) AS n,
              LATERAL (SELECT timestamptz '2024-05-01 10:00Z' + n * interval '1 minute' AS at) AS t",
    )
    .await;
    db.run_once();

    let status = db.run(&["status"]).stdout;

    let line = |metric: &str| {
        let lines = status.lines().filter(|line| line.contains(metric));
        let cells = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        lines.map(cells).collect::<Vec<_>>()
    };
    let unknown = [
        "unknown_metric vitals unknown metric, nearest: heart_rate 3",
        "unknown_metric vitals unknown metric 1",
    ];
    assert_eq!(line("unknown_metric"), unknown, "{status}");
    assert_eq!(line("implausible"), ["implausible_value vitals heart_rate 2"], "{status}");
    assert!(!status.contains("hiv") && !status.contains("heart_rat "), "{status}");
    let json = db.run(&["status", "--json"]);
    assert!(!json.stdout.contains("hiv"), "{json:?}");
    assert_eq!(json.json()["rejected"][0]["nearest_metric"], "heart_rate");
    assert_eq!(json.json()["rejected"][1]["metric"], "heart_rate");
}

#[tokio::test]
async fn status_as_json_carries_the_same() {
    let db = Database::new().await;
    db.execute(SAMPLE).await;
    db.run_once();
    db.execute(SAMPLE).await;

    let ran = db.run(&["status", "--json"]);

    assert_eq!((ran.code, ran.stdout.lines().count(), ran.stderr.as_str()), (0, 1, ""));
    let status = ran.json();
    let vitals = &status["kinds"]["vitals"];
    let counts = ["pending", "backing_off", "processing", "expired", "dead", "rejected"];
    let counts = counts.map(|field| vitals[field].as_i64());
    assert_eq!(counts, [Some(1), Some(0), Some(0), Some(0), Some(0), Some(0)]);
    assert!(vitals["oldest_pending_seconds"].as_f64().unwrap() >= 0.0);
    assert!(status["kinds"]["labs"]["oldest_pending_seconds"].is_null());
    let run = &status["runs"][0];
    assert_eq!((&run["command"], &run["rows_completed"]), (&"run-once".into(), &1.into()));
    for field in ["in_use", "idle", "open", "max", "waiting", "utilisation", "health"] {
        assert!(!status["pool"][field].is_null(), "pool.{field}");
    }
}
