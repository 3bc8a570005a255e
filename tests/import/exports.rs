//! Exports of apps and systems. `samples/README.md` says where their shapes come from.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Stdio};

use aggregation::UserIdType;

use crate::support::outside::{Scratch, assert_says, refused};
use crate::support::running::eventually;
use crate::support::terminal::at_terminal;
use crate::support::{Database, Ran, root};

pub(super) fn sample(name: &str) -> String {
    root().join("tests/import/samples").join(name).display().to_string()
}

/// Imports a file for user 1, in Berlin.
fn import(db: &Database, file: &str) -> Ran {
    db.run(&["import", "--user", "1", "--time-zone", "Europe/Berlin", file])
}

fn command(db: &Database, file: &str) -> Command {
    let mut command = db.worker();
    command.args(["import", "--user", "1", "--time-zone", "Europe/Berlin", file]);
    command
}

/// The rows of a query as lines of text.
pub(super) async fn lines(db: &Database, select: &str) -> String {
    let sql =
        format!("SELECT coalesce(string_agg(line, E'\\n'), '') FROM ({select}) AS lines(line)");
    db.value(&sql).await
}

const DAILY: &str = "SELECT concat_ws(' ', local_date, metric, sample_count, \
    coalesce(total, mean)::numeric(12, 4), unit) FROM vitals_daily ORDER BY metric, local_date";

const SLEEP: &str = "SELECT concat_ws(' ', local_date, asleep_minutes, core_minutes, deep_minutes, \
    rem_minutes, awake_minutes, in_bed_minutes, efficiency::numeric(6, 3)) FROM sleep_daily ORDER BY 1";

const PRESSURE: &str = "SELECT concat_ws(' ', local_date, pair_count, unpaired_count, systolic_mean, \
    diastolic_mean) FROM blood_pressure_daily ORDER BY 1";

const GLUCOSE: &str = "SELECT concat_ws(' ', local_date, sample_count, censored_count, \
    mean::numeric(8, 2), below_70_percent, from_70_to_180_percent, above_180_percent) \
    FROM glucose_daily ORDER BY 1";

/// All figures without the time of their computation.
const FIGURES: &str = "SELECT (to_jsonb(v) - 'computed_at')::text FROM vitals_daily AS v
    UNION ALL SELECT (to_jsonb(s) - 'computed_at')::text FROM sleep_daily AS s
    UNION ALL SELECT (to_jsonb(l) - 'computed_at')::text FROM lab_daily AS l ORDER BY 1";

#[tokio::test]
async fn an_export_of_apple_health_becomes_the_right_figures() {
    let db = Database::new().await;
    let ran = import(&db, &sample("export.xml"));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert_says(
        &ran.stdout,
        &[
            "Apple Health: 25 rows imported; 2 rows there already or repeated",
            "Not imported: 4 records",
            "2 HKQuantityTypeIdentifierDietaryProtein",
            "1 HKCategoryTypeIdentifierMindfulSession",
            "1 ActivitySummary",
        ],
    );
    assert_eq!(db.run_once()["rows_rejected"], 0);
    assert_eq!(
        lines(&db, DAILY).await,
        "2024-05-01 blood_pressure_diastolic 1 81.0000 mm[Hg]\n\
         2024-05-01 blood_pressure_systolic 1 122.0000 mm[Hg]\n\
         2024-05-01 heart_rate 3 70.0000 /min\n\
         2024-05-01 oxygen_saturation 1 97.0000 %\n\
         2024-05-01 stand_hours 2 1.0000 h\n\
         2024-05-01 steps 2 250.0000 {steps}\n\
         2024-05-01 vo2_max 1 42.5000 mL/kg/min\n\
         2024-05-01 workout_distance 1 5200.0000 m\n\
         2024-05-02 workout_distance 1 16093.4400 m\n\
         2024-05-01 workout_duration 1 30.5000 min\n\
         2024-05-02 workout_duration 1 45.0000 min\n\
         2024-05-01 workout_energy 1 310.0000 kcal\n\
         2024-05-02 workout_energy 1 239.0057 kcal\n\
         2024-05-01 workouts 1 1.0000 {count}\n\
         2024-05-02 workouts 1 1.0000 {count}"
    );
    assert_eq!(lines(&db, SLEEP).await, "2024-05-02 420 270 60 90 10 480 0.875");
    assert_eq!(lines(&db, PRESSURE).await, "2024-05-01 1 0 122 81");
    let zone = "SELECT time_zone FROM vitals_raw WHERE value = 80";
    assert_eq!(db.value::<String>(zone).await, "America/New_York");
}

#[tokio::test]
async fn an_export_of_health_auto_export_becomes_the_right_figures() {
    let db = Database::new().await;
    let zone = "America/Los_Angeles";
    let file = sample("health-auto-export.json");
    let ran = db.run(&["import", "--user", "1", "--time-zone", zone, &file]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert_says(&ran.stdout, &["2 heart_rate.Min.Max", "1 dietary_sugar", "Health Auto Export: "]);
    assert!(!ran.stdout.contains("workouts"), "{}", ran.stdout);
    assert_eq!(db.run_once()["rows_rejected"], 0);
    assert_eq!(
        lines(&db, DAILY).await,
        "2024-02-07 blood_pressure_diastolic 1 76.0000 mm[Hg]\n\
         2024-02-07 blood_pressure_systolic 1 118.0000 mm[Hg]\n\
         2024-02-07 body_mass 1 69.8532 kg\n\
         2024-02-07 heart_rate 2 65.0000 /min\n\
         2024-02-07 stand_hours 2 2.0000 h\n\
         2024-02-06 steps 1 8500.0000 {steps}\n\
         2024-02-07 steps 1 9000.0000 {steps}\n\
         2024-02-07 vo2_max 1 41.5000 mL/kg/min\n\
         2024-02-07 workout_distance 1 4988.9664 m\n\
         2024-02-07 workout_duration 1 29.0000 min\n\
         2024-02-07 workout_energy 1 310.5000 kcal\n\
         2024-02-07 workouts 1 1.0000 {count}"
    );
    assert_eq!(
        lines(&db, SLEEP).await,
        "2024-02-07 420 240 60 120 30 480 0.875\n2024-02-08 240 180 0 60 30 270 0.889"
    );
    let totals = "SELECT count(*) FROM vitals_raw WHERE is_daily_total";
    assert_eq!(db.value::<i64>(totals).await, 2);
}

#[tokio::test]
async fn observations_of_fhir_become_vitals_and_results_from_lines_and_from_a_bundle() {
    for name in ["observations.ndjson", "bundle.json"] {
        let db = Database::new().await;
        let ran = import(&db, &sample(name));
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
        assert_says(
            &ran.stdout,
            &[
                "FHIR: 9 rows imported",
                "1 Patient",
                "1 Observation.without.value",
                "1 Observation.without.day",
                "1 Observation.of.other.status",
            ],
        );
        assert_eq!(db.run_once()["rows_rejected"], 0);
        assert_eq!(
            lines(&db, DAILY).await,
            "2024-05-01 blood_pressure_diastolic 1 79.0000 mm[Hg]\n\
             2024-05-01 blood_pressure_systolic 1 124.0000 mm[Hg]\n\
             2024-05-01 body_mass_index 1 22.5000 kg/m2\n\
             2024-05-01 heart_rate 1 64.0000 /min\n\
             2024-05-01 workout_duration 1 40.0000 min\n\
             2024-05-01 workouts 1 1.0000 {count}"
        );
        let labs = "SELECT concat_ws(' ', local_date, analyte, reported_value, reported_unit, \
            last_comparator, last_text, last_flag, reported_range) FROM lab_daily ORDER BY analyte";
        assert_eq!(
            lines(&db, labs).await,
            "2024-05-01 2345-7 6.30 mmol/L H 3.9 - 5.6\n\
             2024-05-01 30522-7 <0.5 mg/L < N <=3.0\n\
             2024-05-01 5802-4 Negative Negative"
        );
        let midnight = "SELECT (collected_at AT TIME ZONE 'Europe/Berlin')::text FROM lab_raw \
            WHERE loinc_code = '2345-7'";
        assert_eq!(db.value::<String>(midnight).await, "2024-05-01 00:00:00");
    }
}

#[tokio::test]
async fn exports_of_glucose_sensors_become_the_right_figures() {
    for (name, says, figures) in [
        (
            "clarity.csv",
            ["Dexcom Clarity: 4 rows imported", "1 Calibration", "1 Insulin"],
            "2024-05-01 2 2 110.00 25 50 25",
        ),
        (
            "libreview.csv",
            ["LibreView: 4 rows imported", "1 scan", "1 food"],
            // 5, 6 and 7 mmol/L, then 4.5 mmol/L.
            "2024-05-01 3 0 108.09 0 100 0\n2024-05-13 1 0 81.07 0 100 0",
        ),
        (
            "nightscout.json",
            ["Nightscout: 4 rows imported", "1 sgv.error.code", "1 cal"],
            "2024-05-01 3 1 113.00 0 75 25",
        ),
    ] {
        let db = Database::new().await;
        let ran = import(&db, &sample(name));
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
        assert_says(&ran.stdout, &says);
        assert_eq!(db.run_once()["rows_rejected"], 0);
        assert_eq!(lines(&db, GLUCOSE).await, figures, "{name}");
    }
}

/// `samples/public/README.md` names the origin of these files.
#[tokio::test]
async fn public_samples_of_others_become_the_right_figures() {
    let db = Database::new().await;
    for name in ["healthkit-to-sqlite.xml", "fhir-r4-vital-signs.ndjson"] {
        let ran = import(&db, &sample(&format!("public/{name}")));
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    }
    assert_eq!(db.run_once()["rows_rejected"], 0);
    assert_eq!(
        lines(&db, DAILY).await,
        "2012-09-17 blood_pressure_diastolic 1 60.0000 mm[Hg]\n\
         2012-09-17 blood_pressure_systolic 1 107.0000 mm[Hg]\n\
         2016-03-28 body_mass 1 83.9146 kg\n\
         1999-07-02 body_mass_index 1 16.2000 kg/m2\n\
         2016-04-18 body_mass_index 1 22.5312 kg/m2\n\
         1999-07-02 body_temperature 1 36.5000 Cel\n\
         1999-07-02 heart_rate 1 44.0000 /min\n\
         2018-09-10 heart_rate 1 72.0000 /min\n\
         1999-07-02 height 1 169.9260 cm\n\
         2014-12-05 oxygen_saturation 1 95.0000 %\n\
         1999-07-02 respiratory_rate 1 26.0000 /min\n\
         2016-11-14 workout_distance 1 800.1255 m\n\
         2016-11-14 workout_duration 1 5.1941 min\n\
         2016-11-14 workout_energy 1 48.7450 kcal\n\
         2016-11-14 workouts 1 1.0000 {count}"
    );
    assert_eq!(lines(&db, PRESSURE).await, "2012-09-17 1 0 107 60");
    let ran = db.run(&["import", "--user", "2", &sample("public/fhir-r4-blood.ndjson")]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    // Gases and blood counts are no analytes of the catalogue.
    assert_says(&ran.stdout, &["FHIR: 1 row imported", "1 LOINC:11557-6", "1 LOINC:789-8"]);
    db.run_once();
    let labs = "SELECT concat_ws(' ', local_date, analyte, reported_value, reported_unit, \
        round(last_value::numeric, 2), unit, last_flag, reported_range) FROM lab_daily ORDER BY analyte";
    let glucose = "2013-04-02 15074-8 6.3 mmol/L 113.50 mg/dL H 3.1 - 6.2";
    assert_eq!(lines(&db, labs).await, glucose);
}

#[tokio::test]
async fn an_import_that_is_repeated_changes_nothing_and_says_so() {
    let db = Database::new().await;
    let names =
        ["export.xml", "health-auto-export.json", "bundle.json", "clarity.csv", "nightscout.json"];
    for name in names {
        assert_eq!(import(&db, &sample(name)).code, 0);
    }
    db.run_once();
    let once = lines(&db, FIGURES).await;
    for name in names {
        let ran = import(&db, &sample(name));
        assert_says(&ran.stdout, &[": 0 rows imported; ", "there already", "; nothing changed"]);
    }
    assert_eq!(db.value::<i64>("SELECT count(*) FROM aggregation_queue").await, 0);
    assert_eq!(lines(&db, FIGURES).await, once);
}

#[tokio::test]
async fn the_zip_file_around_an_export_is_read() {
    let db = Database::new().await;
    let scratch = Scratch::new();
    let file = scratch.file("export.zip", zip(&std::fs::read(sample("export.xml")).unwrap(), &[]));
    let ran = import(&db, file.to_str().unwrap());
    assert_says(&ran.stdout, &["Apple Health: 25 rows imported"]);
}

#[tokio::test]
async fn a_user_and_a_time_zone_that_are_needed_are_asked_for() {
    let db = Database::new().await;
    let file = sample("clarity.csv");
    let mut without_user = db.worker();
    without_user.args(["import", &file]);
    assert_says(
        &refused(&mut without_user),
        &["Dexcom Clarity does not name the user", "--user ID"],
    );
    let mut without_zone = db.worker();
    without_zone.args(["import", "--user", "1", &file]);
    assert_says(&refused(&mut without_zone), &["no offset from UTC", "--time-zone Europe/Berlin"]);
    db.execute("INSERT INTO user_profiles (user_id, time_zone) VALUES (1, 'Asia/Tokyo')").await;
    assert_eq!(db.run(&["import", "--user", "1", &file]).code, 0);
    let first = "SELECT min(started_at) = '2024-04-30T23:00Z' FROM vitals_raw";
    assert!(db.value::<bool>(first).await);
}

#[tokio::test]
async fn our_csv_is_recognised_by_its_columns() {
    let db = Database::new().await;
    let scratch = Scratch::new();
    let vitals = scratch.file(
        "vitals.csv",
        "User_ID,metric,value,unit,started_at\n1,heart_rate,60,bpm,2024-05-01T10:00:00Z\n",
    );
    let profiles = scratch.file("profiles.csv", "user_id,time_zone\n1,Europe/Berlin\n");
    let ran = db.run(&["import", vitals.to_str().unwrap(), profiles.to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_says(&ran.stdout, &["vitals.csv: 1 row imported", "profiles.csv: 1 profile imported"]);
    let other = scratch.file("other.csv", "a,b\n1,2\n");
    let mut command = db.worker();
    command.args(["import", other.to_str().unwrap()]);
    assert_says(&refused(&mut command), &["other.csv", "none that can be imported", "--kind"]);
}

#[tokio::test]
async fn a_file_that_was_cut_off_says_so_and_how_much_is_loaded() {
    let db = Database::new().await;
    let scratch = Scratch::new();
    for (name, cut, says) in [
        ("export.xml", "HKQuantityTypeIdentifierVO2Max", "after record 6: the file ends too early"),
        ("health-auto-export.json", "\"systolic\"", "the file ends too early"),
        ("bundle.json", "\"o4\"", "the file ends too early"),
        ("nightscout.json", "\"a3\"", "the file ends too early"),
    ] {
        let text = std::fs::read_to_string(sample(name)).unwrap();
        let file = scratch.file(name, &text[..text.find(cut).unwrap()]);
        let why = refused(&mut command(&db, file.to_str().unwrap()));
        assert_says(&why, &[name, says, "before this were loaded"]);
    }
    let text = std::fs::read_to_string(sample("observations.ndjson")).unwrap();
    let file = scratch.file("cut.ndjson", &text[..text.find("\"o4\"").unwrap()]);
    let ran = import(&db, file.to_str().unwrap());
    assert_eq!(ran.code, 3);
    assert_says(&ran.stderr, &["cut.ndjson, line 5: it ends too early; the file was cut off"]);
    let whole = zip(&std::fs::read(sample("export.xml")).unwrap(), &[]);
    let file = scratch.file("cut.zip", &whole[..whole.len() - 60]);
    let why = refused(&mut command(&db, file.to_str().unwrap()));
    assert_says(&why, &["cut.zip", "damaged or was cut off", "export or copy it again"]);
}

#[tokio::test]
async fn files_of_adversaries_end_with_one_sentence() {
    let db = Database::new().await;
    let scratch = Scratch::new();
    let root_element = |inside: &str| format!("<HealthData locale=\"x\">{inside}</HealthData>");
    let laughs = "<!DOCTYPE HealthData [<!ENTITY a \"haha\"><!ENTITY b \"&a;&a;&a;&a;\">]>";
    let record = |source: &str| {
        format!(
            "<Record type=\"HKQuantityTypeIdentifierStepCount\" unit=\"count\" value=\"1\" \
             sourceName=\"{source}\" startDate=\"2024-05-01 10:00:00 +0200\" \
             endDate=\"2024-05-01 10:10:00 +0200\"/>"
        )
    };
    let bomb = zip(&b"<a/>".repeat(10 << 20), b"<HealthData>");
    let deep =
        |open: &str| format!("{{\"resourceType\":\"Bundle\",\"entry\":{}", open.repeat(100_000));
    let utf16: Vec<u8> = "<HealthData>".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let cases: Vec<(&str, Vec<u8>, &[&str])> = vec![
        ("bomb.zip", bomb, &["more than 250 times its size"]),
        ("utf16.xml", utf16, &["UTF-16 or binary", "iconv"]),
        (
            "latin.xml",
            format!("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>{}", root_element("")).into(),
            &["not in UTF-8"],
        ),
        (
            "long.xml",
            root_element(&record(&"x".repeat(3 << 20))).into(),
            &["an element is longer than 1048576 bytes"],
        ),
        (
            "long.json",
            format!("{{\"resourceType\":\"Bundle\",\"entry\":[\"{}\"]}}", "x".repeat(20 << 20))
                .into(),
            &["a record is longer than"],
        ),
        ("deep.json", deep("[").into(), &["line 1"]),
        ("other.xml", b"<!-- HealthData --><html></html>".to_vec(), &["no export of Apple Health"]),
        ("nothing.zip", zip_named("a.txt", b"a", b"a"), &["no export.xml"]),
    ];
    for (name, content, says) in cases {
        let file = scratch.file(name, content);
        let why = refused(&mut command(&db, file.to_str().unwrap()));
        assert_says(&why, &[name]);
        assert_says(&why, says);
    }
    let content = format!("{laughs}{}", root_element(&(record("&b;") + &record("watch"))));
    let file = scratch.file("laughs.xml", content);
    let ran = import(&db, file.to_str().unwrap());
    assert_eq!(ran.code, 3);
    assert_says(&ran.stdout, &["1 row imported", "1 bad record left out"]);
    assert_says(&ran.stderr, &["laughs.xml, record 1: an attribute has an entity"]);
}

#[tokio::test]
async fn a_second_patient_in_a_file_is_not_given_to_the_same_user() {
    let db = Database::new().await;
    let scratch = Scratch::new();
    let text = std::fs::read_to_string(sample("observations.ndjson")).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines[4] = lines[4].replace("Patient/p1", "Patient/p2");
    let file = scratch.file("two.ndjson", lines.join("\n"));
    let why = refused(&mut command(&db, file.to_str().unwrap()));
    assert_says(
        &why,
        &["two.ndjson", "line 5: it is about another patient", "4 rows before this were loaded"],
    );
    assert!(!why.contains("p2"), "{why}");
}

#[tokio::test]
async fn a_bad_record_is_reported_without_its_values() {
    let db = Database::new().await;
    let scratch = Scratch::new();
    let text = std::fs::read_to_string(sample("export.xml")).unwrap();
    let text = text.replace("value=\"60\"", "value=\"secret\"").replace("10:01:00 +0200", "secret");
    let file: PathBuf = scratch.file("bad.xml", text);
    let ran = import(&db, file.to_str().unwrap());
    assert_eq!(ran.code, 3);
    assert_says(
        &ran.stderr,
        &["bad.xml, record 3: value is not a number", "record 4: startDate or endDate"],
    );
    assert!(!ran.stderr.contains("secret") && !ran.stdout.contains("secret"));
}

#[tokio::test]
async fn an_export_is_loaded_for_a_user_whose_id_is_no_number() {
    for (id_type, user) in
        [(UserIdType::Uuid, "0190d3a8-7c1e-7a53-9b0e-5d1f0a4c2e11"), (UserIdType::Text, "anna")]
    {
        let db = Database::with_user_ids(id_type).await;
        let file = sample("bundle.json");
        let import = ["import", "--user", user, "--time-zone", "Europe/Berlin", &file];
        assert_says(&db.run(&import).stdout, &["FHIR: 9 rows imported"]);
        assert_says(&db.run(&import).stdout, &["nothing changed"]);
        let users = "SELECT string_agg(DISTINCT user_id::text, ' ') FROM vitals_raw";
        assert_eq!(db.value::<String>(users).await, user);
    }
    let db = Database::with_user_ids(UserIdType::Uuid).await;
    let wrong = db.run(&["import", "--user", "seven", &sample("bundle.json")]);
    assert_eq!(wrong.code, 2);
    assert_says(&wrong.stderr, &["'--user <ID>'", "32 hexadecimal digits"]);
}

/// An export with steps in this many minutes.
fn export_of(minutes: u32, end: &str) -> String {
    let mut text = "<?xml version=\"1.0\"?>\n<HealthData locale=\"x\">\n".to_owned();
    for minute in 0..minutes {
        let (day, hour, minute) = (1 + minute / 1440, minute / 60 % 24, minute % 60);
        let (month, day) = (1 + day / 29, 1 + day % 29 % 28);
        let at = format!("2023-{month:02}-{day:02} {hour:02}:{minute:02}:00 +0000");
        text.push_str(&format!(
            "<Record type=\"HKQuantityTypeIdentifierStepCount\" unit=\"count\" value=\"{}\" \
             sourceName=\"Watch\" startDate=\"{at}\" endDate=\"{at}\"/>\n",
            minute % 7
        ));
    }
    text + end
}

#[tokio::test]
async fn an_import_that_is_interrupted_says_how_far_it_came_and_continues() {
    let db = Database::new().await;
    // The pipe stays open, so the program waits for more when the signal comes.
    let mut import = db.worker();
    import.args(["import", "--user", "1", "-"]);
    import.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = import.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(export_of(40_320, "").as_bytes()).unwrap();
    eventually(&db, "SELECT count(*) FROM vitals_raw", 40_000).await;
    let process = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &process]).status().unwrap().success());
    let ran = Ran::of(child.wait_with_output().unwrap());
    drop(stdin);
    assert_eq!(ran.code, 130, "{ran:?}");
    assert_says(
        &ran.stdout,
        &["40,000 rows imported", "Stopped before the end", "same command to continue"],
    );

    let scratch = Scratch::new();
    let file = scratch.file("export.xml", export_of(40_320, "</HealthData>"));
    let ran = db.run(&["import", "--user", "1", file.to_str().unwrap()]);
    assert_says(&ran.stdout, &["320 rows imported; 40,000 rows there already or repeated"]);
}

#[tokio::test]
async fn progress_of_an_export_is_shown_at_a_terminal() {
    let db = Database::new().await;
    let scratch = Scratch::new();
    let file = scratch.file("export.xml", export_of(40_320, "</HealthData>"));
    let mut command = command(&db, file.to_str().unwrap());
    let (code, text) = at_terminal(&mut command, 100);
    assert_eq!(code, 0, "{text}");
    assert_says(&text, &["importing", " of ", "MiB", "/s)", " left", "40,320 rows imported"]);
}

/// The greatest memory that a running process has had, in MiB.
fn peak_memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().split(' ').next().unwrap().parse::<u64>().unwrap() >> 10
}

/// Imports what `write` writes to a pipe. Returns the result and the peak of the memory in MiB, read when
/// all but the last bytes of the pipe are read.
fn import_written(db: &Database, write: impl FnOnce(&mut ChildStdin)) -> (Ran, u64) {
    let mut import = command(db, "-");
    import.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = import.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    write(&mut stdin);
    let peak = peak_memory(child.id());
    drop(stdin);
    (Ran::of(child.wait_with_output().unwrap()), peak)
}

#[tokio::test]
async fn an_import_of_any_length_stays_within_100_mib() {
    let db = Database::new().await;
    let rows = export_of(40_320, "");
    let other = "<Record type=\"HKQuantityTypeIdentifierDietaryProtein\" sourceName=\"Food app\" \
        unit=\"g\" startDate=\"2024-05-01 13:00:00 +0200\" endDate=\"2024-05-01 13:00:00 +0200\" \
        value=\"21\"/>\n"
        .repeat(1_000);
    let (ran, peak) = import_written(&db, |stdin| {
        stdin.write_all(rows.as_bytes()).unwrap();
        for _ in 0..300 {
            stdin.write_all(other.as_bytes()).unwrap();
        }
        stdin.write_all(b"</HealthData>").unwrap();
    });
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_says(
        &ran.stdout,
        &["40,320 rows imported", "300,000 HKQuantityTypeIdentifierDietaryProtein"],
    );
    assert!(peak < 100, "{peak} MiB");
}

#[tokio::test]
async fn a_line_of_two_gigabytes_is_one_bad_record_and_takes_no_memory() {
    let db = Database::new().await;
    let line = std::fs::read_to_string(sample("observations.ndjson")).unwrap();
    let line = line.lines().nth(1).unwrap();
    let part = vec![b'x'; 1 << 20];
    let (ran, peak) = import_written(&db, |stdin| {
        writeln!(stdin, "{line}").unwrap();
        write!(stdin, "{{\"resourceType\":\"Observation\",\"id\":\"").unwrap();
        for _ in 0..2_048 {
            stdin.write_all(&part).unwrap();
        }
        writeln!(stdin, "\"}}\n{line}").unwrap();
    });
    assert_eq!(ran.code, 3, "{ran:?}");
    assert_says(&ran.stderr, &["stdin, line 2: it is longer than 16777216 bytes"]);
    assert_says(&ran.stdout, &["there already or repeated", "1 bad record left out"]);
    assert!(peak < 100, "{peak} MiB");
}

/// A zip file with `export.xml`, made of `beginning` and `content`.
fn zip(content: &[u8], beginning: &[u8]) -> Vec<u8> {
    zip_named("apple_health_export/export.xml", beginning, content)
}

/// A zip file with one deflated entry: a stored block of `beginning`, then `content`.
fn zip_named(name: &str, beginning: &[u8], content: &[u8]) -> Vec<u8> {
    use flate2::Compression;
    use flate2::write::DeflateEncoder;

    let whole = [beginning, content].concat();
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&whole).unwrap();
    let packed = encoder.finish().unwrap();
    let mut crc = flate2::Crc::new();
    crc.update(&whole);
    let le16 = |number: usize| u16::try_from(number).unwrap().to_le_bytes();
    let le32 = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
    let mut shared = [le16(20), le16(0), le16(8), le16(0), le16(0)].concat();
    shared.extend(crc.sum().to_le_bytes());
    shared.extend([le32(packed.len()), le32(whole.len())].concat());
    shared.extend([le16(name.len()), le16(0)].concat());
    let mut file = [b"PK\x03\x04", shared.as_slice(), name.as_bytes(), &packed].concat();
    let directory = file.len();
    file.extend([b"PK\x01\x02", le16(20).as_slice(), shared.as_slice()].concat());
    file.extend([0; 14]);
    file.extend(name.as_bytes());
    let length = file.len() - directory;
    file.extend([b"PK\x05\x06".as_slice(), &[0; 4], &le16(1), &le16(1)].concat());
    file.extend([le32(length).as_slice(), &le32(directory), &[0; 2]].concat());
    file
}
