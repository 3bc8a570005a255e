//! `worker freeze`

use aggregation::UserIdType;

use super::{OLD_ROWS_DELETED, OPEN, ROWS, assert_unchanged, figures, frozen, insert, rejected};
use crate::support::outside::assert_says;
use crate::support::{Database, user_ids};

#[tokio::test]
async fn the_dates_are_set_shown_and_lifted() {
    let db = Database::new().await;
    assert_says(&db.run(&["freeze"]).stdout, &["No figures are frozen"]);
    let set = db.run(&["freeze", "--before", OPEN, "--json"]);
    assert_eq!((set.code, &set.json()["frozen_before"]), (0, &OPEN.into()), "{set:?}");
    assert_says(
        &db.run(&["freeze", "--before", "2024-04-01", "--user", "7"]).stdout,
        &["user", "2024-04-01"],
    );
    let shown = db.run(&["freeze", "--json"]).json();
    let dates: Vec<&str> = shown["frozen"]
        .as_array()
        .unwrap()
        .iter()
        .map(|of| of["frozen_before"].as_str().unwrap())
        .collect();
    assert_eq!(dates, [OPEN, "2024-04-01"]);
    assert_says(&db.run(&["freeze"]).stdout, &["all", OPEN, "2024-04-01"]);
    for arguments in [&["freeze", "--lift"][..], &["freeze", "--lift", "--user", "7"]] {
        let lifted = db.run(arguments);
        assert_eq!(lifted.code, 0, "{lifted:?}");
    }
    assert_says(&db.run(&["freeze"]).stdout, &["No figures are frozen"]);
}

#[tokio::test]
async fn a_date_in_the_future_is_refused() {
    let db = Database::new().await;
    let ran = db.run(&["freeze", "--before", "9000-01-01"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_says(&ran.stderr, &["9000-01-01 is in the future", "days that have ended"]);
    assert_eq!(db.value::<i64>("SELECT count(*) FROM frozen_figures").await, 0);
}

#[tokio::test]
async fn dates_are_not_frozen_while_rows_of_them_wait_unless_that_is_asked_for() {
    let db = Database::new().await;
    db.execute(ROWS).await;
    let refused = db.run(&["freeze", "--before", OPEN]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert_says(&refused.stderr, &["wait in the queue", "worker run-once", "--even-if-rows-wait"]);
    db.run_once();

    let id = insert(&db, 99, "2024-02-15 12:00Z").await;
    assert_eq!(db.run(&["freeze", "--before", OPEN]).code, 1);
    assert_eq!(
        db.run(&["freeze", "--before", "2024-02-13"]).code,
        0,
        "that date has none that wait"
    );
    assert_eq!(db.run(&["freeze", "--before", OPEN, "--even-if-rows-wait"]).code, 0);
    db.run_once();
    assert_eq!(rejected(&db).await, format!("vitals {id} frozen"));
}

#[tokio::test]
async fn dates_whose_raw_rows_are_gone_are_not_unfrozen_unless_that_is_asked_for() {
    let db = frozen().await;
    let before = figures(&db).await;
    // Their raw rows are there.
    assert_eq!(db.run(&["freeze", "--before", "2024-02-20"]).code, 0);
    assert_eq!(db.run(&["freeze", "--before", OPEN]).code, 0);

    db.execute(
        "DELETE FROM vitals_raw WHERE started_at::date = '2024-02-25' AND metric = 'heart_rate'",
    )
    .await;
    db.run_once();
    for arguments in [&["freeze", "--lift"][..], &["freeze", "--before", "2024-02-20"]] {
        let refused = db.run(arguments);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert_says(
            &refused.stderr,
            &["2024-02-25", "raw rows are gone", "--even-without-raw-rows"],
        );
    }
    assert_eq!(db.run(&["freeze", "--before", "2024-02-26"]).code, 0, "the later ones have theirs");
    assert_eq!(db.run(&["freeze", "--before", OPEN]).code, 0);
    db.execute(OLD_ROWS_DELETED).await;
    db.run_once();
    assert_unchanged(&db, &before).await;

    // A date of the user's own keeps them frozen when the one for all is lifted.
    assert_eq!(db.run(&["freeze", "--before", OPEN, "--user", "7"]).code, 0);
    let lifted = db.run(&["freeze", "--lift"]);
    assert_eq!(lifted.code, 0, "{lifted:?}");
    assert_eq!(db.run(&["freeze", "--lift", "--user", "7"]).code, 1);
    assert_eq!(db.run(&["verify"]).code, 0);

    assert_eq!(db.run(&["freeze", "--lift", "--user", "7", "--even-without-raw-rows"]).code, 0);
    assert_eq!(db.run(&["verify"]).code, 4, "now the figures have no raw rows");
}

#[tokio::test]
async fn figures_of_one_user_are_frozen_with_each_type_of_id() {
    for id_type in UserIdType::ALL {
        let db = Database::with_user_ids(id_type).await;
        db.execute(ROWS).await;
        db.execute(&ROWS.replace("7,", "8,").replace("(7", "(8")).await;
        db.run_once();
        let ran = db.run(&["freeze", "--before", OPEN, "--user", "7"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_says(&ran.stdout, &[&user_ids::id(id_type, 7)]);
        db.execute(OLD_ROWS_DELETED).await;
        db.run_once();
        let days = |user: i64| {
            format!("SELECT count(DISTINCT local_date) FROM nutrition_daily WHERE user_id = {user}")
        };
        assert_eq!(db.value::<i64>(&days(7)).await, 40, "{id_type}");
        assert_eq!(db.value::<i64>(&days(8)).await, 19, "{id_type}");
        assert_eq!(db.run(&["verify"]).code, 0, "{id_type}");
    }
}
