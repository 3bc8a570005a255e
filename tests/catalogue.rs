//! The catalogue of metrics and analytes, and a user's file over it.

use crate::support::Database;
use crate::support::outside::{Scratch, assert_says, refused};
use crate::support::rows::{heart_rate, meal, vital};
use crate::support::{Ran, worker_at};

#[tokio::test]
async fn the_catalogue_is_shown_with_what_comes_from_ones_own_file() {
    let scratch = Scratch::new();
    let file = scratch.file(
        "mine.toml",
        "[metrics.heart_rate]\nmax = 250\n\n[metrics.pushes]\naggregation_style = \"cumulative\"\n\
         unit = \"{count}\"\nmin = 0\nmax = 100_000\n",
    );
    let shown = |json: bool| {
        let mut command = worker_at("");
        command.env("WORKER__AGGREGATION__CATALOGUE", &file).arg("catalogue");
        Ran::of(if json { command.arg("--json") } else { &mut command }.output().unwrap())
    };
    let text = shown(false);
    assert_eq!(text.code, 0, "{text:?}");
    let line = |name: &str| {
        let mut lines = text.stdout.lines();
        lines.find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{}", text.stdout))
    };
    assert_says(line("heart_rate "), &["discrete", "/min", "250", "8867-4", "your file"]);
    assert_says(line("pushes"), &["cumulative", "{count}", "100000", "your file"]);
    assert_says(line("steps"), &["built in"]);
    assert_says(line("glucose"), &["mg/dL", "g/L, mmol/L"]);

    let json = shown(true).json();
    let metrics = json["metrics"].as_array().unwrap();
    let pushes = metrics.iter().find(|metric| metric["name"] == "pushes").unwrap();
    assert_eq!((&pushes["unit"], &pushes["own"]), (&"{count}".into(), &true.into()));
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_refused_with_its_line() {
    let scratch = Scratch::new();
    let file = scratch.file("mine.toml", "[metrics.steps]\nmean = true\n");
    for command in ["catalogue", "run-once", "run"] {
        let mut worker = worker_at("postgresql://me@db.invalid/app");
        let why = refused(worker.env("WORKER__AGGREGATION__CATALOGUE", &file).arg(command));
        assert_says(&why, &["mine.toml", "line 2", "unknown field `mean`"]);
    }
    let mut worker = worker_at("");
    worker.env("WORKER__AGGREGATION__CATALOGUE", "/nowhere.toml").arg("catalogue");
    assert_says(&refused(&mut worker), &["aggregation.catalogue", "/nowhere.toml", "No such file"]);
}

#[tokio::test]
async fn a_metric_of_ones_own_has_figures_and_changed_limits_count_after_a_backfill() {
    let db = Database::new().await;
    db.insert([
        vital("pushes", 7, "count")
            .between("2024-05-01 10:00Z", "2024-05-01 10:10Z")
            .source("chair"),
        heart_rate(90).at("2024-05-01 10:00Z"),
        heart_rate(150).at("2024-05-01 10:01Z"),
    ])
    .await;
    assert_eq!(db.run_once()["rows_rejected"], 1, "nobody knows pushes yet");

    let scratch = Scratch::new();
    let file = scratch.file(
        "mine.toml",
        "[metrics.pushes]\naggregation_style = \"cumulative\"\nunit = \"{count}\"\nmin = 0\nmax = 1000\n\
         [metrics.heart_rate]\nmax = 100\n",
    );
    let with_file = |arguments: &[&str]| {
        let mut command = db.worker();
        command.env("WORKER__AGGREGATION__CATALOGUE", &file).args(arguments);
        Ran::of(command.output().unwrap())
    };
    let found = with_file(&["verify", "--json"]);
    assert_eq!(found.code, 4);
    let found = found.json();
    assert_eq!(found["rows_different"], 6, "{found}");
    assert_eq!(found["rows_outdated"], 6, "a changed catalogue is no drift: {found}");
    let before: f64 = db.value("SELECT max FROM vitals_daily WHERE metric = 'heart_rate'").await;
    assert!(before > 149.0, "nothing changes by itself");

    let ran = with_file(&["backfill", "--from", "2024-05-01", "--to", "2024-05-01"]);

    assert_eq!(ran.code, 0, "{ran:?}");
    let after = "SELECT max FROM vitals_daily WHERE metric = 'heart_rate' AND rejected_count = 1";
    assert!((db.value::<f64>(after).await - 90.0).abs() < 1e-9);
    let pushes: f64 = db.value("SELECT total FROM vitals_daily WHERE metric = 'pushes'").await;
    assert!((pushes - 7.0).abs() < 1e-9);
    let listed: String = db.value("SELECT string_agg(reason, ' ') FROM rejected_rows").await;
    assert_eq!(listed, "implausible_value");
    assert_eq!(with_file(&["verify"]).code, 0);
}

#[tokio::test]
async fn the_users_names_of_workouts_are_listed_and_count_after_a_backfill() {
    let db = Database::new().await;
    db.insert([vital("workouts", 1, "count")
        .between("2024-05-01 10:00Z", "2024-05-01 11:00Z")
        .text("workout_type", "Broom Flying")])
        .await;
    db.run_once();
    let types = "SELECT string_agg(workout_type, ' ') FROM workouts_daily";
    assert_eq!(db.value::<String>(types).await, "other");
    let scratch = Scratch::new();
    let file = scratch.file("mine.toml", "[workout_types]\nquidditch = [\"broom flying\"]\n");
    let with_file = |arguments: &[&str]| {
        let mut command = db.worker();
        command.env("WORKER__AGGREGATION__CATALOGUE", &file).args(arguments);
        Ran::of(command.output().unwrap())
    };
    let shown = with_file(&["catalogue"]).stdout;
    let line = shown.lines().find(|line| line.starts_with("quidditch")).unwrap();
    assert_says(line, &["broom flying"]);
    assert_says(&shown, &["high_intensity_interval_training"]);
    assert_eq!(with_file(&["verify"]).code, 4, "outdated");
    assert_eq!(with_file(&["backfill", "--from", "2024-05-01", "--to", "2024-05-01"]).code, 0);
    assert_eq!(db.value::<String>(types).await, "quidditch");
    assert_eq!(with_file(&["verify"]).code, 0);
}

#[tokio::test]
async fn changed_limits_of_a_nutrient_outdate_the_days_of_nutrition_until_a_backfill() {
    let db = Database::new().await;
    db.insert([
        meal("soup", "lunch").at("2024-05-01 10:00Z").number("energy_kcal", 900),
        meal("cake", "snack").at("2024-05-01 15:00Z").number("energy_kcal", 1100),
        meal("bread", "snack").at("2024-05-02 15:00Z").number("energy_kcal", 300),
    ])
    .await;
    assert_eq!(db.run_once()["rows_rejected"], 0);
    let scratch = Scratch::new();
    let file = scratch.file("mine.toml", "[nutrients.energy_kcal]\nmax = 1000\n");
    let with_file = |arguments: &[&str]| {
        let mut command = db.worker();
        command.env("WORKER__AGGREGATION__CATALOGUE", &file).args(arguments);
        Ran::of(command.output().unwrap())
    };
    let shown = with_file(&["catalogue"]).stdout;
    let line = shown.lines().find(|line| line.starts_with("energy_kcal")).unwrap();
    assert_says(line, &["1000", "your file"]);

    let found = with_file(&["verify", "--json"]);
    assert_eq!(found.code, 4);
    assert_says(&found.stdout, &["outdated"]);

    let ran = with_file(&["backfill", "--from", "2024-05-01", "--to", "2024-05-02"]);

    assert_eq!(ran.code, 0, "{ran:?}");
    let days = "SELECT string_agg(concat_ws(' ', item_count, rejected_count, energy_kcal), ', '
                                  ORDER BY local_date)
                FROM nutrition_daily";
    assert_eq!(db.value::<String>(days).await, "1 1 900, 1 0 300");
    assert_eq!(with_file(&["verify"]).code, 0);
}
