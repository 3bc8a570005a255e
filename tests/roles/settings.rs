//! Settings that an app may change in its own session, in which the trigger functions run with
//! their owner's rights.

use super::Roles;

/// Settings whose values are neither on, off nor a name of a list.
const OTHERS: [(&str, &str); 9] = [
    ("TimeZone", "Asia/Kathmandu"),
    ("DateStyle", "SQL, DMY"),
    ("IntervalStyle", "iso_8601"),
    ("extra_float_digits", "-15"),
    ("search_path", "pg_temp"),
    ("work_mem", "64kB"),
    ("from_collapse_limit", "1"),
    ("plpgsql.extra_errors", "all"),
    ("role", "none"),
];

#[tokio::test]
async fn nothing_that_an_app_sets_in_its_session_changes_what_is_queued() {
    let roles = Roles::new().await;
    let app = roles.app().await;
    // Tables of the app's own with names of ours.
    roles
        .db
        .execute(&format!("GRANT TEMPORARY ON DATABASE {} TO \"{}\"", roles.db.name, roles.app))
        .await;
    app.batch_execute(
        "CREATE TEMP TABLE aggregation_queue AS SELECT 1 AS id;
         CREATE TEMP TABLE vitals_daily AS SELECT 1 AS id",
    )
    .await
    .unwrap();
    let choices = app
        .query(
            "SELECT name, unnest(CASE WHEN vartype = 'bool' THEN ARRAY['on', 'off'] ELSE enumvals END)
             FROM pg_settings WHERE context = 'user' AND vartype IN ('bool', 'enum')",
            &[],
        )
        .await
        .unwrap();
    let choices = choices.iter().map(|row| (row.get::<_, String>(0), row.get::<_, String>(1)));
    let others = OTHERS.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let (mut user, mut inserted) = (0_i64, Vec::new());
    for (name, value) in choices.chain(others) {
        user += 1;
        if app.execute("SELECT set_config($1, $2, false)", &[&name, &value]).await.is_err() {
            continue;
        }
        let changes = format!(
            "INSERT INTO \"{schema}\".vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
             VALUES ({user}, 'heart_rate', 60.123456789012345, 'bpm', 'watch', '2024-05-01 12:00:00.123456+00',
                     '2024-05-01 12:00:00.123456+00'),
                    ({user}, 'heart_rate', 80, 'bpm', 'watch', '2024-05-01 13:00:00+00', '2024-05-01 13:00:00+00');
             UPDATE \"{schema}\".vitals_raw SET value = 70.123456789012345 WHERE user_id = {user} AND value < 70;
             DELETE FROM \"{schema}\".vitals_raw WHERE user_id = {user} AND value = 80",
            schema = super::SCHEMA
        );
        let done = app.batch_execute(&changes).await;
        if done.is_ok() {
            inserted.push(format!("{name} = {value}"));
        }
        let _ = app.batch_execute("ROLLBACK").await;
        app.batch_execute(&format!("RESET {name}")).await.unwrap();
    }
    assert!(inserted.len() > 50, "{inserted:?}");

    let ran =
        crate::support::Ran::of(roles.worker().args(["run-once", "--json"]).output().unwrap());

    assert_eq!(ran.code, 0, "{ran:?}");
    let sql = "SELECT count(*) FROM vitals_daily
               WHERE sample_count = 1 AND mean = 70.123456789012345
                 AND first_at = '2024-05-01 12:00:00.123456+00' AND local_date = '2024-05-01'";
    assert_eq!(roles.db.value::<i64>(sql).await, inserted.len() as i64, "{inserted:?}");
}
