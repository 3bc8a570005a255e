//! Sleep by the day of waking.

use super::{assert_as_from_scratch, lines, rejected, user_in};
use crate::support::{Database, rows};

/// A segment: metric, source, start and end.
type Segment<'a> = (&'a str, &'a str, &'a str, &'a str);

async fn sleep(db: &Database, segments: &[Segment<'_>]) {
    for (stage, source, start, end) in segments {
        db.insert([rows::sleep(stage).between(start, end).source(source)]).await;
    }
}

/// The days of user 1 as `date asleep in-bed naps source`, in order.
async fn days(db: &Database) -> Vec<String> {
    lines(
        db,
        "SELECT concat_ws(' ', local_date, coalesce(asleep_minutes::text, 'NULL'), in_bed_minutes,
                          nap_count, primary_source)
         FROM sleep_daily WHERE user_id = 1 ORDER BY local_date",
    )
    .await
}

#[tokio::test]
async fn a_night_over_midnight_belongs_to_the_day_of_waking() {
    let db = user_in("Europe/Berlin", "watch").await;
    sleep(
        &db,
        &[
            ("in_bed", "watch", "2024-03-04 22:30+01", "2024-03-05 07:00+01"),
            ("core", "watch", "2024-03-04 23:00+01", "2024-03-05 01:00+01"),
            ("deep", "watch", "2024-03-05 01:00+01", "2024-03-05 02:30+01"),
            ("awake", "watch", "2024-03-05 02:30+01", "2024-03-05 02:45+01"),
            ("rem", "watch", "2024-03-05 02:45+01", "2024-03-05 04:00+01"),
            ("core", "watch", "2024-03-05 04:00+01", "2024-03-05 06:30+01"),
        ],
    )
    .await;
    let report = db.run_once();
    assert_eq!((&report["rows_completed"], &report["rows_rejected"]), (&6.into(), &0.into()));
    let every_column = lines(
        &db,
        "SELECT concat_ws(' ', local_date, asleep_minutes, core_minutes, deep_minutes, rem_minutes,
                          unspecified_minutes, awake_minutes, in_bed_minutes, efficiency = 435.0 / 510)
         FROM sleep_daily
         UNION ALL
         SELECT concat_ws(' ', nap_count, nap_minutes, segment_count, sources, primary_source,
                          rejected_count, time_zone, is_partial)
         FROM sleep_daily
         UNION ALL
         SELECT concat_ws(' ', to_char(at AT TIME ZONE 'Europe/Berlin', 'DD\"T\"HH24:MI'))
         FROM sleep_daily, unnest(ARRAY[main_start, main_end, day_start, day_end, reach_start, reach_end])
              AS at",
    )
    .await;
    assert_eq!(
        every_column,
        [
            "2024-03-05 435 270 90 75 0 15 510 t",
            r#"0 0 6 {"watch": 6} watch 0 Europe/Berlin f"#,
            "04T22:30",
            "05T07:00",
            "05T00:00",
            "06T00:00",
            // Two hours around: nearer rows would join.
            "04T20:30",
            "05T09:00",
        ]
    );
    assert_eq!(lines(&db, "SELECT metric FROM vitals_daily").await, Vec::<String>::new());
    assert_as_from_scratch(&db).await;
}

#[tokio::test]
async fn a_night_over_a_change_of_clocks_lasts_as_long_as_it_lasted() {
    for (start, end, expected) in [
        ("2024-03-30 23:00+01", "2024-03-31 07:00+02", "2024-03-31 420 23"),
        ("2024-10-26 23:00+02", "2024-10-27 07:00+01", "2024-10-27 540 25"),
    ] {
        let db = user_in("Europe/Berlin", "").await;
        sleep(&db, &[("asleep", "watch", start, end)]).await;
        db.run_once();
        let day = "SELECT concat_ws(' ', local_date, asleep_minutes,
                                    extract(epoch FROM day_end - day_start)::integer / 3600)
                   FROM sleep_daily";
        assert_eq!(lines(&db, day).await, [expected]);
        assert_as_from_scratch(&db).await;
    }
}

#[tokio::test]
async fn the_longest_sleep_of_a_day_is_the_main_one_and_the_others_are_naps() {
    let db = user_in("UTC", "").await;
    sleep(
        &db,
        &[
            ("asleep", "watch", "2024-03-05 00:30Z", "2024-03-05 01:30Z"),
            ("asleep", "watch", "2024-03-05 05:00Z", "2024-03-05 11:00Z"),
            ("asleep", "watch", "2024-03-05 15:00Z", "2024-03-05 15:30Z"),
        ],
    )
    .await;
    db.run_once();
    let day = "SELECT concat_ws(' ', asleep_minutes, nap_count, nap_minutes,
                                to_char(main_start AT TIME ZONE 'UTC', 'HH24:MI'),
                                to_char(main_end AT TIME ZONE 'UTC', 'HH24:MI'))
               FROM sleep_daily";
    assert_eq!(lines(&db, day).await, ["450 2 90 05:00 11:00"]);
}

#[tokio::test]
async fn of_overlapping_devices_the_best_counts_and_nothing_twice() {
    let night = [
        ("core", "watch", "2024-03-04 23:00Z", "2024-03-05 05:00Z"),
        ("deep", "ring", "2024-03-04 22:30Z", "2024-03-05 06:00Z"),
        // A phone that knows when its owner lay down must not hide those that measured.
        ("in_bed", "phone", "2024-03-04 22:00Z", "2024-03-05 07:00Z"),
    ];
    for (order, expected) in [
        ("phone,watch,ring", "2024-03-05 360 360 0 watch"),
        ("ring,watch", "2024-03-05 450 450 0 ring"),
    ] {
        let db = user_in("UTC", order).await;
        sleep(&db, &night).await;
        db.run_once();
        assert_eq!(days(&db).await, [expected]);

        // A new order holds from the next touch.
        db.execute("UPDATE user_profiles SET source_priority = '{ring}'").await;
        db.run_once();
        assert_eq!(days(&db).await, [expected]);
        sleep(&db, &[("rem", "ring", "2024-03-05 06:00Z", "2024-03-05 06:30Z")]).await;
        db.run_once();
        assert_eq!(days(&db).await, ["2024-03-05 480 480 0 ring"]);
        assert_as_from_scratch(&db).await;
    }
}

#[tokio::test]
async fn a_night_of_the_bed_alone_says_nothing_of_sleep() {
    let db = user_in("UTC", "").await;
    sleep(&db, &[("in_bed", "phone", "2024-03-04 22:00Z", "2024-03-05 07:00Z")]).await;
    db.run_once();
    assert_eq!(days(&db).await, ["2024-03-05 NULL 540 0 phone"]);
    let unknown = "SELECT num_nulls(asleep_minutes, core_minutes, deep_minutes, rem_minutes,
                                    unspecified_minutes, awake_minutes, efficiency, nap_minutes)::bigint
                   FROM sleep_daily";
    assert_eq!(db.value::<i64>(unknown).await, 8);
    assert!(
        db.value::<bool>("SELECT main_start IS NULL AND main_end IS NULL FROM sleep_daily").await
    );

    // A source that only tells awake from asleep knows no stages.
    sleep(&db, &[("asleep", "phone", "2024-03-04 23:00Z", "2024-03-05 05:00Z")]).await;
    db.run_once();
    assert_eq!(days(&db).await, ["2024-03-05 360 540 0 phone"]);
    let unknown = "SELECT num_nulls(core_minutes, deep_minutes, rem_minutes, awake_minutes)::bigint
                   FROM sleep_daily";
    assert_eq!(db.value::<i64>(unknown).await, 4);
}

#[tokio::test]
async fn a_watch_that_died_in_the_night_leaves_it_to_the_ring() {
    let db = user_in("Europe/Berlin", "Watch,Ring").await;
    let watch = ("core", "Watch", "2024-03-05 22:30+01", "2024-03-05 22:50+01");
    sleep(&db, &[watch]).await;
    db.run_once();
    assert_eq!(days(&db).await, ["2024-03-05 20 20 0 Watch"]);
    sleep(
        &db,
        &[
            ("core", "Ring", "2024-03-05 22:25+01", "2024-03-06 03:00+01"),
            ("rem", "Ring", "2024-03-06 03:00+01", "2024-03-06 04:00+01"),
            ("deep", "Ring", "2024-03-06 04:00+01", "2024-03-06 06:30+01"),
        ],
    )
    .await;
    db.run_once();
    assert_eq!(days(&db).await, ["2024-03-06 485 485 0 Ring"]);
    assert_as_from_scratch(&db).await;

    // By the rows that the watch sends later in the night, it covers half of the longest recording.
    sleep(&db, &[("rem", "Watch", "2024-03-05 22:50+01", "2024-03-06 02:33+01")]).await;
    db.run_once();
    assert_eq!(days(&db).await, ["2024-03-06 243 243 0 Watch"]);
    assert_as_from_scratch(&db).await;
}

#[tokio::test]
async fn a_session_is_beaten_only_by_one_that_counts() {
    let db = user_in("UTC", "watch,ring,phone").await;
    sleep(
        &db,
        &[
            ("core", "watch", "2024-03-04 23:00Z", "2024-03-05 03:00Z"),
            ("asleep", "phone", "2024-03-05 08:30Z", "2024-03-05 10:00Z"),
        ],
    )
    .await;
    db.run_once();
    assert_eq!(days(&db).await, ["2024-03-05 330 330 1 watch"]);
    sleep(&db, &[("core", "ring", "2024-03-04 23:10Z", "2024-03-05 07:00Z")]).await;
    db.run_once();
    assert_eq!(days(&db).await, ["2024-03-05 330 330 1 watch"], "the watch beats the ring");
    assert_as_from_scratch(&db).await;

    // Only now does the ring count, and beat the phone that lies nine hours behind the watch.
    db.execute("DELETE FROM vitals_raw WHERE source = 'watch'").await;
    db.run_once();
    assert_eq!(days(&db).await, ["2024-03-05 470 470 0 ring"]);
    assert_as_from_scratch(&db).await;
}

#[tokio::test]
async fn awake_rows_alone_are_neither_sleep_nor_a_main_session() {
    let db = user_in("UTC", "phone,watch").await;
    sleep(
        &db,
        &[
            // An app writes one awakening into the night of the phone.
            ("in_bed", "phone", "2024-03-04 23:00Z", "2024-03-05 07:00Z"),
            ("awake", "app", "2024-03-05 03:00Z", "2024-03-05 03:15Z"),
            ("in_bed", "phone", "2024-03-07 00:00Z", "2024-03-07 07:00Z"),
            ("awake", "watch", "2024-03-07 15:00Z", "2024-03-07 15:20Z"),
        ],
    )
    .await;
    db.run_once();
    assert_eq!(days(&db).await, ["2024-03-05 NULL 480 0 phone", "2024-03-07 NULL 420 0 phone"]);
    let none = "SELECT count(*) FROM sleep_daily
                WHERE num_nonnulls(main_start, main_end, efficiency, nap_minutes) = 0";
    assert_eq!(db.value::<i64>(none).await, 2);
    let page = db
        .run(&[
            "report",
            "--user",
            "1",
            "--html",
            "-",
            "--from",
            "2024-03-01",
            "--to",
            "2024-03-31",
        ])
        .stdout;
    assert!(page.contains("no source tells of sleep"));
    assert_as_from_scratch(&db).await;
}

#[tokio::test]
async fn an_instant_has_one_state_so_that_minutes_of_stages_add_up_to_sleep() {
    let db = user_in("UTC", "").await;
    sleep(
        &db,
        &[
            ("core", "watch", "2024-03-05 00:00Z", "2024-03-05 02:00Z"),
            ("deep", "watch", "2024-03-05 01:00Z", "2024-03-05 03:00Z"),
            // A short awakening inside a stage, as a Fitbit exports it.
            ("core", "watch", "2024-03-06 00:00Z", "2024-03-06 01:00Z"),
            ("awake", "watch", "2024-03-06 00:20Z", "2024-03-06 00:30Z"),
        ],
    )
    .await;
    db.run_once();
    let stages = "SELECT concat_ws(' ', local_date, asleep_minutes, core_minutes, deep_minutes,
                                   rem_minutes, unspecified_minutes, awake_minutes, in_bed_minutes)
                  FROM sleep_daily ORDER BY local_date";
    assert_eq!(
        lines(&db, stages).await,
        ["2024-03-05 180 60 120 0 0 0 180", "2024-03-06 50 50 0 0 0 10 60"]
    );
    assert_as_from_scratch(&db).await;
}

#[tokio::test]
async fn a_night_that_is_corrected_or_deleted_later_leaves_no_trace() {
    let db = user_in("UTC", "").await;
    sleep(
        &db,
        &[
            ("core", "watch", "2024-03-04 23:00Z", "2024-03-05 03:00Z"),
            ("deep", "watch", "2024-03-05 03:00Z", "2024-03-05 06:00Z"),
        ],
    )
    .await;
    db.run_once();
    assert_eq!(days(&db).await, ["2024-03-05 420 420 0 watch"]);

    db.execute("UPDATE vitals_raw SET ended_at = '2024-03-05 05:00Z' WHERE metric = 'sleep_deep'")
        .await;
    db.run_once();
    assert_eq!(days(&db).await, ["2024-03-05 360 360 0 watch"]);
    assert_as_from_scratch(&db).await;

    db.execute("DELETE FROM vitals_raw WHERE metric = 'sleep_core'").await;
    db.run_once();
    assert_eq!(days(&db).await, ["2024-03-05 120 120 0 watch"]);

    db.execute("DELETE FROM vitals_raw").await;
    db.run_once();
    assert_eq!(db.figures_as_text().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_session_that_comes_to_another_date_leaves_the_one_it_had() {
    let db = user_in("UTC", "").await;
    sleep(&db, &[("core", "watch", "2024-03-04 20:00Z", "2024-03-04 23:00Z")]).await;
    db.run_once();
    assert_eq!(days(&db).await, ["2024-03-04 180 180 0 watch"]);

    // The rest of the night comes later: none of its rows touches the 4th.
    sleep(&db, &[("rem", "watch", "2024-03-05 01:00Z", "2024-03-05 04:00Z")]).await;
    db.run_once();
    assert_eq!(days(&db).await, ["2024-03-05 360 480 0 watch"]);
    assert_as_from_scratch(&db).await;

    // A gap of more than two hours parts them again.
    db.execute(
        "UPDATE vitals_raw SET started_at = started_at + interval '1 second'
         WHERE metric = 'sleep_rem'",
    )
    .await;
    db.run_once();
    let parted = days(&db).await;
    assert_eq!(parted[0], "2024-03-04 180 180 0 watch");
    assert_eq!(parted.len(), 2);
    assert_as_from_scratch(&db).await;

    // And a bridge of a few minutes of another metric joins them.
    sleep(&db, &[("awake", "watch", "2024-03-05 00:00Z", "2024-03-05 00:05Z")]).await;
    db.run_once();
    assert_eq!(days(&db).await.len(), 1);
    assert_as_from_scratch(&db).await;
}

#[tokio::test]
async fn a_traveller_wakes_on_the_date_of_the_zone_in_which_the_night_ends() {
    let db = user_in("Europe/Berlin", "").await;
    // Fell asleep in Berlin, woke over Japan, where it was the next date long since.
    sleep(
        &db,
        &[
            ("core", "watch", "2024-03-05 12:00Z", "2024-03-05 15:00Z"),
            ("rem", "watch", "2024-03-05 15:00Z", "2024-03-05 17:00Z"),
            ("core", "watch", "2024-03-06 14:00Z", "2024-03-06 20:00Z"),
        ],
    )
    .await;
    db.execute(
        "UPDATE vitals_raw SET time_zone = 'Asia/Tokyo' WHERE started_at >= '2024-03-05 15:00Z'",
    )
    .await;
    db.run_once();
    let zones = "SELECT concat_ws(' ', local_date, asleep_minutes, time_zone) FROM sleep_daily
                 ORDER BY local_date";
    assert_eq!(
        lines(&db, zones).await,
        // A day of several zones has the profile's.
        ["2024-03-06 300 Europe/Berlin", "2024-03-07 360 Asia/Tokyo"]
    );
    assert_as_from_scratch(&db).await;
}

#[tokio::test]
async fn a_night_over_three_zones_is_one_session_of_the_date_in_the_last_of_them() {
    let db = user_in("Europe/Berlin", "").await;
    sleep(
        &db,
        &[
            ("core", "watch", "2024-03-05 21:00Z", "2024-03-05 22:00Z"),
            ("deep", "watch", "2024-03-05 22:00Z", "2024-03-05 23:30Z"),
            ("rem", "watch", "2024-03-06 00:00Z", "2024-03-06 04:00Z"),
        ],
    )
    .await;
    for (stage, zone) in
        [("core", "Europe/Berlin"), ("deep", "Asia/Dubai"), ("rem", "America/Los_Angeles")]
    {
        let change =
            format!("UPDATE vitals_raw SET time_zone = '{zone}' WHERE metric = 'sleep_{stage}'");
        db.execute(&change).await;
    }
    db.run_once();
    let day =
        "SELECT concat_ws(' ', local_date, asleep_minutes, nap_count, time_zone) FROM sleep_daily
               ORDER BY local_date";
    // 04:00 UTC is 20:00 of the day before in Los Angeles.
    assert_eq!(lines(&db, day).await, ["2024-03-05 390 0 Europe/Berlin"]);
    assert_as_from_scratch(&db).await;

    // Without the last leg it ends in Dubai, at 03:30 of the 6th.
    db.execute("DELETE FROM vitals_raw WHERE metric = 'sleep_rem'").await;
    db.run_once();
    assert_eq!(lines(&db, day).await, ["2024-03-06 150 0 Europe/Berlin"]);
    assert_as_from_scratch(&db).await;
}

#[tokio::test]
async fn a_bed_that_measures_for_more_than_a_day_tears_no_sleep_of_the_watch() {
    let db = user_in("UTC", "watch").await;
    sleep(
        &db,
        &[
            ("in_bed", "bed", "2024-03-05 00:00Z", "2024-03-06 06:00Z"),
            ("asleep", "watch", "2024-03-05 09:00Z", "2024-03-05 15:00Z"),
            ("asleep", "phone", "2024-03-08 06:00Z", "2024-03-09 07:00Z"),
        ],
    )
    .await;
    db.run_once();
    assert_eq!(days(&db).await, ["2024-03-05 360 360 0 watch", "2024-03-09 1500 1500 0 phone"]);
    assert_as_from_scratch(&db).await;
    db.execute("DELETE FROM vitals_raw WHERE source = 'watch'").await;
    db.run_once();
    assert_eq!(days(&db).await, ["2024-03-06 NULL 1800 0 bed", "2024-03-09 1500 1500 0 phone"]);
    assert_as_from_scratch(&db).await;
}

#[tokio::test]
async fn a_bed_that_nobody_leaves_for_weeks_agrees_with_a_computation_from_scratch() {
    let db = user_in("Europe/Berlin", "watch").await;
    db.execute(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, 'sleep_in_bed', 1, '', 'bed', day, day + interval '1 day'
         FROM generate_series('2024-03-01 00:00Z'::timestamptz, '2024-03-28 00:00Z', '1 day') AS day",
    )
    .await;
    db.run_once();
    for day in ["10", "14"] {
        let (start, end) = (format!("2024-03-{day} 01:00Z"), format!("2024-03-{day} 06:00Z"));
        sleep(&db, &[("core", "watch", &start, &end)]).await;
        db.run_once();
        assert_as_from_scratch(&db).await;
    }
    db.execute("DELETE FROM vitals_raw WHERE started_at = '2024-03-15 00:00Z'").await;
    db.run_once();
    assert_as_from_scratch(&db).await;
}

#[tokio::test]
async fn a_profile_that_moves_takes_touched_nights_with_it() {
    let db = user_in("Europe/Berlin", "").await;
    sleep(&db, &[("core", "watch", "2024-03-05 12:00Z", "2024-03-05 16:00Z")]).await;
    db.run_once();
    assert_eq!(days(&db).await, ["2024-03-05 240 240 0 watch"]);

    db.execute("UPDATE user_profiles SET time_zone = 'Asia/Tokyo'").await;
    db.run_once();
    assert_eq!(days(&db).await, ["2024-03-05 240 240 0 watch"]);

    sleep(&db, &[("rem", "watch", "2024-03-05 16:00Z", "2024-03-05 17:00Z")]).await;
    db.run_once();
    assert_eq!(days(&db).await, ["2024-03-06 300 300 0 watch"]);
    assert_as_from_scratch(&db).await;

    db.execute("UPDATE user_profiles SET time_zone = 'America/New_York'").await;
    db.execute("DELETE FROM vitals_raw").await;
    db.run_once();
    assert_eq!(db.figures_as_text().await, Vec::<String>::new());
}

#[tokio::test]
async fn rows_of_sleep_that_cannot_be_used_are_counted_on_their_day() {
    let db = user_in("UTC", "").await;
    sleep(
        &db,
        &[
            ("core", "watch", "2024-03-05 00:00Z", "2024-03-05 06:00Z"),
            ("core", "watch", "2024-03-05 12:00Z", "2024-03-05 11:00Z"),
            ("deep", "watch", "2024-03-07 00:00Z", "2024-03-09 00:00:01Z"),
            ("deep", "watch", "infinity", "infinity"),
        ],
    )
    .await;
    let report = db.run_once();
    assert_eq!((&report["rows_completed"], &report["rows_rejected"]), (&1.into(), &3.into()));
    assert_eq!(
        rejected(&db).await,
        ["vitals 2 end_before_start", "vitals 3 interval_too_long", "vitals 4 time_out_of_range"]
    );
    let counts = "SELECT concat_ws(' ', local_date, segment_count, rejected_count) FROM sleep_daily
                  ORDER BY local_date";
    assert_eq!(lines(&db, counts).await, ["2024-03-05 1 1", "2024-03-07 0 1"]);
    assert_as_from_scratch(&db).await;

    db.execute("UPDATE vitals_raw SET ended_at = '2024-03-07 01:00Z' WHERE id = 3").await;
    db.run_once();
    assert_eq!(lines(&db, counts).await, ["2024-03-05 1 1", "2024-03-07 1 0"]);
}

#[tokio::test]
async fn a_row_of_sleep_is_judged_by_value_and_unit_as_any_other() {
    let db = user_in("UTC", "").await;
    let night = ("core", "watch", "2024-03-05 00:00Z", "2024-03-05 06:00Z");
    let bad = ("deep", "watch", "2024-03-05 06:00Z", "2024-03-05 07:00Z");
    sleep(&db, &[night, bad, bad, bad, bad]).await;
    for (id, change) in [
        (1, "unit = '', value = 3"),
        (2, "value = 'NaN'"),
        (3, "unit = 'mg', source = 'ring'"),
        (4, "value = 2881, source = 'bed'"),
        (5, "value = 49, unit = 'h', source = 'phone'"),
    ] {
        db.execute(&format!("UPDATE vitals_raw SET {change} WHERE id = {id}")).await;
    }
    db.run_once();
    assert_eq!(
        rejected(&db).await,
        [
            "vitals 2 non_finite_value",
            "vitals 3 unknown_unit",
            "vitals 4 implausible_value",
            "vitals 5 implausible_value",
        ]
    );
    let counts = "SELECT concat_ws(' ', asleep_minutes, rejected_count) FROM sleep_daily";
    assert_eq!(lines(&db, counts).await, ["360 4"]);
    assert_as_from_scratch(&db).await;
}

#[tokio::test]
async fn vitals_without_sleep_read_nothing_of_sleep() {
    let db = user_in("UTC", "").await;
    // Each read and write of the table fails now.
    db.execute("ALTER TABLE sleep_daily RENAME TO asleep").await;
    crate::support::samples::insert_samples(&db, 1, 5).await;
    assert_eq!(db.run_once()["rows_completed"], 5);
    sleep(&db, &[("core", "watch", "2024-03-05 00:00Z", "2024-03-05 06:00Z")]).await;
    let released = &db.run(&["run-once", "--json"]).json()["rows_released"];
    assert_ne!(released, 0, "the test finds a reader");
}
