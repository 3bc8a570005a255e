//! `worker report`: some days of one user as a page to look at.

mod glucose;
mod periods;
mod pressure;
mod summary;
mod units;
mod workouts;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use crate::support::outside::{Scratch, assert_says, refused};
use crate::support::running::waiting;
use crate::support::{Database, Ran, worker_at};

/// The days that most tests look at.
const MAY: [&str; 4] = ["--from", "2024-05-01", "--to", "2024-05-05"];

/// Rows of user 1 for which every figure is known by heart, on the first of May and the third.
async fn insert_days(db: &Database) {
    db.execute(
        "INSERT INTO user_profiles VALUES (1, 'Europe/Berlin', '{watch,phone}');
         INSERT INTO vitals_raw (user_id, metric, value, comparator, unit, source, started_at, ended_at)
         SELECT 1, metric, value, comparator, unit, source, day + start_at, day + end_at
         FROM (VALUES (timestamptz '2024-05-01 00:00+02'), ('2024-05-03 00:00+02')) AS days (day),
              (VALUES ('heart_rate', 60, NULL, 'bpm', 'watch', interval '8 h', interval '8 h'),
                      ('heart_rate', 70, NULL, 'bpm', 'phone', '9 h', '9 h'),
                      ('heart_rate', 83, NULL, 'bpm', 'watch', '10 h', '10 h'),
                      ('heart_rate', 999, NULL, 'bpm', 'watch', '11 h', '11 h'),
                      ('steps', 600, NULL, 'steps', 'watch', '10 h', '11 h'),
                      ('steps', 900, NULL, 'steps', 'phone', '10 h 30 min', '11 h 30 min'),
                      ('body_mass', 71.5, NULL, 'kg', 'scale', '7 h', '7 h'),
                      ('blood_glucose', 50, NULL, 'mg/dL', 'sensor', '8 h', '8 h'),
                      ('blood_glucose', 60, NULL, 'mg/dL', 'sensor', '8 h 5 min', '8 h 5 min'),
                      ('blood_glucose', 100, NULL, 'mg/dL', 'sensor', '8 h 10 min', '8 h 10 min'),
                      ('blood_glucose', 200, NULL, 'mg/dL', 'sensor', '8 h 15 min', '8 h 15 min'),
                      ('blood_glucose', 400, '>', 'mg/dL', 'sensor', '8 h 20 min', '8 h 20 min'),
                      ('blood_pressure_systolic', 121, NULL, 'mmHg', 'cuff', '9 h', '9 h'),
                      ('blood_pressure_diastolic', 76, NULL, 'mmHg', 'cuff', '9 h', '9 h'),
                      ('sleep_in_bed', 1, NULL, 'min', 'watch', '-1 h', '7 h'),
                      ('sleep_core', 1, NULL, 'min', 'watch', '0 h', '5 h'),
                      ('sleep_deep', 1, NULL, 'min', 'watch', '5 h', '6 h 5 min'))
                  AS v (metric, value, comparator, unit, source, start_at, end_at);
         INSERT INTO nutrition_raw (user_id, food_name, meal_type, eaten_at, source, energy_kcal,
                                    protein_g, fat_g, carbohydrate_g)
         SELECT 1, 'soup', meal, '2024-05-01 12:00Z', 'app', energy, 10, 9, 40
         FROM (VALUES ('lunch', 300), ('dinner', 450.5)) AS m (meal, energy);
         INSERT INTO lab_raw (user_id, test_name, loinc_code, value_text, unit, reference_range,
                              status, collected_at, source)
         SELECT 1, 'Potassium', '2823-3', value, 'mmol/L', '3.5-5.1', 'final', at, 'lab'
         FROM (VALUES ('4.1', timestamptz '2024-05-01 08:00Z'), ('5.3', '2024-05-03 08:00Z'))
             AS l (value, at)",
    )
    .await;
    assert_eq!(db.run_once()["rows_failed"], 0);
}

fn page(db: &Database, user: &str, dates: &[&str]) -> String {
    let ran = db.run(&[&["report", "--user", user, "--html", "-"], dates].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.stdout
}

/// The cells of a page's tables below this summary, by row, as they are read.
fn table(page: &str, summary: &str) -> Vec<Vec<String>> {
    let (_, behind) = page.split_once(summary).unwrap_or_else(|| panic!("no table {summary}"));
    let (table, _) = behind.split_once("</tbody>").unwrap();
    let rows = table.split("<tr>").skip(2);
    rows.map(|row| {
        let cells = row.split("<td").skip(1).map(|cell| {
            let (_, text) = cell.split_once('>').unwrap();
            text.split("</td>").next().unwrap().to_owned()
        });
        cells.collect()
    })
    .collect()
}

/// The text between two others.
fn between<'p>(page: &'p str, before: &str, after: &str) -> &'p str {
    let (_, behind) = page.split_once(before).unwrap_or_else(|| panic!("no {before} in the page"));
    behind.split_once(after).unwrap().0
}

#[tokio::test]
async fn the_figures_of_the_page_are_those_of_the_tables() {
    let db = Database::new().await;
    insert_days(&db).await;

    let page = page(&db, "1", &MAY);

    let heart_rate = table(&page, "Figures: heart rate");
    assert_eq!(heart_rate.len(), 2, "{heart_rate:?}");
    let percentiles: (f64, f64, f64) = {
        let sql = "SELECT p25, p50, p75 FROM vitals_daily
                   WHERE metric = 'heart_rate' AND local_date = '2024-05-01'";
        let row = &db.query(sql, &[]).await[0];
        (row.get(0), row.get(1), row.get(2))
    };
    let tenth = |value: f64| format!("{value:.1}").trim_end_matches(".0").to_owned();
    let (p25, p50, p75) = percentiles;
    assert_eq!(
        heart_rate[0],
        ["3", "71", "11.5", "60", &tenth(p25), &tenth(p50), &tenth(p75), "83", "1 row rejected"]
    );
    assert_eq!(table(&page, "Figures: steps")[0][..2], ["1,050", "2"]);
    assert_eq!(table(&page, "Figures: body mass, kg")[0][..2], ["1", "71.5"]);
    let glucose = table(&page, "Figures: glucose");
    assert_eq!(glucose[0][..6], ["5", "20", "20", "20", "20", "20"]);
    let pressure = table(&page, "Figures: blood pressure");
    assert_eq!(pressure[0][..7], ["1", "121", "121–121", "76", "76–76", "91", "elevated"]);
    let sleep = table(&page, "Figures: sleep");
    assert_eq!(sleep[0][..5], ["23:00", "07:00", "6:05", "1:05", "5:00"]);
    let meals = table(&page, "Figures: meals");
    assert_eq!(meals[0][..4], ["2", "750.5", "80", "20"]);
    assert_eq!(meals.len(), 1);
    let labs = between(&page, "<table class=\"labs\">", "</table>");
    assert_says(labs, &["Potassium", "LOINC 2823-3", "4.1", "5.3", "H ▲ above", "3.5-5.1", "+1.2"]);
    assert_says(
        &page,
        &["Europe/Berlin (the profile's)", "implausible value", "This page is not a diagnosis."],
    );
}

#[tokio::test]
async fn the_page_can_be_read_without_a_mouse_and_begins_with_what_has_changed() {
    let db = Database::new().await;
    insert_days(&db).await;

    let page = page(&db, "1", &MAY);

    assert_well_formed(&page);
    let sections: Vec<&str> = page.split("<section id=\"").skip(1).collect();
    let ids: Vec<&str> = sections.iter().map(|of| of.split('"').next().unwrap()).collect();
    assert_eq!(ids.first(), Some(&"summary"), "{ids:?}");
    let links: Vec<&str> = page.split("<a href=\"#").skip(1).collect();
    let links: Vec<&str> = links.iter().map(|of| of.split('"').next().unwrap()).collect();
    assert_eq!(links, ids);
    let mut level = 1;
    for heading in page.split("<h").skip(1) {
        let Some(found) = heading.chars().next().and_then(|c| c.to_digit(10)) else { continue };
        assert!(found <= level + 1, "<h{heading:.40}");
        level = found;
    }
    for region in page.split("class=\"wide\"").skip(1) {
        let tag = region.split('>').next().unwrap();
        assert_says(tag, &["role=\"region\"", "aria-label=\"", "tabindex=\"0\""]);
    }
    // Each drawing has a text, and the wide ones are drawn once more for a narrow screen.
    for drawing in page.split("<svg").skip(1) {
        let tag = drawing.split('>').next().unwrap();
        let is_named = tag.contains("aria-label") || tag.contains("aria-hidden=\"true\"");
        assert!(is_named, "<svg{tag}>");
    }
    assert_eq!(page.matches("class=\"roomy\"").count(), page.matches("class=\"narrow\"").count());
}

#[tokio::test]
async fn a_result_is_shown_first_as_the_laboratory_reported_it() {
    let db = Database::new().await;
    db.execute(
        "INSERT INTO lab_raw (user_id, test_name, loinc_code, value_text, unit, reference_range,
                              status, collected_at, source)
         VALUES (1, 'Creatinine', '2160-0', '80', '\u{b5}mol/L', '60\u{2013}110', 'final',
                 '2024-05-01 08:00Z', 'lab'),
                (1, 'Creatinine', '2160-0', '1.00', 'mg/dL', '0.7-1.2', 'final',
                 '2024-05-03 08:00Z', 'lab')",
    )
    .await;
    db.run_once();

    let page = page(&db, "1", &MAY);

    let rows = table(&page, "<table class=\"labs\">");
    let small = |text: &str| format!("<span class=\"small\">{text}</span>");
    assert_eq!(rows[0][1], format!("80<br>{}", small("= 0.905 mg/dL")));
    assert_eq!(rows[0][2], "\u{b5}mol/L");
    assert_eq!(rows[0][5], format!("60\u{2013}110<br>{}", small("= 0.6787\u{2013}1.244 mg/dL")));
    assert_eq!(rows[1][1..3], ["1.00", "mg/dL"]);
    assert_eq!(rows[1][5], "0.7-1.2");
    assert_well_formed(&page);
}

#[tokio::test]
async fn a_day_without_data_is_a_gap_and_not_zero() {
    let db = Database::new().await;
    insert_days(&db).await;

    let page = page(&db, "1", &MAY);

    let steps = between(&page, "id=\"vital-steps", "</svg>");
    assert_eq!(steps.matches("<rect class=\"part\"").count(), 2);
    let heart_rate = between(&page, "id=\"vital-heart_5frate", "</svg>");
    assert_eq!(heart_rate.matches("<circle class=\"mark").count(), 2);
    assert!(!heart_rate.contains("class=\"line\""), "no line leads over a gap");
    assert_says(&page, &["2 of 5 days", "3 days without data left out."]);
}

#[tokio::test]
async fn a_day_of_its_own_is_shown_by_its_hours_and_a_year_by_its_months() {
    let db = Database::new().await;
    insert_days(&db).await;

    let day = page(&db, "1", &["--from", "2024-05-01", "--to", "2024-05-01"]);
    assert_says(&day, &["Heart rate by hour", "Steps by hour", ">09:00<", "from 10:00"]);
    let heart_rate = between(&day, "id=\"vital-heart_5frate", "</svg>");
    assert_eq!(heart_rate.matches("<circle class=\"mark").count(), 3);

    let year = page(&db, "1", &["--from", "2024-01-01", "--to", "2024-12-31"]);
    assert_says(&year, &["2 of 366 days", "drawn by month", ">Sep<", "May 2024", "Potassium"]);
    for page in [&day, &year] {
        assert_well_formed(page);
    }
}

/// The text between `<` and `>`, as an HTML parser has it.
fn tags(page: &str) -> Vec<&str> {
    let mut tags = Vec::new();
    let mut rest = page;
    while let Some((_, behind)) = rest.split_once('<') {
        let mut quoted = false;
        let end = behind.find(|c| {
            quoted ^= c == '"';
            c == '>' && !quoted
        });
        let (tag, after) = behind.split_at(end.unwrap_or_else(|| panic!("no end: <{behind:.60}")));
        tags.push(tag);
        rest = &after[1..];
    }
    tags
}

/// The names of a tag's attributes.
fn attributes(tag: &str) -> Vec<&str> {
    let words = tag.split('"').step_by(2).flat_map(str::split_whitespace);
    words.filter_map(|word| word.strip_suffix('=')).collect()
}

/// Every element ends where it should, no id is used twice, and every id that is referred to
/// exists.
fn assert_well_formed(page: &str) {
    const WITHOUT_END: [&str; 2] = ["meta", "br"];
    let mut open: Vec<&str> = Vec::new();
    let mut ids = BTreeSet::new();
    for tag in tags(page) {
        let name = tag.split(' ').next().unwrap();
        if let Some(closed) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(closed), "in {open:?}");
        } else if !tag.starts_with('!') && !WITHOUT_END.contains(&name) {
            open.push(name);
        }
        let names = attributes(tag);
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "twice in <{tag}>");
        if let Some((_, id)) = tag.split_once(" id=\"") {
            let id = id.split('"').next().unwrap();
            assert!(ids.insert(id.to_owned()), "twice: {id}");
        }
    }
    assert!(open.is_empty(), "{open:?}");
    for attribute in ["aria-labelledby=\"", "aria-describedby=\"", "url(#", "href=\"#"] {
        for named in page.split(attribute).skip(1) {
            let id = named.split(['"', ')']).next().unwrap();
            assert!(ids.contains(id), "{attribute}{id}");
        }
    }
}

#[tokio::test]
async fn text_of_the_database_stays_text_and_nothing_outside_is_referred_to() {
    let db = Database::new().await;
    insert_days(&db).await;
    db.execute(
        r#"INSERT INTO lab_raw (user_id, test_name, loinc_code, value_text, unit, reference_range,
                                flag, specimen, status, collected_at, source)
           SELECT 1, '<script>alert("x")</script>', code, value, '"><img src="http://x/">',
                  '1-5 <b onclick="x">', '"<i>', '</td>', 'final', at, '<s>'
           FROM (VALUES ('"</title><script>', '7', timestamptz '2024-05-01 08:00Z'),
                        ('"</title><script>', '8', '2024-05-02 08:00Z'),
                        (NULL, 'pos<script>', '2024-05-02 08:00Z')) AS l (code, value, at);
           INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
           VALUES (1, 'heart_rate', 70, 'bpm', '<script src="http://x/">', '2024-05-04 10:00Z',
                   '2024-05-04 10:00Z')"#,
    )
    .await;
    db.run_once();

    let page = page(&db, "1", &MAY);

    assert_well_formed(&page);
    assert_says(&page, &["&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;", "pos&lt;script&gt;"]);
    const NEVER: [&str; 8] = ["script", "img", "b", "i", "s", "link", "iframe", "use"];
    for tag in tags(&page) {
        let name = tag.trim_start_matches('/').split(' ').next().unwrap();
        assert!(!NEVER.contains(&name), "<{tag}>");
        for attribute in attributes(tag) {
            let refers = ["src", "xlink:href", "action", "style"].contains(&attribute);
            let leaves = attribute == "href" && !tag.contains("href=\"#");
            assert!(!refers && !leaves && !attribute.starts_with("on"), "<{tag}>");
        }
    }
    assert!(!page.contains("@import"));
    for address in page.split("url(").skip(1) {
        assert!(address.starts_with("#fill-"), "{address:.40}");
    }
    assert_says(&page, &["Content-Security-Policy", "default-src 'none'", "@media print"]);
}

#[tokio::test]
async fn rows_that_wait_make_the_page_say_that_it_is_not_up_to_date() {
    let db = Database::new().await;
    insert_days(&db).await;
    assert!(!page(&db, "1", &MAY).contains("not up to date"));
    db.execute(
        "UPDATE vitals_raw SET value = value + 1
         WHERE id = (SELECT min(id) FROM vitals_raw WHERE metric = 'heart_rate');
         UPDATE aggregation_queue SET state = 'dead', not_before = 'infinity';
         UPDATE vitals_raw SET value = value + 1
         WHERE metric = 'heart_rate' AND id > (SELECT min(id) FROM vitals_raw WHERE metric = 'heart_rate')",
    )
    .await;

    let page = page(&db, "1", &MAY);
    assert_says(
        &page,
        &[
            "These figures are not up to date. ",
            "7 changed raw rows",
            "1 changed raw row is dead after the last attempt",
        ],
    );
    let other = self::page(&db, "1", &["--from", "2024-06-01", "--to", "2024-06-02"]);
    assert_says(&other, &["7 changed raw rows wait in the queue, none of them near these days"]);

    let place = Scratch::new();
    let file = place.path().join("page.html");
    let arguments = ["report", "--user", "1", "--html", file.to_str().unwrap()];
    let ran = db.run(&[&arguments[..], &MAY].concat());
    assert_says(&ran.stdout, &["5 days of user 1, 2 with figures", "7 rows of the user wait"]);
}

#[tokio::test]
async fn nobody_and_nothing_are_a_page_that_says_so() {
    let db = Database::new().await;
    insert_days(&db).await;
    let june = ["--from", "2024-06-01", "--to", "2024-06-30"];
    let said = [
        ("7", MAY.as_slice(), "nothing in this database belongs to that user"),
        ("1", june.as_slice(), "those that there are go from 2024-05-01 to 2024-05-03"),
    ];
    for (user, dates, why) in said {
        let ran = db.run(&[&["report", "--user", user, "--html", "-"], dates].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_says(&ran.stdout, &["There are no figures of user", why]);
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
        assert_says(&ran.stderr, &[why]);
        assert_well_formed(&ran.stdout);
    }
}

#[tokio::test]
async fn the_file_is_its_owners_alone_and_replaced_as_a_whole() {
    let db = Database::new().await;
    insert_days(&db).await;
    let place = Scratch::new();
    let file = place.file("page.html", "of yesterday");

    let arguments = ["report", "--user", "1", "--json", "--html", file.to_str().unwrap()];
    let ran = db.run(&[&arguments[..], &MAY].concat());

    assert_eq!((ran.code, ran.stdout.lines().count()), (0, 1), "{ran:?}");
    let told = ran.json();
    assert_eq!(told["path"], file.to_str().unwrap());
    assert_eq!((&told["user_id"], &told["days"]), (&1.into(), &5.into()));
    assert_eq!((&told["days_with_figures"], &told["rows_pending"]), (&2.into(), &0.into()));
    assert_eq!(told["rows_rejected"], 2);
    let written = fs::read_to_string(&file).unwrap();
    assert!(written.starts_with("<!DOCTYPE html>") && written.ends_with("</html>\n"));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "nothing else is left");
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_named_and_nothing_is_left() {
    let db = Database::new().await;
    let place = Scratch::new();
    let pipe = place.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // As another user would plant it in a folder that everybody may write to.
    let private = place.file("private", "a key");
    std::os::unix::fs::symlink(&private, place.path().join("link")).unwrap();
    let before = fs::read_dir(place.path()).unwrap().count();
    for (name, why) in [
        ("link", "it is a symbolic link"),
        ("no/such/folder.html", "No such file or directory"),
        ("pipe", "it is no regular file"),
        (".", "it is a folder"),
    ] {
        let file = place.path().join(name);
        let mut command = db.worker();
        command.args(["report", "--user", "1", "--html", file.to_str().unwrap()]).args(MAY);
        let output = command.output().unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
        let said = String::from_utf8(output.stderr).unwrap();
        let error = said.lines().last().unwrap();
        assert_says(error, &["error: ", file.to_str().unwrap(), "cannot be written", why]);
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), before);
    assert_eq!(fs::read_to_string(private).unwrap(), "a key");
}

#[test]
fn a_range_that_is_none_and_one_that_is_too_long_are_refused_in_a_sentence() {
    let wrong: [(&[&str], &str); 7] = [
        (&["--html", "-"], "--from <DATE>"),
        (&["--from", "2024-05-05", "--html", "-"], "--to <DATE>"),
        (&["--on", "2024-05-05", "--html", "-"], "--period <LENGTH>"),
        (
            &["--period", "week", "--from", "2024-05-05", "--to", "2024-05-05", "--html", "-"],
            "cannot be used with",
        ),
        (&["--from", "2024-05-05", "--to", "2024-05-01", "--html", "-"], "is later than"),
        (
            &["--from", "2024-01-01", "--to", "2025-01-01", "--html", "-"],
            "is 367 days; a page has at most 366",
        ),
        (
            &["--from", "2024-05-01", "--to", "2024-05-01", "--html", "-", "--json"],
            "both go to stdout",
        ),
    ];
    for (arguments, why) in wrong {
        let mut command = worker_at("");
        let ran =
            Ran::of(command.args(["report", "--user", "1"]).args(arguments).output().unwrap());
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
        assert_says(&ran.stderr, &[why]);
    }
}

#[tokio::test]
async fn the_page_is_of_one_moment_and_asks_for_no_right_but_to_read() {
    let db = Database::new().await;
    insert_days(&db).await;
    db.execute(&format!(
        "DO $$ BEGIN CREATE ROLE report_reader LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
         GRANT CONNECT ON DATABASE {} TO report_reader;
         GRANT SELECT ON ALL TABLES IN SCHEMA public TO report_reader",
        db.name
    ))
    .await;
    let mut command = db.worker();
    command.env("DATABASE_URL", db.url.replace("postgres@", "report_reader@"));
    command.args(["report", "--user", "1", "--html", "-"]).args(MAY);
    let mut other = db.connect().await;

    // The page has begun to be read when it comes to the labs.
    let lock = other.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE lab_daily").await.unwrap();
    let report = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    waiting(&db, 1).await;
    lock.batch_execute("UPDATE vitals_daily SET mean = 99.9 WHERE metric = 'heart_rate'")
        .await
        .unwrap();
    lock.commit().await.unwrap();

    let ran = Ran::of(report.wait_with_output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    let page = ran.stdout;
    assert_eq!(table(&page, "Figures: heart rate")[0][1], "71");
    assert!(!page.contains("99.9"));
}

#[tokio::test]
async fn no_value_is_logged_at_the_most_talkative_level() {
    let db = Database::new().await;
    insert_days(&db).await;
    let place = Scratch::new();
    let file = place.path().join("page.html");
    let mut command = db.worker();
    command.env("WORKER__LOG__LEVEL", "trace,tokio_postgres=trace,diesel=trace,log=trace");
    command.args(["report", "--user", "1", "--html", file.to_str().unwrap()]).args(MAY);
    let ran = Ran::of(command.output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    for secret in ["Potassium", "soup", "71.5", "750.5", "5.3"] {
        assert!(!ran.stderr.contains(secret) && !ran.stdout.contains(secret), "{secret}: {ran:?}");
    }
    let page = fs::read_to_string(&file).unwrap();
    assert_says(&page, &["Potassium", "71.5"]);
    assert!(!page.contains("soup"), "foods are not on the page");
}

#[test]
fn without_a_database_there_is_one_line_and_no_file() {
    let place = Scratch::new();
    let file = place.path().join("page.html");
    let mut command = worker_at("postgresql:///none?host=/tmp/no-such-server");
    command.args(["report", "--user", "1", "--html", file.to_str().unwrap()]).args(MAY);
    assert_says(&refused(&mut command), &["DATABASE_URL"]);
    assert!(place.is_empty());
}
