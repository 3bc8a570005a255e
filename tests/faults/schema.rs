//! The application changes its tables while the service runs.

use super::proof::{assert_exact_at_no_attempt, insert_rows, remembering};
use super::{QUEUED, service};
use crate::support::Ran;
use crate::support::outside::assert_says;
use crate::support::running::eventually;

/// Nothing failed, and nothing was given back.
#[track_caller]
fn assert_unnoticed(ran: &Ran) {
    for event in ["group_failed", "batch_interrupted", "database_unavailable"] {
        assert!(ran.events(event).is_empty(), "{event} in {}", ran.stderr);
    }
}

#[tokio::test]
async fn a_column_that_gets_another_type_under_the_service_costs_no_attempt() {
    let db = remembering().await;
    insert_rows(&db, 0).await;
    let service = service(&db.url, &[]);
    eventually(&db, QUEUED, 0).await;

    for (round, change) in (1..).zip([
        "ALTER TABLE vitals_raw ALTER COLUMN source TYPE varchar(64)",
        "ALTER TABLE vitals_raw ALTER COLUMN value TYPE real",
        "ALTER TABLE vitals_raw ALTER COLUMN value TYPE numeric",
        // It reads the numbers of all raw rows.
        "DROP VIEW raw_row_status",
        "ALTER TABLE vitals_raw ALTER COLUMN user_id TYPE integer, ALTER COLUMN id TYPE integer",
        "ALTER TABLE nutrition_raw ALTER COLUMN energy_kcal TYPE numeric,
             ALTER COLUMN protein_g TYPE real,
             ALTER COLUMN food_name TYPE varchar(64), ALTER COLUMN id TYPE integer",
        "ALTER TABLE lab_raw ALTER COLUMN value_text TYPE varchar(64),
             ALTER COLUMN user_id TYPE integer",
        "ALTER TABLE user_profiles ALTER COLUMN time_zone TYPE varchar(64)",
    ]) {
        db.execute(change).await;
        insert_rows(&db, round).await;
        eventually(&db, QUEUED, 0).await;
    }

    let ran = service.stops();
    assert_unnoticed(&ran);
    assert_exact_at_no_attempt(&db, &ran).await;
}

#[tokio::test]
async fn a_changed_queue_has_the_claim_prepared_again() {
    let db = remembering().await;
    insert_rows(&db, 0).await;
    let service = service(&db.url, &[]);
    eventually(&db, QUEUED, 0).await;

    db.execute("ALTER TABLE aggregation_queue ALTER COLUMN metric TYPE varchar(64)").await;
    insert_rows(&db, 1).await;
    eventually(&db, QUEUED, 0).await;

    let ran = service.stops();
    assert_unnoticed(&ran);
    assert_exact_at_no_attempt(&db, &ran).await;
}

#[tokio::test]
async fn a_group_whose_session_is_stale_is_done_again_at_once_in_another_one() {
    let db = remembering().await;
    // The first session that writes a day is stale from then on.
    db.execute(
        "CREATE TABLE stale (process integer);
         CREATE FUNCTION be_stale() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF pg_backend_pid() = (SELECT min(process) FROM stale) THEN
                 RAISE 'stale' USING ERRCODE = '0A000';
             END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER be_stale BEFORE INSERT OR UPDATE ON vitals_daily
         FOR EACH ROW EXECUTE FUNCTION be_stale()",
    )
    .await;
    insert_rows(&db, 0).await;
    let service = service(&db.url, &[("WORKER__POOL__MAX_SIZE", "1")]);
    eventually(&db, QUEUED, 0).await;
    db.execute(
        "INSERT INTO stale SELECT pid FROM pg_stat_activity
         WHERE datname = current_database() AND application_name LIKE 'dayfold-worker@%'",
    )
    .await;

    insert_rows(&db, 1).await;
    eventually(&db, QUEUED, 0).await;

    let ran = service.stops();
    let retried = ran.events("group_retried");
    // The commit of one group travels with the next one, which meets the same session.
    assert!((1..=2).contains(&retried.len()), "{}", ran.stderr);
    for group in &retried {
        assert_eq!(
            (&group["class"], &group["sqlstate"]),
            (&"stale_session".into(), &"0A000".into())
        );
    }
    assert_unnoticed(&ran);
    assert_exact_at_no_attempt(&db, &ran).await;
}

/// A change that the worker's first group finds in its session.
async fn breaks_the_first_session(how: &str, sqlstate: &str) {
    let db = remembering().await;
    db.execute(&format!(
        "CREATE SEQUENCE groups;
         CREATE FUNCTION break_session() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF nextval('groups') = 1 THEN {how} END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER break_session BEFORE INSERT OR UPDATE ON vitals_daily
         FOR EACH ROW EXECUTE FUNCTION break_session()"
    ))
    .await;
    let service = service(&db.url, &[("WORKER__POOL__MAX_SIZE", "1")]);
    insert_rows(&db, 0).await;
    eventually(&db, QUEUED, 0).await;

    let ran = service.stops();
    let retried = ran.events("group_retried");
    assert!((1..=2).contains(&retried.len()), "{}", ran.stderr);
    for group in &retried {
        assert_eq!(
            (&group["class"], &group["sqlstate"]),
            (&"stale_session".into(), &sqlstate.into())
        );
    }
    assert_unnoticed(&ran);
    assert_exact_at_no_attempt(&db, &ran).await;
}

#[tokio::test]
async fn a_session_whose_prepared_statements_are_gone_is_replaced_at_no_attempt() {
    breaks_the_first_session("EXECUTE 'DEALLOCATE ALL';", "26000").await;
}

#[tokio::test]
async fn a_session_in_which_others_have_prepared_statements_is_replaced_at_no_attempt() {
    // The driver's names are s and a number.
    let prepare = "FOR n IN 0..1000 LOOP
                       BEGIN EXECUTE format('PREPARE s%s AS SELECT 1', n);
                       EXCEPTION WHEN duplicate_prepared_statement THEN END;
                   END LOOP;";
    breaks_the_first_session(prepare, "42P05").await;
}

#[tokio::test]
async fn a_column_of_a_type_that_cannot_be_read_stops_the_work_and_is_named() {
    let db = remembering().await;
    insert_rows(&db, 0).await;
    let service = service(&db.url, &[]);
    eventually(&db, QUEUED, 0).await;

    let text = "ALTER TABLE vitals_raw ALTER COLUMN value TYPE text USING value || ' units'";
    db.execute(text).await;
    db.execute("UPDATE vitals_raw SET source = 'other' WHERE user_id = 2").await;
    service.logs("database_unavailable").await;
    let back = "ALTER TABLE vitals_raw ALTER COLUMN value TYPE double precision
                USING replace(value, ' units', '')::double precision";
    db.execute(back).await;
    eventually(&db, QUEUED, 0).await;

    let ran = service.stops();
    let unavailable = &ran.events("database_unavailable")[0];
    assert_eq!(unavailable["sqlstate"], "22P02", "{unavailable}");
    let says = ["column value of vitals_raw is of type text", "[environment]"];
    assert_says(&unavailable["cause"].to_string(), &says);
    assert!(ran.events("group_failed").is_empty(), "{}", ran.stderr);
    assert_exact_at_no_attempt(&db, &ran).await;
}

#[tokio::test]
async fn a_time_that_loses_its_zone_under_the_service_stops_the_work_and_is_named() {
    for (table, column) in
        [("vitals_raw", "ended_at"), ("nutrition_raw", "eaten_at"), ("lab_raw", "collected_at")]
    {
        let db = remembering().await;
        insert_rows(&db, 0).await;
        let service = service(&db.url, &[]);
        eventually(&db, QUEUED, 0).await;

        let alter = |to: &str| {
            format!(
                "ALTER TABLE {table} ALTER COLUMN {column} TYPE {to}
                 USING {column} AT TIME ZONE 'Asia/Tokyo'"
            )
        };
        db.execute(&alter("timestamp")).await;
        db.execute(&format!("UPDATE {table} SET source = 'other' WHERE user_id = 2")).await;
        service.logs("database_unavailable").await;
        db.execute(&alter("timestamptz")).await;
        eventually(&db, QUEUED, 0).await;

        let ran = service.stops();
        let unavailable = &ran.events("database_unavailable")[0];
        let says = [&format!("column {column} of {table} is of type timestamp"), "[environment]"];
        assert_says(&unavailable["cause"].to_string(), &says);
        assert!(ran.events("group_failed").is_empty(), "{}", ran.stderr);
        assert_exact_at_no_attempt(&db, &ran).await;
    }
}
