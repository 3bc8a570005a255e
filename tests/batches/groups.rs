//! Each group is a transaction of its own: held for a moment, committed or rolled back alone.

use super::{Running, UserLock, assert_all_done, insert_samples, number, run, waiting};
use crate::support::{Database, Ran};

/// One row more for another user than the one who fails.
const CORRECTION: &str = "UPDATE vitals_raw SET value = value + 1 WHERE user_id = 1 AND started_at = '2024-05-01 10:01Z'";

/// Refuses the figures of one user, quoting what a log must not.
async fn refuse_user(db: &Database, user_id: i64) {
    db.execute(&format!(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             RAISE EXCEPTION 'the mean of 71.5 bpm is private' USING DETAIL = NEW::text;
         END $$;
         CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON vitals_daily
             FOR EACH ROW WHEN (NEW.user_id = {user_id}) EXECUTE FUNCTION refuse();"
    ))
    .await;
}

async fn attempts_of(db: &Database, user_id: i64) -> (i64, String, i32, f64, String) {
    let rows = db
        .query(
            "SELECT sum(cardinality(raw_ids)), state, attempts,
                    min(extract(epoch FROM nullif(not_before, 'infinity') - clock_timestamp()))::float8,
                    last_error
             FROM aggregation_queue WHERE user_id = $1 GROUP BY 2, 3, 5",
            &[&user_id],
        )
        .await;
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    let wait: Option<f64> = row.get(3);
    (row.get(0), row.get(1), row.get(2), wait.unwrap_or(f64::INFINITY), row.get(4))
}

async fn make_due(db: &Database) {
    db.execute("UPDATE aggregation_queue SET not_before = now() WHERE state = 'pending'").await;
}

fn assert_discreet(ran: &Ran) {
    for text in [&ran.stdout, &ran.stderr] {
        assert!(!text.contains("71.5") && !text.contains("private"), "{text}");
    }
}

#[tokio::test]
async fn a_failing_group_backs_off_dies_and_comes_back_without_harming_others() {
    let db = Database::new().await;
    insert_samples(&db, 3, 5).await;
    refuse_user(&db, 2).await;
    let settings =
        [("WORKER__BATCH__MAX_ATTEMPTS", "3"), ("WORKER__BATCH__BACKOFF_FIRST_SECONDS", "100")];

    let first = run(&db, &settings);

    assert_eq!(first.code, 3, "{}", first.stderr);
    assert_discreet(&first);
    assert_eq!(
        (&first.json()["groups_committed"], &first.json()["groups_failed"]),
        (&2.into(), &1.into())
    );
    assert_eq!(first.json()["rows_failed"], 5);
    let failure = &first.events("group_failed")[0];
    assert_eq!((&failure["user_id"], &failure["class"]), (&2.into(), &"database".into()));
    let users = db
        .query(
            "SELECT user_id FROM vitals_daily UNION SELECT user_id FROM vitals_hourly ORDER BY 1",
            &[],
        )
        .await;
    let users: Vec<i64> = users.iter().map(|row| row.get(0)).collect();
    assert_eq!(users, [1, 3], "the refused user's hours are rolled back with the day");
    let (rows, state, attempts, wait, error) = attempts_of(&db, 2).await;
    assert_eq!(
        (rows, state.as_str(), attempts, error.as_str()),
        (5, "pending", 1, "database P0001 refuse")
    );
    assert!((90.0..=100.0).contains(&wait), "{wait}");

    let too_early = run(&db, &settings);
    assert_eq!((too_early.code, &too_early.json()["rows_claimed"]), (0, &0.into()));

    make_due(&db).await;
    db.execute(CORRECTION).await;
    let second = run(&db, &settings);
    assert_eq!((second.code, &second.json()["rows_completed"]), (3, &1.into()));
    let (_, state, attempts, wait, _) = attempts_of(&db, 2).await;
    assert_eq!((state.as_str(), attempts), ("pending", 2));
    assert!((190.0..=200.0).contains(&wait), "the pause doubles: {wait}");

    make_due(&db).await;
    let third = run(&db, &settings);
    assert_eq!((third.code, &third.json()["rows_dead"]), (3, &5.into()));
    let (rows, state, attempts, wait, _) = attempts_of(&db, 2).await;
    assert_eq!((rows, state.as_str(), attempts, wait), (5, "dead", 3, f64::INFINITY));

    db.execute(CORRECTION).await;
    let afterwards = run(&db, &settings);
    assert_eq!((afterwards.code, &afterwards.json()["rows_claimed"]), (0, &1.into()));

    db.execute(
        "DROP TRIGGER refuse ON vitals_daily;
         UPDATE aggregation_queue SET state = 'pending', attempts = 0, not_before = now()",
    )
    .await;
    let freed = run(&db, &settings);
    assert_eq!((freed.code, &freed.json()["rows_completed"]), (0, &5.into()));
    assert_all_done(&db).await;
}

/// A statement that changed several dates is one change set, which is retried and given up as a whole.
#[tokio::test]
async fn a_date_that_cannot_be_written_keeps_no_other_date_of_its_statement_from_the_figures() {
    let db = Database::new().await;
    db.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN RAISE EXCEPTION 'closed'; END $$;
         CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON vitals_daily FOR EACH ROW
             WHEN (NEW.local_date IN ('2024-05-01', '2024-05-03')) EXECUTE FUNCTION refuse();
         INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, 'body_mass', 70, 'kg', 'scale', at, at
         FROM generate_series(timestamptz '2024-05-01 10:00Z', '2024-05-04 10:00Z', '1 day') AS at",
    )
    .await;
    const DATES: &str = "SELECT coalesce(string_agg(local_date::text, ' ' ORDER BY local_date), '') FROM vitals_daily";
    let settings =
        [("WORKER__BATCH__MAX_ATTEMPTS", "2"), ("WORKER__BATCH__BACKOFF_FIRST_SECONDS", "100")];

    let first = run(&db, &settings);

    assert_eq!(db.value::<String>(DATES).await, "2024-05-02 2024-05-04", "{}", first.stderr);
    let json = first.json();
    assert_eq!((&json["rows_claimed"], &json["rows_failed"]), (&4.into(), &4.into()));
    assert_eq!((&json["groups_committed"], &json["groups_failed"]), (&2.into(), &2.into()));
    let ends = |ran: &Ran, ending: &str| {
        let failed = ran.events("group_failed");
        assert_eq!(failed.len(), 2, "{}", ran.stderr);
        for event in failed {
            assert!(event["message"].as_str().unwrap().ends_with(ending), "{event}");
        }
    };
    ends(&first, "; retry 2 of 2 in 100.0 s");
    assert_eq!(attempts_of(&db, 1).await.2, 1);

    make_due(&db).await;
    let second = run(&db, &settings);
    ends(&second, "; gave up after 2 attempts");
    assert_eq!(second.json()["rows_dead"], 4);

    db.execute("DROP TRIGGER refuse ON vitals_daily").await;
    assert_eq!(db.run(&["requeue", "--dead"]).code, 0);
    assert_eq!(db.run_once()["rows_completed"], 4);
    assert_eq!(db.value::<String>(DATES).await, "2024-05-01 2024-05-02 2024-05-03 2024-05-04");
    assert_all_done(&db).await;
}

#[tokio::test]
async fn a_pause_between_attempts_is_never_longer_than_configured() {
    let db = Database::new().await;
    insert_samples(&db, 1, 1).await;
    refuse_user(&db, 1).await;
    db.execute("UPDATE aggregation_queue SET attempts = 50").await;

    let settings =
        [("WORKER__BATCH__MAX_ATTEMPTS", "100"), ("WORKER__BATCH__BACKOFF_MAX_SECONDS", "500")];
    assert_eq!(run(&db, &settings).code, 3);

    let (_, _, attempts, wait, _) = attempts_of(&db, 1).await;
    assert_eq!(attempts, 51);
    assert!((490.0..=500.0).contains(&wait), "{wait}");
}

#[tokio::test]
async fn no_transaction_stays_open_between_groups() {
    let db = Database::new().await;
    insert_samples(&db, 3, 5).await;
    let lock = UserLock::hold(&db.url, 2).await;
    let worker = Running::of(&db);
    waiting(&db, 1).await;

    let sessions = db
        .query(
            "SELECT state, query LIKE '%pg_advisory_xact_lock%', xact_start IS NOT NULL
             FROM pg_stat_activity
             WHERE datname = current_database() AND application_name LIKE 'dayfold-worker@%'
               AND (xact_start IS NOT NULL OR state LIKE 'idle in transaction%')",
            &[],
        )
        .await;
    assert_eq!(sessions.len(), 1, "only the waiting group has a transaction");
    assert_eq!((sessions[0].get::<_, &str>(0), sessions[0].get(1)), ("active", true));
    let done: Vec<i64> = db
        .query("SELECT user_id FROM vitals_daily", &[])
        .await
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(done, [1], "the first group's figures are there for everybody");
    assert_eq!(
        db.value::<i64>("SELECT count(*) FROM aggregation_queue WHERE user_id = 1").await,
        0
    );
    let written: i64 = db
        .value(
            "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
             WHERE application_name LIKE 'dayfold-worker@%' AND datname = current_database()
               AND mode = 'RowExclusiveLock'",
        )
        .await;
    assert_eq!(written, 0, "the waiting group has written nothing yet");

    lock.release().await;
    worker.succeeds();
    assert_all_done(&db).await;
}

#[tokio::test]
async fn a_batch_of_200_users_and_one_of_200_rows_show_their_hold_times_and_the_pool() {
    for (users, each) in [(200, 1), (1, 200)] {
        let db = Database::new().await;
        insert_samples(&db, users, each).await;

        let ran = run(&db, &[("WORKER__BATCH__SIZE", "200")]);

        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let (claimed, done) = (ran.events("batch_claimed"), ran.events("batch_done"));
        assert_eq!((claimed.len(), done.len()), (1, 1));
        assert_eq!(number(&done[0], "groups"), u64::from(users));
        let [longest, together, duration] = ["held_longest_ms", "held_total_ms", "duration_ms"]
            .map(|field| done[0][field].as_f64().unwrap_or_else(|| panic!("{field}: {}", done[0])));
        assert!(0.0 < longest && longest <= together && together <= duration, "{}", done[0]);
        if users == 1 {
            assert_eq!(longest, together);
        }
        for event in [&claimed[0], &done[0]] {
            let [in_use, idle, open, max, waiting] = ["in_use", "idle", "open", "max", "waiting"]
                .map(|field| number(event, &format!("pool.{field}")));
            assert_eq!((in_use, in_use + idle, max, waiting), (0, open, 4, 0), "{event}");
            assert_eq!(
                (event["pool.utilisation"].as_f64(), &event["pool.health"]),
                (Some(0.0), &"healthy".into())
            );
        }
        assert_all_done(&db).await;
    }
}

#[tokio::test]
async fn a_connection_held_for_long_is_told_while_it_is_held_and_at_its_end() {
    let db = Database::new().await;
    insert_samples(&db, 1, 5).await;
    let lock = UserLock::hold(&db.url, 1).await;
    let worker = Running::start(db.worker(), &[("WORKER__LOG__SLOW_HOLD_SECONDS", "0.2")]);
    worker.logs("slow_hold").await;
    waiting(&db, 1).await;
    lock.release().await;

    let told = worker.succeeds().events("slow_hold");
    let what = |event: &serde_json::Value| (event["purpose"].clone(), event["still_held"].clone());
    assert_eq!(what(&told[0]), ("group".into(), true.into()));
    assert_eq!(what(told.last().unwrap()), ("group".into(), false.into()));
    assert!(told.last().unwrap()["held_ms"].as_u64() > Some(200), "{told:?}");
}
