//! `requeue` and `status --watch`.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use super::QUEUED;
use crate::support::outside::{assert_says, signal};
use crate::support::samples::{assert_all_done, insert_samples};
use crate::support::terminal::answering;
use crate::support::{Database, Ran};

async fn kill_all_rows(db: &Database) {
    db.execute(
        "UPDATE aggregation_queue
         SET state = 'dead', not_before = 'infinity', attempts = 5, last_error = 'timeout'",
    )
    .await;
}

#[tokio::test]
async fn dead_rows_get_their_attempts_back() {
    let db = Database::new().await;
    insert_samples(&db, 3, 5).await;
    kill_all_rows(&db).await;
    assert_eq!(db.run_once()["rows_claimed"], 0);
    assert_says(&db.run(&["status"]).stdout, &["15 rows are dead", "worker requeue --dead"]);

    let some = db.run(&["requeue", "--dead", "--user", "2", "--json"]);
    assert_eq!(some.code, 0, "{some:?}");
    assert_eq!(some.json()["requeued"]["vitals"], 5);
    assert_eq!(db.run_once()["rows_completed"], 5);

    let rest = db.run(&["requeue", "--dead"]);
    assert_says(&rest.stdout, &["Queued again: 10 dead rows (10 of vitals)"]);
    assert_eq!(db.run_once()["rows_completed"], 10);
    assert_says(&db.run(&["requeue", "--dead"]).stdout, &["There is no such dead row."]);
    assert_all_done(&db).await;
}

#[tokio::test]
async fn requeue_counts_and_asks_at_a_terminal_and_a_script_is_not_asked() {
    let db = Database::new().await;
    insert_samples(&db, 3, 5).await;
    kill_all_rows(&db).await;
    let requeue = |more: &[&str], answer: &str| {
        answering(db.worker().args(["requeue", "--dead"]).args(more), answer)
    };
    let dead =
        "SELECT coalesce(sum(cardinality(raw_ids)), 0) FROM aggregation_queue WHERE state = 'dead'";

    let ran = db.run(&["requeue", "--dead", "--dry-run"]);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (0, "Would queue 15 dead rows (15 of vitals) again. Nothing was changed.\n")
    );
    let json = db.run(&["requeue", "--dead", "--dry-run", "--json"]).json();
    assert_eq!(json["would_requeue"]["vitals"], 15);
    for no in ["n\n", "\n", "perhaps\n", "\u{4}"] {
        let (code, shown) = requeue(&["--user", "1"], no);
        assert_eq!(code, 130, "{shown}");
        assert_says(
            &shown,
            &[
                "This queues 5 dead rows (5 of vitals) again. Continue? [y/N]",
                "Nothing was changed.",
            ],
        );
    }
    assert_eq!(db.value::<i64>(dead).await, 15);

    let (code, shown) = requeue(&["--user", "1"], "y\n");
    assert_eq!(code, 0, "{shown}");
    assert_says(&shown, &["Queued again: 5 dead rows (5 of vitals)"]);
    let (code, shown) = requeue(&["--user", "2", "--yes"], "");
    assert!(code == 0 && !shown.contains("[y/N]"), "{shown}");
    assert_eq!(db.value::<i64>(dead).await, 5);
    assert_eq!(db.run(&["requeue", "--dead"]).code, 0);
    let (code, shown) = requeue(&[], "");
    assert!(code == 0 && !shown.contains("[y/N]"), "there is nothing to ask: {shown}");
}

#[tokio::test]
async fn requeue_counts_raw_rows_of_the_days_that_were_asked_for() {
    let db = Database::new().await;
    insert_samples(&db, 2, 5).await;
    db.run_once();
    let of_day = ["requeue", "--from", "2024-05-01", "--to", "2024-05-01", "--dry-run", "--json"];
    assert_eq!(db.run(&of_day).json()["would_requeue"]["vitals"], 10);
    let other = ["requeue", "--from", "2024-06-01", "--to", "2024-06-02", "--dry-run"];
    assert_says(&db.run(&other).stdout, &["Would queue 0 rows again."]);
    assert_eq!(db.value::<i64>(QUEUED).await, 0);
}

#[tokio::test]
async fn a_users_rows_are_computed_anew_under_a_changed_profile() {
    let db = Database::new().await;
    db.execute("INSERT INTO user_profiles (user_id, time_zone) VALUES (1, 'UTC'), (2, 'UTC')")
        .await;
    db.execute(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT u, 'heart_rate', 60, 'bpm', 'watch', at, at
         FROM generate_series(1, 2) AS u, unnest(ARRAY[
             timestamptz '2024-05-01 12:00Z', '2024-05-01 23:30Z', '2024-05-02 12:00Z']) AS at",
    )
    .await;
    db.run_once();
    db.execute("UPDATE user_profiles SET time_zone = 'Europe/Berlin'").await;

    let ran = db.run(&["requeue", "--user", "1", "--json"]);
    assert_eq!(ran.json()["requeued"]["vitals"], 3, "{ran:?}");
    db.run_once();

    let counts = |user: i64| {
        format!(
            "SELECT string_agg(sample_count::text, ' ' ORDER BY local_date)
             FROM vitals_daily WHERE user_id = {user}"
        )
    };
    assert_eq!(db.value::<String>(&counts(1)).await, "1 2", "23:30 UTC is the next day in Berlin");
    assert_eq!(db.value::<String>(&counts(2)).await, "2 1");
}

#[tokio::test]
async fn days_are_local_days_wherever_the_user_is() {
    let db = Database::new().await;
    // 2 May on Kiritimati begins at 10:00 UTC of 1 May, and ends on Niue at 11:00 UTC of 3 May.
    db.execute(
        "INSERT INTO vitals_raw
             (user_id, metric, value, unit, source, started_at, ended_at, time_zone)
         SELECT 1, 'heart_rate', 60, 'bpm', 'watch', at, at, zone
         FROM (VALUES (timestamptz '2024-05-01 10:00Z', 'Pacific/Kiritimati'),
                      ('2024-05-03 10:59Z', 'Pacific/Niue'),
                      ('2024-04-28 12:00Z', 'UTC'), ('2024-05-06 12:00Z', 'UTC')) AS r (at, zone);
         INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         VALUES (1, 'steps', 10, 'count', 'watch', '2024-04-30 12:00Z', '2024-05-02 01:00Z');
         DELETE FROM aggregation_queue",
    )
    .await;

    let ran = db.run(&["requeue", "--from", "2024-05-02", "--to", "2024-05-02", "--json"]);

    assert_eq!(ran.json()["requeued"]["vitals"], 3, "{ran:?}");
    db.run_once();
    let day = "SELECT count(*) FROM vitals_daily
               WHERE local_date = '2024-05-02' AND metric = 'heart_rate'";
    assert_eq!(db.value::<i64>(day).await, 1);
    let samples = "SELECT sample_count::bigint FROM vitals_daily
                   WHERE local_date = '2024-05-02' AND metric = 'heart_rate'";
    assert_eq!(db.value::<i64>(samples).await, 2);
}

#[tokio::test]
async fn more_rows_than_one_step_looks_at_are_all_requeued() {
    let db = Database::new().await;
    db.execute(
        "INSERT INTO nutrition_raw (user_id, food_name, meal_type, eaten_at, source, energy_kcal)
         SELECT r % 7, 'soup', 'dinner', timestamptz '2024-05-01 10:00Z' + r * interval '1 s',
                'app', 100
         FROM generate_series(1, 25000) AS r;
         DELETE FROM aggregation_queue",
    )
    .await;
    let ran = db.run(&["requeue", "--kind", "nutrition", "--json"]);
    assert_eq!(ran.json()["requeued"]["nutrition"], 25_000);
    assert_eq!(db.value::<i64>(QUEUED).await, 25_000);
}

/// Heart rates of user 1, one an hour for 60 hours from 10:00 UTC on 2024-05-01, by one statement: change sets
/// of 50 and of 10 rows.
const HOURS: &str = "
    INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
    SELECT 1, 'heart_rate', 60, 'bpm', 'watch', at, at
    FROM generate_series(0, 59) AS n,
         LATERAL (SELECT timestamptz '2024-05-01 10:00Z' + n * interval '1 hour' AS at) AS t";

#[tokio::test]
async fn requeue_packs_rows_as_the_triggers_do() {
    let db = Database::new().await;
    db.execute(HOURS).await;
    let sets = "SELECT string_agg(concat_ws(' ', user_id, metric, starts_at, ends_at, raw_ids, row_starts), '; '
                                  ORDER BY starts_at) FROM aggregation_queue";
    let by_trigger: String = db.value(sets).await;
    db.execute("DELETE FROM aggregation_queue").await;

    assert_eq!(
        db.run(&["requeue", "--kind", "vitals", "--dry-run", "--json"]).json()["would_requeue"]["vitals"],
        60
    );
    assert_eq!(db.value::<i64>(QUEUED).await, 0);
    assert_eq!(db.run(&["requeue", "--kind", "vitals", "--json"]).json()["requeued"]["vitals"], 60);

    assert_eq!(db.value::<String>(sets).await, by_trigger);
}

#[tokio::test]
async fn a_dead_set_that_touches_the_days_asked_for_is_requeued_with_all_its_rows() {
    let db = Database::new().await;
    db.execute(HOURS).await;
    kill_all_rows(&db).await;
    let first = ["requeue", "--dead", "--from", "2024-05-01", "--to", "2024-05-01", "--json"];

    let counted = db.run(&[&first[..], &["--dry-run"]].concat()).json();
    let requeued = db.run(&first).json();

    assert_eq!(
        (&counted["would_requeue"]["vitals"], &requeued["requeued"]["vitals"]),
        (&50.into(), &50.into())
    );
    assert_eq!(db.run_once()["rows_completed"], 50);
    let dead = "SELECT count(*) FROM raw_row_status WHERE status = 'dead'";
    assert_eq!(db.value::<i64>(dead).await, 10);
}

#[tokio::test]
async fn users_and_rows_with_extreme_numbers_are_requeued_too() {
    let db = Database::new().await;
    db.execute(
        "INSERT INTO vitals_raw (user_id, id, metric, value, unit, source, started_at, ended_at)
         SELECT user_id, id, 'heart_rate', 60, 'bpm', 'watch', '2024-05-01', '2024-05-01'
         FROM unnest(ARRAY[-9223372036854775808, -1, 9223372036854775807]) AS user_id,
              unnest(ARRAY[-9223372036854775807, 9223372036854775807]) AS id;
         DELETE FROM aggregation_queue",
    )
    .await;
    let all = db.run(&["requeue", "--kind", "vitals", "--json"]);
    assert_eq!(all.json()["requeued"]["vitals"], 6);
    for user in ["-9223372036854775808", "-1", "9223372036854775807"] {
        let one = db.run(&["requeue", "--user", user, "--json"]);
        assert_eq!(one.json()["requeued"]["vitals"], 2, "{user}");
    }
}

#[tokio::test]
async fn a_watched_status_whose_reader_goes_away_ends() {
    let db = Database::new().await;
    let mut command = db.worker();
    command.args(["status", "--watch=0.05", "--json"]).stdout(Stdio::piped());
    let mut watching = command.spawn().unwrap();
    drop(watching.stdout.take());
    assert_eq!(watching.wait().unwrap().code(), Some(0));
}

#[test]
fn requeue_wants_to_know_what() {
    let wrong: [(&[&str], &str); 5] = [
        (&["requeue", "--from=-9999-01-01", "--to", "2024-05-01"], "a date such as 2026-03-29"),
        (&["requeue"], "--dead"),
        (&["requeue", "--from", "2024-05-02"], "--to"),
        (&["requeue", "--from", "2024-05-02", "--to", "2024-05-01"], "is later than"),
        (&["requeue", "--from", "yesterday", "--to", "2024-05-01"], "yesterday"),
    ];
    for (arguments, why) in wrong {
        let ran = Ran::of(crate::support::worker_at("").args(arguments).output().unwrap());
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments:?}: {ran:?}");
        assert_says(&ran.stderr, &[why]);
    }
}

#[tokio::test]
async fn status_is_shown_again_and_again_until_asked_to_stop() {
    let db = Database::new().await;
    let mut command = db.worker();
    command.args(["status", "--watch=0.1", "--json"]).stdout(Stdio::piped());
    let mut watching = command.spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let mut pending = || {
        let status: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        status["kinds"]["vitals"]["pending"].clone()
    };
    assert_eq!(pending(), 0);
    insert_samples(&db, 2, 5).await;
    while pending() != 10 {}

    signal("INT", watching.id().into());
    assert_eq!(watching.wait().unwrap().code(), Some(0));
}
