//! Workouts and stand hours: one row for each metric, and nothing dropped in silence.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, Cursor};

use aggregation::catalogue::Catalogue;
use exports::{Context, Format, Item};

/// The items of a file as lines: metric, value, unit, length in seconds, zone, and type of a workout.
fn read(format: Format, text: &str) -> Vec<String> {
    let catalogue = Catalogue::built_in().unwrap();
    let context = Context { catalogue: &catalogue, time_zone: None, profile_zone: None };
    let mut again = || -> std::io::Result<Option<Box<dyn BufRead>>> {
        Ok(Some(Box::new(Cursor::new(text.as_bytes().to_vec()))))
    };
    let mut lines = Vec::new();
    exports::read(format, &mut text.as_bytes(), &mut again, &context, &mut |item| {
        lines.push(match item {
            Item::Vital(vital) => {
                let seconds = vital.ended_at.since(vital.started_at) / 1_000_000;
                let zone = vital.time_zone.unwrap_or("-");
                let kind = vital.workout_type.map_or_else(String::new, |kind| format!(" {kind}"));
                format!("{} {} {} {seconds} {zone}{kind}", vital.metric, vital.value, vital.unit)
            }
            Item::Lab(_) => "laboratory".to_owned(),
            Item::LeftOut(name) => format!("left out: {name}"),
            Item::UnlistedWorkout(name) => format!("unlisted: {name}"),
            Item::Bad { place, problem } => format!("{place}: {problem}"),
        });
        Ok(())
    })
    .unwrap();
    lines
}

fn apple(inside: &str) -> Vec<String> {
    read(Format::AppleHealth, &format!("<HealthData locale=\"x\">{inside}</HealthData>"))
}

const TIMES: &str = "startDate=\"2024-05-01 18:00:00 +0200\" endDate=\"2024-05-01 18:30:00 +0200\" sourceName=\"W\"";

fn workout(attributes: &str, inside: &str) -> Vec<String> {
    let kind = "workoutActivityType=\"HKWorkoutActivityTypeRunning\"";
    apple(&format!("<Workout {kind} {TIMES} {attributes}>{inside}</Workout>"))
}

fn statistics(kind: &str, sum: &str, unit: &str) -> String {
    let kind = format!("HKQuantityTypeIdentifier{kind}");
    format!("<WorkoutStatistics type=\"{kind}\" {TIMES} sum=\"{sum}\" unit=\"{unit}\"/>")
}

#[test]
fn a_workout_of_older_exports_has_its_totals_as_attributes() {
    let totals = "duration=\"25\" durationUnit=\"min\" totalEnergyBurned=\"200\" \
        totalEnergyBurnedUnit=\"kcal\" totalDistance=\"5\" totalDistanceUnit=\"km\"";
    let expected = [
        "workouts 1 {count} 1800 - Running",
        "workout_duration 25 min 1800 - Running",
        "workout_energy 200 kcal 1800 - Running",
        "workout_distance 5 km 1800 - Running",
    ];
    assert_eq!(workout(totals, ""), expected);
    // The statistics beside totals are the same amounts.
    let inside = statistics("ActiveEnergyBurned", "200", "kcal")
        + &statistics("DistanceWalkingRunning", "5", "km");
    assert_eq!(workout(totals, &inside), expected);
}

#[test]
fn a_workout_of_newer_exports_has_its_totals_as_statistics_and_its_zone_as_metadata() {
    let inside = "<MetadataEntry key=\"HKTimeZone\" value=\"Asia/Tokyo\"/>".to_owned()
        + &statistics("ActiveEnergyBurned", "200.5", "kcal")
        + &statistics("BasalEnergyBurned", "50", "kcal")
        + &statistics("DistanceWalkingRunning", "5", "km");
    // Older exports have both forms, and 0 where an app does not know the total.
    for attributes in ["", "totalEnergyBurned=\"0\" totalEnergyBurnedUnit=\"kcal\""] {
        assert_eq!(
            workout(attributes, &inside),
            [
                "workouts 1 {count} 1800 Asia/Tokyo Running",
                "workout_duration 30 min 1800 Asia/Tokyo Running",
                "workout_energy 200.5 kcal 1800 Asia/Tokyo Running",
                "workout_distance 5 km 1800 Asia/Tokyo Running",
            ]
        );
    }
}

#[test]
fn the_distances_of_a_triathlon_are_added_and_those_of_its_parts_are_not() {
    let inside = statistics("DistanceSwimming", "750", "m")
        + &statistics("DistanceCycling", "20", "km")
        + &statistics("DistanceWalkingRunning", "5", "km");
    let part = format!("<WorkoutActivity {TIMES}>{inside}</WorkoutActivity>");
    let lines = workout("", &(part + &inside));
    assert_eq!(lines.last().unwrap(), "workout_distance 25750 m 1800 - Running");
    assert_eq!(lines.len(), 3);
    let unknown =
        statistics("DistanceSwimming", "7", "m") + &statistics("DistanceCycling", "2", "furlong");
    assert_eq!(workout("", &unknown), ["record 1: its distances have units that cannot be added"]);
}

#[test]
fn a_workout_that_cannot_be_read_is_one_bad_record_and_the_next_one_is_read() {
    let next = format!("<Workout workoutActivityType=\"x\" {TIMES}/>");
    for (bad, problem) in [
        (format!("<Workout {TIMES} totalDistance=\"secret\"/>"), "a total of the workout is not a number"),
        (format!("<Workout {TIMES}>{}</Workout>", statistics("ActiveEnergyBurned", "x", "kcal")), "a total of the workout is not a number"),
        ("<Workout startDate=\"x\" endDate=\"y\"/>".to_owned(), "startDate or endDate is no time with offset"),
        (
            "<Workout startDate=\"2024-05-01 18:00:00 +0200\" endDate=\"2024-05-01 17:00:00 +0200\"/>".to_owned(),
            "it ends before it begins",
        ),
        (format!("<Workout {TIMES} sourceName=\"&haha;\"/>"), "an attribute has an entity that is not XML's own"),
    ] {
        let expected = [
            &format!("record 1: {problem}"),
            "workouts 1 {count} 1800 - x",
            "workout_duration 30 min 1800 - x",
            "unlisted: x",
        ];
        assert_eq!(apple(&(bad + &next)), expected);
    }
}

#[test]
fn an_element_with_another_end_does_not_swallow_the_next_one() {
    let steps = |end: &str| {
        format!(
            "<Record type=\"HKQuantityTypeIdentifierStepCount\" unit=\"count\" value=\"1\" {TIMES}>{end}"
        )
    };
    let text = format!("<Workout {TIMES}></Other>{}{}", steps("</Other>"), steps("</Record>"));
    let rows = apple(&text);
    assert_eq!(rows.iter().filter(|row| row.starts_with("steps")).count(), 2, "{rows:?}");
    assert!(rows.contains(&"workouts 1 {count} 1800 -".to_owned()), "{rows:?}");
    let nested = steps(&(steps("</Record>") + "</Record>"));
    assert_eq!(apple(&nested), ["left out: Record.in.Record", "steps 1 count 1800 -"]);
}

#[test]
fn minutes_of_activity_are_read_where_an_export_has_them() {
    let record = |kind: &str| {
        let kind = format!("HKQuantityTypeIdentifier{kind}");
        apple(&format!("<Record type=\"{kind}\" {TIMES} unit=\"min\" value=\"12\"/>"))
    };
    assert_eq!(record("AppleMoveTime"), ["move_time 12 min 1800 -"]);
    assert_eq!(record("AppleExerciseTime"), ["exercise_time 12 min 1800 -"]);
    let metric = |name: &str| {
        let data = "{\"date\":\"2024-02-07 18:00:00 -0800\",\"qty\":12}";
        let text = format!(
            "{{\"data\":{{\"metrics\":[{{\"name\":\"{name}\",\"units\":\"min\",\"data\":[{data}]}}]}}}}"
        );
        read(Format::HealthAutoExport, &text)
    };
    assert_eq!(metric("apple_move_time"), ["move_time 12 min 0 -"]);
    assert_eq!(metric("apple_exercise_time"), ["exercise_time 12 min 0 -"]);
    assert_eq!(metric("vigorous_activity_time"), ["vigorous_activity_time 12 min 0 -"]);
}

#[test]
fn an_hour_counts_as_stood_or_as_idle() {
    let hour = |value: &str| {
        let kind = "HKCategoryTypeIdentifierAppleStandHour";
        apple(&format!(
            "<Record type=\"{kind}\" {TIMES} value=\"HKCategoryValueAppleStandHour{value}\"/>"
        ))
    };
    assert_eq!(hour("Stood"), ["stand_hours 1 h 1800 -"]);
    assert_eq!(hour("Idle"), ["stand_hours 0 h 1800 -"]);
    assert_eq!(hour("Other"), ["left out: HKCategoryValueAppleStandHourOther"]);
}

#[test]
fn workouts_of_health_auto_export_are_read_in_any_form() {
    let export = |workout: &str| {
        let times = "\"start\":\"2024-02-07 18:00:00 -0800\",\"end\":\"2024-02-07 18:30:00 -0800\"";
        let text = format!("{{\"data\":{{\"workouts\":[{{{times}{workout}}}],\"metrics\":[]}}}}");
        read(Format::HealthAutoExport, &text)
    };
    assert_eq!(export(""), ["workouts 1 {count} 1800 -", "workout_duration 30 min 1800 -"]);
    let whole = ",\"duration\":1500.5,\"name\":\"Run\",\"isIndoor\":false,\"location\":null,\
        \"activeEnergyBurned\":{\"qty\":310,\"units\":\"kcal\"},\"distance\":{\"qty\":5,\"units\":\"km\"},\
        \"route\":[{\"latitude\":1.5}],\"activeEnergy\":[{\"qty\":1,\"units\":\"kcal\"}]";
    assert_eq!(
        export(whole),
        [
            "workouts 1 {count} 1800 - Run",
            "workout_duration 1500.5 s 1800 - Run",
            "workout_energy 310 kcal 1800 - Run",
            "workout_distance 5 km 1800 - Run",
        ]
    );
    // Users may give a workout any name.
    let own = export(",\"name\":\"Quidditch Match\"");
    assert_eq!(own.last().unwrap(), "unlisted: Quidditch.Match");
    let older = ",\"activeEnergy\":{\"qty\":310,\"units\":\"kJ\"},\"distance\":{\"qty\":0,\"units\":\"km\"}";
    assert_eq!(export(older).last().unwrap(), "workout_energy 310 kJ 1800 -");
}

#[test]
fn a_workout_of_health_auto_export_without_a_time_is_bad() {
    let text =
        "{\"data\":{\"workouts\":[{\"start\":5,\"end\":null}],\"symptoms\":[{}],\"metrics\":[]}}";
    assert_eq!(
        read(Format::HealthAutoExport, text),
        ["record 1: start or end is no time with offset", "left out: symptoms"]
    );
}

#[test]
fn an_exercise_activity_of_fhir_is_a_workout() {
    let observation = |effective: &str| {
        read(
            Format::FhirLines,
            &format!(
                "{{\"resourceType\":\"Observation\",\"status\":\"final\",\"code\":{{\"coding\":[{{\
                 \"system\":\"http://loinc.org\",\"code\":\"73985-4\"}}]}},{effective},\
                 \"valueCodeableConcept\":{{\"text\":\"Running\"}}}}"
            ),
        )
    };
    let period = "\"effectivePeriod\":{\"start\":\"2024-05-01T18:00:00+02:00\",\
        \"end\":\"2024-05-01T18:40:00+02:00\"}";
    assert_eq!(
        observation(period),
        ["workouts 1 {count} 2400 +02:00 Running", "workout_duration 40 min 2400 +02:00 Running"]
    );
    let instant = "\"effectiveDateTime\":\"2024-05-01T18:00:00+02:00\"";
    assert_eq!(observation(instant), ["workouts 1 {count} 0 +02:00 Running"]);
}
