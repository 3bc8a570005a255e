//! Consumers of `worker changes`: killed, without their database, without a reader.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;
use tokio_postgres::Client;

use super::{HELD_BACK, QUEUED, ROWS, changes, day, days, printed, text};
use crate::support::outside::{eventually as so, signal};
use crate::support::running::{PATIENT, Running, eventually, waiting};
use crate::support::samples::insert_samples;
use crate::support::{Database, Ran, WORKER, user_ids};

/// The days of all figures.
const ALL: &str = "
    SELECT DISTINCT user_id::text, local_date::text, 'vitals' FROM vitals_daily
    UNION SELECT user_id::text, local_date::text, 'nutrition' FROM nutrition_daily
    UNION SELECT user_id::text, local_date::text, 'labs' FROM lab_daily";

/// Whether figures of the user, date and kind exist.
const EXISTS: &str = "
    SELECT CASE $3 WHEN 'vitals' THEN EXISTS (SELECT FROM vitals_daily WHERE user_id = $1::bigint::integer AND local_date = $2::text::date)
                   WHEN 'nutrition' THEN EXISTS (SELECT FROM nutrition_daily WHERE user_id = $1::bigint::integer AND local_date = $2::text::date)
                   ELSE EXISTS (SELECT FROM lab_daily WHERE user_id = $1::bigint::integer AND local_date = $2::text::date) END";

/// A consumer's own table: the days that have figures.
#[derive(Default)]
pub(super) struct Mirror {
    days: BTreeSet<(i64, String, String)>,
    cursor: String,
}

impl Mirror {
    /// Reads the figures of a changed day, and keeps the cursor with the result.
    pub(super) async fn apply(&mut self, db: &Database, change: &Value) {
        let (user, date, kind) = day(change);
        let exists: bool = db.query(EXISTS, &[&user, &date, &kind]).await[0].get(0);
        if exists {
            self.days.insert((user, date, kind));
        } else {
            self.days.remove(&(user, date, kind));
        }
        self.cursor = text(change, "cursor");
    }

    fn command(&self, db: &Database) -> Command {
        let mut command = db.worker();
        command.arg("changes");
        if !self.cursor.is_empty() {
            command.args(["--after", &self.cursor]);
        }
        command
    }

    /// Reads the feed to its present end.
    async fn read(&mut self, db: &Database) {
        let ran = Ran::of(self.command(db).output().unwrap());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        for line in ran.stdout.lines() {
            self.apply(db, &serde_json::from_str(line).unwrap()).await;
        }
    }

    /// Follows the feed for some lines, and is killed.
    async fn follow(&mut self, db: &Database, lines: usize) {
        let mut command = self.command(db);
        command.arg("--follow");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let printed = BufReader::new(child.stdout.take().unwrap()).lines();
        for line in printed.take(lines) {
            self.apply(db, &serde_json::from_str(&line.unwrap()).unwrap()).await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Asserts that the days are those with figures, and that `verify` finds none that is missing or too many.
    pub(super) async fn assert_has_the_days_of_verify(&self, db: &Database) {
        let stored = db.query(ALL, &[]).await;
        let number = |id: String| user_ids::in_numbers(&id).parse().unwrap();
        let stored: BTreeSet<(i64, String, String)> =
            stored.iter().map(|row| (number(row.get(0)), row.get(1), row.get(2))).collect();
        assert!(stored.len() > 10, "{stored:?}");
        assert_eq!(self.days, stored);
        let verified = db.run(&["verify"]);
        assert_eq!(verified.code, 0, "{verified:?}");
    }
}

/// Changes days of four users. The first user's group is the first one that writes, and is committed last: after the
/// returned session has ended.
pub(super) async fn commit_out_of_order(db: &Database, round: u32) -> Client {
    let steps = |users: &str| {
        format!(
            "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
             SELECT u, 'steps', 100, 'count', 'phone', at, at + interval '1 minute'
             FROM generate_series({users}) AS u, generate_series(0, {round}) AS d,
                  LATERAL (SELECT timestamptz '2024-06-01 10:00Z' + d * interval '1 day' + {round} * interval '3 minutes' AS at) AS t;"
        )
    };
    // A day that is there already, and whose row a session of the test holds.
    db.execute(&steps("1, 1")).await;
    eventually(db, QUEUED, 0).await;
    let late = db.connect().await;
    late.batch_execute(
        "BEGIN; SELECT FROM vitals_daily WHERE user_id = 1 AND metric = 'steps' FOR UPDATE",
    )
    .await
    .unwrap();
    db.execute(
        "UPDATE vitals_raw SET value = value + 1
         WHERE user_id = 1 AND metric = 'steps' AND started_at < '2024-06-02'",
    )
    .await;
    waiting(db, 1).await;
    db.execute(&steps("2, 4")).await;
    db.execute(&format!(
        "DELETE FROM vitals_raw WHERE user_id = 2 + {round} % 3 AND metric = 'steps' AND value = 100;
         DELETE FROM lab_raw WHERE {round} = 3; DELETE FROM nutrition_raw WHERE {round} = 4"
    ))
    .await;
    eventually(db, "SELECT count(*) FROM aggregation_queue WHERE user_id > 1", 0).await;
    assert!(db.value::<i64>(HELD_BACK).await > 1, "the first user's group may still change a day");
    late
}

#[tokio::test]
async fn a_consumer_that_is_killed_between_any_two_lines_ends_with_exactly_the_days_of_verify() {
    let db = Database::new().await;
    // One worker waits for the late group, and the other one goes on.
    let services =
        [Running::service(db.worker(), &PATIENT), Running::service(db.worker(), &PATIENT)];
    let mut mirror = Mirror::default();
    db.execute(ROWS).await;
    for round in 0..6 {
        let late = commit_out_of_order(&db, round).await;
        mirror.read(&db).await;
        late.batch_execute("ROLLBACK").await.unwrap();
        mirror.follow(&db, 1 + round as usize % 3).await;
    }
    eventually(&db, QUEUED, 0).await;
    services.into_iter().for_each(|service| drop(service.stops()));
    eventually(&db, HELD_BACK, 0).await;
    mirror.read(&db).await;
    mirror.assert_has_the_days_of_verify(&db).await;
}

#[tokio::test]
async fn a_follower_survives_a_lost_database_and_ends_by_a_signal_as_done() {
    let db = Database::new().await;
    insert_samples(&db, 1, 1).await;
    db.run_once();
    for (name, users) in [("TERM", 1), ("INT", 2)] {
        let mut follower = db.start(&["changes", "--follow"]);
        let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
        let mut next = || -> (i64, String, String) {
            day(&serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap())
        };
        for user in 1..=users {
            assert_eq!(next(), days(&[(user, "2024-05-01", "vitals")])[0]);
        }
        db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name LIKE 'dayfold-worker@%'",
        )
        .await;
        let another = users + 1;
        insert_samples(&db, another as u32, 1).await;
        db.run_once();
        assert_eq!(next(), days(&[(another, "2024-05-01", "vitals")])[0]);
        signal(name, follower.id().into());
        assert_eq!(follower.wait().unwrap().code(), Some(0));
        assert!(lines.next().is_none());
    }
}

/// No further change comes, and the follower ends all the same.
#[tokio::test]
async fn a_reader_that_goes_ends_the_follower_at_once_and_a_limit_ends_it_after_so_many_lines() {
    let db = Database::new().await;
    insert_samples(&db, 5, 1).await;
    db.run_once();
    eventually(&db, HELD_BACK, 0).await;
    for (reader, lines) in [("head -n 2", 2), ("true", 0)] {
        let pipe = format!("{WORKER} changes --follow | {reader}; exit ${{PIPESTATUS[0]}}");
        let mut command = Command::new("bash");
        command
            .env_clear()
            .env("DATABASE_URL", &db.url)
            .env("PATH", "/usr/bin:/bin")
            .args(["-c", &pipe]);
        let mut following = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        so("the follower ends", || following.try_wait().unwrap().is_some());
        let ran = Ran::of(following.wait_with_output().unwrap());
        assert_eq!((ran.code, ran.stdout.lines().count()), (0, lines), "{ran:?}");
    }

    let ran = db.run(&["changes", "--follow", "--limit", "3"]);
    assert_eq!((ran.code, ran.stdout.lines().count()), (0, 3), "{ran:?}");
    let (rest, _) = changes(&db, &printed(&ran, "").1).await;
    assert!(rest.len() >= 2, "{rest:?}");
}
