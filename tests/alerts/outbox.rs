//! The outbox as several workers use it: in which order messages are taken, and what becomes of them.

use std::time::Duration;

use store::{Alert, PoolSettings, Pooler, QueueAge, SessionSettings, Store, TakenAlert};

use super::DEAD_ROW;
use crate::support::Database;
use crate::support::running::waiting;

const LEASE: Duration = Duration::from_secs(600);
const HOUR: Duration = Duration::from_secs(3_600);
const AT_ONCE: Duration = Duration::ZERO;

/// A store with a connection of its own, as a worker has it.
async fn store(db: &Database) -> Store {
    let seconds = Duration::from_secs;
    let pool = PoolSettings {
        max_size: 1,
        min_idle: 0,
        wait_timeout: seconds(60),
        max_lifetime: seconds(300),
        idle_timeout: seconds(300),
        test_on_checkout: true,
        connect_timeout: seconds(10),
        slow_hold: seconds(60),
    };
    let session = SessionSettings {
        statement_timeout: seconds(60),
        lock_timeout: seconds(60),
        idle_in_transaction_timeout: seconds(60),
        transaction_timeout: seconds(90),
        jit: false,
        synchronous_commit: true,
        application_name: "dayfold-worker@test".to_owned(),
        pooler: Pooler::None,
        schema: None,
    };
    Store::connect(&db.url, pool, &session, &|_| None).await.unwrap()
}

/// That a rule fires or is over, seen by a worker so long ago.
fn alert(rule: &str, fires: bool, worker: &str, ago: Duration) -> Alert {
    let key = format!("{rule}.{fires}.{worker}");
    let (rule, worker) = (rule.to_owned(), worker.to_owned());
    let (lasted, dead_rows) = (Duration::ZERO, 0);
    Alert { key, rule, fires, worker, amount: 1.0, threshold: 1.0, ago, lasted, dead_rows }
}

#[tokio::test]
async fn a_look_from_before_another_worker_resolved_does_not_fire() {
    let db = Database::new().await;
    let store = store(&db).await;
    let seen = |fires, ago| alert("dead_rows", fires, "w@h:1", ago);
    assert!(store.fire_alert(&["mail"], &seen(true, HOUR), AT_ONCE).await.unwrap());
    assert!(store.resolve_alert(&["mail"], &seen(false, AT_ONCE)).await.unwrap());

    assert!(!store.fire_alert(&["mail"], &seen(true, HOUR), AT_ONCE).await.unwrap());
    assert_eq!(db.value::<i64>("SELECT count(*) FROM alert_outbox WHERE fires").await, 1);
    assert!(store.fire_alert(&["mail"], &seen(true, AT_ONCE), AT_ONCE).await.unwrap());
}

#[tokio::test]
async fn a_look_does_not_grow_younger_while_it_waits_for_the_worker_that_resolves() {
    let db = Database::new().await;
    let store = store(&db).await;
    let seen = |fires| alert("dead_rows", fires, "w@h:1", AT_ONCE);
    assert!(store.fire_alert(&["mail"], &seen(true), AT_ONCE).await.unwrap());
    assert!(store.resolve_alert(&["mail"], &seen(false)).await.unwrap());
    assert!(store.fire_alert(&["mail"], &seen(true), AT_ONCE).await.unwrap());

    // The look comes first, and finds another worker in the middle of resolving.
    let other = db.connect().await;
    other.batch_execute("BEGIN; SELECT FROM alert_conditions FOR UPDATE").await.unwrap();
    let firing =
        tokio::spawn(
            async move { store.fire_alert(&["mail"], &seen(true), AT_ONCE).await.unwrap() },
        );
    waiting(&db, 1).await;
    let resolves = "UPDATE alert_conditions SET resolved_at = clock_timestamp(); COMMIT";
    other.batch_execute(resolves).await.unwrap();
    assert!(!firing.await.unwrap());
}

/// The rule and state of the message that is taken.
async fn take(store: &Store) -> Option<(TakenAlert, String)> {
    let taken = store.take_alert("mail", LEASE).await.unwrap()?;
    let state = if taken.alert.fires { "fires" } else { "resolved" };
    let told = format!("{} {state} {}", taken.alert.rule, taken.alert.worker);
    Some((taken, told))
}

async fn is_due(store: &Store) -> bool {
    store.outbox(&["mail"]).await.unwrap().due == ["mail"]
}

#[tokio::test]
async fn nobody_is_told_that_it_is_over_before_being_told_that_it_fires() {
    let db = Database::new().await;
    let store = store(&db).await;
    let fires = alert("dead_rows", true, "w@h:1", AT_ONCE);
    assert!(store.fire_alert(&["mail"], &fires, AT_ONCE).await.unwrap());
    // Whichever worker sees that.
    let over = alert("dead_rows", false, "w@h:2", AT_ONCE);
    assert!(store.resolve_alert(&["mail"], &over).await.unwrap());

    // While a worker sends it, and while it waits for its back-off.
    let (first, told) = take(&store).await.unwrap();
    assert_eq!(told, "dead_rows fires w@h:1");
    assert!(!is_due(&store).await && take(&store).await.is_none());
    assert!(store.alert_failed(&first, "MAIL FROM: 451", Some(HOUR)).await.unwrap());
    assert!(!is_due(&store).await && take(&store).await.is_none());

    db.execute("UPDATE alert_outbox SET not_before = clock_timestamp()").await;
    let (first, told) = take(&store).await.unwrap();
    assert_eq!(told, "dead_rows fires w@h:1");
    store.alert_delivered(&first).await.unwrap();
    assert!(is_due(&store).await);
    assert_eq!(take(&store).await.unwrap().1, "dead_rows resolved w@h:2");
}

#[tokio::test]
async fn what_one_worker_tells_of_itself_does_not_wait_for_another_worker_or_rule() {
    let db = Database::new().await;
    let store = store(&db).await;
    for (rule, fires, worker) in [
        ("pool_usage", true, "w@h:1"),
        ("pool_usage", false, "w@h:1"),
        ("pool_usage", true, "w@h:2"),
        ("failed_groups", true, "w@h:1"),
    ] {
        store.put_alert(&["mail"], &alert(rule, fires, worker, AT_ONCE)).await.unwrap();
    }
    for expected in
        ["pool_usage fires w@h:1", "pool_usage fires w@h:2", "failed_groups fires w@h:1"]
    {
        assert_eq!(take(&store).await.unwrap().1, expected);
    }
    assert!(take(&store).await.is_none());
}

#[tokio::test]
async fn a_message_that_is_given_up_holds_up_no_other_and_is_told_from_one_that_somebody_else_has()
{
    let db = Database::new().await;
    let store = store(&db).await;
    for fires in [true, false] {
        store.put_alert(&["mail"], &alert("pool_usage", fires, "w@h:1", AT_ONCE)).await.unwrap();
    }
    let (late, _) = take(&store).await.unwrap();
    // Its lease is over.
    db.execute("UPDATE alert_outbox SET not_before = clock_timestamp()").await;
    let (heir, _) = take(&store).await.unwrap();
    assert_eq!(late.id, heir.id);

    assert!(!store.alert_failed(&late, "DATA: 452", None).await.unwrap());
    assert!(store.alert_failed(&heir, "DATA: 452", None).await.unwrap());
    assert_eq!(take(&store).await.unwrap().1, "pool_usage resolved w@h:1");
}

#[tokio::test]
async fn what_was_done_long_ago_is_forgotten_and_what_is_still_to_be_sent_is_not() {
    let db = Database::new().await;
    let store = store(&db).await;
    db.execute(
        "INSERT INTO alert_outbox
             (channel, key, rule, fires, worker, amount, threshold, happened_at, state, not_before)
         SELECT 'mail', state || age, 'dead_rows', true, 'w@h:1', 1, 1,
                now() - make_interval(days => age), state, 'infinity'
         FROM unnest(ARRAY[6, 8]) AS age, unnest(ARRAY['pending', 'delivered', 'given_up']) AS state",
    )
    .await;
    store.forget_old_alerts().await.unwrap();
    let left = "SELECT string_agg(key, ' ' ORDER BY key COLLATE \"C\") FROM alert_outbox";
    assert_eq!(db.value::<String>(left).await, "delivered6 given_up6 pending6 pending8");
}

#[tokio::test]
async fn the_oldest_change_is_seen_though_it_waits_for_its_back_off_and_a_fresh_one_is_next() {
    let db = Database::new().await;
    let store = store(&db).await;
    let age = async || store.queue_age().await.unwrap();
    let none = QueueAge { oldest_seconds: 0.0, is_complete: true, dead: 0 };
    assert_eq!(age().await, none);
    db.execute(DEAD_ROW).await;
    // A dead message is not sent again.
    db.execute("UPDATE aggregation_queue SET queued_at = now() - interval '1 day'").await;
    assert_eq!(age().await, QueueAge { dead: 1, ..none });
    db.execute(
        "INSERT INTO aggregation_queue
             (user_id, kind, starts_at, ends_at, raw_ids, queued_at, not_before)
         VALUES (1, 'labs', '2024-05-01', '2024-05-01', '{2}', now(), now()),
                (1, 'labs', '2024-05-01', '2024-05-01', '{3}', now() - interval '1 hour',
                 now() + interval '1 hour')",
    )
    .await;
    let an_hour_old = |age: QueueAge| {
        let oldest = age.oldest_seconds;
        assert!(oldest >= HOUR.as_secs_f64() && oldest < 24.0 * HOUR.as_secs_f64(), "{age:?}");
        assert_eq!((age.is_complete, age.dead), (true, 1));
    };
    an_hour_old(age().await);

    // Its back-off is over, and a fresh one is next in turn.
    db.execute(
        "UPDATE aggregation_queue SET not_before = now()
         WHERE not_before BETWEEN now() AND now() + interval '2 hours'",
    )
    .await;
    an_hour_old(age().await);
    db.execute(
        "UPDATE aggregation_queue SET state = 'processing', lease_token = 1,
                                      lease_expires_at = now() + interval '1 minute'
         WHERE queued_at < now() - interval '59 minutes' AND state = 'pending'",
    )
    .await;
    an_hour_old(age().await);
}

#[tokio::test]
async fn behind_thousands_of_fresh_changes_there_may_be_an_older_one() {
    let db = Database::new().await;
    let store = store(&db).await;
    db.execute(
        "INSERT INTO aggregation_queue (user_id, kind, starts_at, ends_at, raw_ids, queued_at, not_before)
         SELECT n, 'labs', '2024-05-01', '2024-05-01', ARRAY[n], now() - age, now() - interval '1 minute'
         FROM generate_series(1, 3000) AS n,
              LATERAL (SELECT CASE n WHEN 3000 THEN interval '1 hour' ELSE interval '1 minute' END AS age) AS a;
         UPDATE aggregation_queue SET not_before = now() WHERE queued_at < now() - interval '59 minutes'",
    )
    .await;
    assert!(!store.queue_age().await.unwrap().is_complete);
    let backlog = store.backlog().await.unwrap();
    let oldest = backlog.iter().filter_map(|kind| kind.oldest_seconds).reduce(f64::max).unwrap();
    assert!(oldest >= HOUR.as_secs_f64(), "{oldest}");
}
