//! Loading CSV files.

mod exports;
mod workouts;

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::support::outside::{Scratch, assert_says, refused};
use crate::support::{Database, Ran};

const HEADER: &str = "user_id,metric,value,started_at";

/// `worker import`, reading from a pipe.
fn import(db: &Database, kind: &str, content: impl AsRef<[u8]>) -> Ran {
    let mut command = db.worker();
    command.args(["import", "--kind", kind, "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let content = content.as_ref().to_owned();
    // Beside the reading: the program may stop reading early, and its output is a pipe, too.
    let writing = std::thread::spawn(move || {
        let _ = stdin.write_all(&content);
    });
    let ran = Ran::of(child.wait_with_output().unwrap());
    writing.join().unwrap();
    ran
}

/// The command for a file that is to be refused as a whole.
fn import_file(db: &Database, kind: &str, path: &str) -> Command {
    let mut command = db.worker();
    command.args(["import", "--kind", kind, path]);
    command
}

async fn count(db: &Database, table: &str) -> i64 {
    db.value(&format!("SELECT count(*) FROM {table}")).await
}

/// The raw rows in the queue.
async fn queued(db: &Database) -> i64 {
    db.value("SELECT coalesce(sum(cardinality(raw_ids)), 0) FROM aggregation_queue").await
}

#[tokio::test]
async fn each_kind_is_loaded_queued_and_computed() {
    let db = Database::new().await;
    let files = [
        (
            "profiles",
            "user_id,time_zone,source_priority\n1,Europe/Berlin,watch; phone\n",
            "1 profile imported\n",
        ),
        (
            "vitals",
            "user_id,metric,value,unit,source,started_at\n1,heart_rate,60,bpm,watch,2024-05-01T10:00:00+02:00\n",
            "1 row imported\n",
        ),
        (
            "nutrition",
            "user_id,meal_type,eaten_at,energy_kcal,source\n1,lunch,2024-05-01T12:00:00+02:00,700,app\n1,dinner,2024-05-01T19:00:00+02:00,,app\n",
            "2 rows imported\n",
        ),
        (
            "labs",
            "user_id,value_text,status,collected_at,test_name,unit\n1,5.2,final,2024-05-01T08:00:00+02:00,Glucose,mmol/L\n",
            "1 row imported\n",
        ),
    ];
    let scratch = Scratch::new();
    for (kind, content, says) in files {
        let file = scratch.file(kind, content);
        let ran = db.run(&["import", "--kind", kind, file.to_str().unwrap()]);
        assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, says, ""));
    }
    let run = db.run_once();
    assert_eq!((&run["rows_completed"], &run["rows_rejected"]), (&4.into(), &0.into()));
    for table in ["vitals_daily", "nutrition_daily", "lab_daily"] {
        assert_eq!(count(&db, table).await, 1, "{table}");
    }
    let priority: Vec<String> = db.value("SELECT source_priority FROM user_profiles").await;
    assert_eq!(priority, ["watch", "phone"]);
}

#[tokio::test]
async fn bad_lines_are_reported_without_their_values_and_the_rest_is_loaded() {
    let db = Database::new().await;
    let content = format!(
        "{HEADER}\n\
         1,heart_rate,60,2024-05-01T10:00:00Z\n\
         1,heart_rate,secret60,2024-05-01T10:01:00Z\n\
         secret1,heart_rate,61,2024-05-01T10:02:00Z\n\
         1,heart_rate,62,secretday\n\
         1,heart_rate\n\
         1,heart_rate,63,2024-05-01T10:05:00Z,secret\n\
         1,,64,2024-05-01T10:06:00Z\n\
         1,heart_rate,65,2024-05-01T10:07:00Z\n"
    );

    let ran = import(&db, "vitals", content);

    assert_eq!((ran.code, ran.stdout.as_str()), (3, "2 rows imported; 6 bad lines left out\n"));
    let reported: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!(reported[0], "stdin, line 3: value is not a number");
    assert_eq!(reported[1], "stdin, line 4: user_id is not a whole number of 64 bits");
    assert_says(reported[2], &["stdin, line 5: started_at is not a time with offset"]);
    assert_says(reported[3], &["stdin, line 6: it has 2 fields", "4 columns"]);
    assert_says(reported[4], &["stdin, line 7: it has 5 fields"]);
    assert_eq!(reported[5], "stdin, line 8: metric is empty");
    assert_eq!(reported.len(), 6);
    assert!(!ran.stderr.contains("secret"), "{}", ran.stderr);
    assert_eq!(count(&db, "vitals_raw").await, 2);
    assert_eq!(queued(&db).await, 2);
}

#[tokio::test]
async fn very_many_bad_lines_are_counted_rather_than_listed() {
    let db = Database::new().await;
    let mut content = format!("{HEADER}\n");
    for _ in 0..50 {
        content.push_str("x,heart_rate,60,2024-05-01T10:00:00Z\n");
    }
    let scratch = Scratch::new();
    let file = scratch.file("bad.csv", content);
    let ran = db.run(&["import", "--kind", "vitals", "--json", file.to_str().unwrap()]);
    assert_eq!((ran.code, ran.stdout.lines().count()), (3, 1));
    assert_eq!((&ran.json()["rows"], &ran.json()["bad_lines"]), (&0.into(), &50.into()));
    assert_says(&ran.stderr, &["bad.csv, line 21: ", "… and 30 more bad lines"]);
    assert_eq!(ran.stderr.lines().count(), 21);
}

#[tokio::test]
async fn a_first_line_that_does_not_fit_stops_everything() {
    let db = Database::new().await;
    let scratch = Scratch::new();
    let cases: [(&str, &[&str]); 6] = [
        ("", &["line 1: the file is empty"]),
        (
            "user_id,metrik,value,started_at\n",
            &["line 1", "no column \"metrik\"", "did you mean metric?", "--skip-unknown-columns"],
        ),
        ("user_id,metric,value\n", &["line 1: the file lacks the column started_at"]),
        (
            "user_id,user_id,metric,value,started_at\n",
            &["line 1: column \"user_id\" is named twice"],
        ),
        ("\u{0}u\u{0}s\u{0}e\u{0}r", &["line 1: the file is UTF-16", "iconv -f UTF-16 -t UTF-8"]),
        ("user_id;metric;value;started_at\n", &["line 1: the columns must be separated by commas"]),
    ];
    for (content, says) in cases {
        let file = scratch.file("header.csv", content);
        let why = refused(&mut import_file(&db, "vitals", file.to_str().unwrap()));
        assert_says(&why, &["header.csv"]);
        assert_says(&why, says);
    }
    assert_eq!(count(&db, "vitals_raw").await, 0);
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_is_named() {
    let db = Database::new().await;
    let missing = refused(&mut import_file(&db, "vitals", "/nowhere/rows.csv"));
    assert_says(&missing, &["cannot open /nowhere/rows.csv", "No such file"]);
    assert_says(&refused(&mut import_file(&db, "vitals", "/tmp")), &["/tmp", "directory"]);
}

#[tokio::test]
async fn a_file_with_a_header_only_loads_nothing() {
    let db = Database::new().await;
    for content in [HEADER.to_owned(), format!("{HEADER}\n"), format!("{HEADER}\r\n\r\n\r\n")] {
        let ran = import(&db, "vitals", content);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, "0 rows imported\n"), "{ran:?}");
    }
}

#[tokio::test]
async fn files_of_other_systems_are_read_and_their_lines_counted_right() {
    let db = Database::new().await;
    let header = "user_id,food_name,meal_type,eaten_at";
    let rows = [
        "1,\"Soup,\nwith \"\"noodles\"\"\",lunch,2024-05-01T12:00:00Z",
        "1,Tea,snack,noon",
        "1,Bread,dinner,2024-05-01T19:00:00Z",
        "1,\"Two\n\nlines\",dinner,evening",
        "1,Milk,snack,night",
    ];
    let unix = format!("{header}\n{}\n", rows.join("\n"));
    let files = [
        unix.clone(),
        unix.replace('\n', "\r\n"),
        format!("\u{feff}{unix}"),
        format!("\u{feff}{}", unix.replace('\n', "\r\n")),
        unix.trim_end().to_owned(),
    ];
    for (nth, content) in files.iter().enumerate() {
        let ran = import(&db, "nutrition", content);
        assert_eq!((ran.code, ran.stdout.as_str()), (3, "2 rows imported; 3 bad lines left out\n"));
        let numbers: Vec<&str> =
            ran.stderr.lines().map(|line| line.split(':').next().unwrap()).collect();
        assert_eq!(numbers, ["stdin, line 4", "stdin, line 6", "stdin, line 9"], "file {nth}");
    }
    let foods = db
        .query("SELECT DISTINCT replace(food_name, E'\\r', '') FROM nutrition_raw ORDER BY 1", &[])
        .await;
    let foods: Vec<String> = foods.iter().map(|row| row.get(0)).collect();
    assert_eq!(foods, ["Bread", "Soup,\nwith \"noodles\""]);
}

#[tokio::test]
async fn text_arrives_byte_for_byte() {
    let db = Database::new().await;
    let food = "Käse \\N \\. a\tb 🧀 'x' \"y\"";
    let content = format!(
        "user_id,food_name,meal_type,eaten_at\n1,\"{}\",lunch,2024-05-01T12:00:00Z\n",
        food.replace('"', "\"\"")
    );
    assert_eq!(import(&db, "nutrition", content).code, 0);
    assert_eq!(db.value::<String>("SELECT food_name FROM nutrition_raw").await, food);
}

#[tokio::test]
async fn a_profile_replaces_the_one_that_exists() {
    let db = Database::new().await;
    let first = "user_id,time_zone,source_priority\n1,Europe/Berlin,watch;phone\n2,+05:30,\n";
    assert_eq!(import(&db, "profiles", first).stdout, "2 profiles imported\n");
    let second = "user_id,time_zone\n1,America/New_York\n3,Berlin\n";
    let ran = import(&db, "profiles", second);
    assert_eq!(ran.code, 3);
    assert_says(&ran.stderr, &["stdin, line 3: time_zone is neither an IANA time zone"]);
    let rows = db
        .query("SELECT time_zone, source_priority FROM user_profiles ORDER BY user_id", &[])
        .await;
    let rows: Vec<(String, Vec<String>)> =
        rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(rows, [("America/New_York".to_owned(), vec![]), ("+05:30".to_owned(), vec![])]);
}

#[tokio::test]
async fn twelve_thousand_rows_arrive_complete() {
    let db = Database::new().await;
    let mut content = format!("{HEADER}\n");
    for nth in 0..12_000 {
        let (minute, second) = (nth / 60 % 60, nth % 60);
        let hour = nth / 3600;
        writeln!(
            content,
            "{},heart_rate,{},2024-05-01T{hour:02}:{minute:02}:{second:02}Z",
            nth % 7,
            60 + nth % 40
        )
        .unwrap();
    }
    let scratch = Scratch::new();
    let file = scratch.file("large.csv", content);
    let ran = db.run(&["import", "--kind", "vitals", file.to_str().unwrap()]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "12,000 rows imported\n"));
    assert_eq!(count(&db, "vitals_raw").await, 12_000);
    assert_eq!(queued(&db).await, 12_000);
    let users_and_sum: (i64, f64) = {
        let row =
            &db.query("SELECT count(DISTINCT user_id), sum(value) FROM vitals_raw", &[]).await[0];
        (row.get(0), row.get(1))
    };
    assert_eq!(users_and_sum, (7, 12_000.0 * 79.5));
}

#[tokio::test]
async fn the_same_vitals_loaded_twice_change_no_figure() {
    let db = Database::new().await;
    let content = "user_id,metric,value,unit,source,started_at,ended_at\n\
        1,heart_rate,60,bpm,watch,2024-05-01T10:00:00Z,\n\
        1,heart_rate,75,bpm,watch,2024-05-01T10:20:00Z,\n\
        1,heart_rate,90,bpm,strap,2024-05-01T11:00:00Z,\n\
        1,steps,500,steps,watch,2024-05-01T10:00:00Z,2024-05-01T10:30:00Z\n\
        1,steps,700,steps,phone,2024-05-01T10:15:00Z,2024-05-01T11:15:00Z\n";
    const FIGURES: &str = "SELECT string_agg(to_jsonb(figures)::text, E'\\n' ORDER BY metric)
         FROM (SELECT * FROM vitals_daily) AS figures";
    let without_computed_at =
        FIGURES.replace("to_jsonb(figures)", "(to_jsonb(figures) - 'computed_at')");

    assert_eq!(import(&db, "vitals", content).code, 0);
    assert_eq!(db.run_once()["rows_completed"], 5);
    let once: String = db.value(&without_computed_at).await;
    assert_eq!(import(&db, "vitals", content).code, 0);
    assert_eq!(db.run_once()["rows_claimed"], 5);
    let twice: String = db.value(&without_computed_at).await;

    assert_eq!(once, twice);
    assert_eq!(count(&db, "vitals_raw").await, 10);
}

#[tokio::test]
async fn a_quote_that_is_not_closed_costs_its_own_line_alone() {
    let db = Database::new().await;
    let content = "user_id,metric,value,unit,started_at,source\n\
        1,heart_rate,60,bpm,2024-05-01T10:00:00Z,watch\n\
        1,heart_rate,61,bpm,2024-05-01T10:01:00Z,\"watch\n\
        1,heart_rate,62,bpm,2024-05-01T10:02:00Z,watch\n\
        1,heart_rate,63,bpm,2024-05-01T10:03:00Z,\"phone\"\n";
    let ran = import(&db, "vitals", content);
    assert_eq!((ran.code, ran.stdout.as_str()), (3, "3 rows imported; 1 bad line left out\n"));
    assert_eq!(ran.stderr, "stdin, line 3: a quote opens in it and is not closed\n");
    let sources = "SELECT string_agg(source, ' ' ORDER BY started_at) FROM vitals_raw";
    assert_eq!(db.value::<String>(sources).await, "watch watch phone");
}

#[tokio::test]
async fn unknown_columns_are_left_out_and_named_if_asked_to() {
    let db = Database::new().await;
    let scratch = Scratch::new();
    let file = scratch.file(
        "export.csv",
        "User_ID,Device,Metric,Value,Unit,Started_At\n1,secret,heart_rate,60,bpm,2024-05-01T10:00:00Z\n",
    );
    let file = file.to_str().unwrap();
    assert_eq!(db.run(&["import", "--kind", "vitals", file]).code, 1);
    let ran = db.run(&["import", "--kind", "vitals", "--skip-unknown-columns", file]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "1 row imported\n"), "{ran:?}");
    assert_says(&ran.stderr, &["left out columns: Device"]);
    assert!(!ran.stderr.contains("secret"));
}

/// As an export of a sensor has them.
#[tokio::test]
async fn readings_out_of_a_sensors_range_are_loaded_as_bounds() {
    let db = Database::new().await;
    let content = "user_id,metric,value,unit,source,started_at\n\
        1,blood_glucose,Low,mg/dL,Dexcom,2024-03-05T08:00:00Z\n\
        1,blood_glucose,High,mg/dL,Dexcom,2024-03-05T08:05:00Z\n\
        1,blood_glucose,<40,mg/dL,Dexcom,2024-03-05T08:10:00Z\n\
        1,blood_glucose,>400,mg/dL,Dexcom,2024-03-05T08:15:00Z\n\
        1,blood_glucose,101,mg/dL,Dexcom,2024-03-05T08:20:00Z\n\
        2,blood_glucose,LOW,mmol/L,Dexcom,2024-03-05T08:00:00Z\n\
        2,blood_glucose,hi,mmol/l,Libre,2024-03-05T08:05:00Z\n\
        3,heart_rate,Low,bpm,Watch,2024-03-05T08:00:00Z\n\
        3,blood_glucose,High,,Meter,2024-03-05T08:00:00Z\n";
    let ran = import(&db, "vitals", content);
    assert_eq!((ran.code, ran.stdout.as_str()), (3, "7 rows imported; 2 bad lines left out\n"));
    let why = "value is not a number; a reading out of the sensor's range has its bound here and < or > in \
               the column comparator";
    let lines: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!(lines, [format!("stdin, line 9: {why}"), format!("stdin, line 10: {why}")]);
    let rows =
        "SELECT string_agg(comparator || value, ' ' ORDER BY user_id, started_at) FROM vitals_raw";
    assert_eq!(db.value::<String>(rows).await, "<40 >400 <40 >400 <2.2 >22.2");
    db.run_once();
    let day = "SELECT string_agg(concat_ws(' ', sample_count, censored_count, below_54_percent,
                                           above_250_percent), '; ' ORDER BY user_id) FROM glucose_daily";
    assert_eq!(db.value::<String>(day).await, "1 4 40 40; 0 2 50 50");
}
