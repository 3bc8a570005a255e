//! Everything that the worker does, step by step, as its role.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::Roles;
use crate::page::OPERATOR;
use crate::page::client::Visitor;
use crate::service::http::free_port;
use crate::support::outside::eventually as so;
use crate::support::receivers::{Encryption, Receiver};
use crate::support::running::Running;

/// Who does what.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// The owner of the tables.
    Owner(&'static str),
    /// The application.
    App(&'static str),
    /// The worker, with what it must end with.
    Worker(&'static [&'static str], i32),
    /// The webhook of changed days.
    Webhook,
    /// An operator at the page of a service.
    Page,
}

use Step::{App, Owner, Page, Webhook, Worker};

/// All three kinds, rows that come, change and go, groups that fail, and every command.
pub const WORK: &[Step] = &[
    App(ROWS),
    Worker(&["run-once"], 0),
    App(CORRECTIONS),
    Worker(&["run-once"], 0),
    // A group that fails for good, and comes back.
    Owner("ALTER TABLE nutrition_daily ADD CONSTRAINT refused CHECK (false) NOT VALID"),
    App("INSERT INTO nutrition_raw (user_id, food_name, meal_type, eaten_at, source)
         VALUES (1, 'soup', 'lunch', '2024-05-02 12:00Z', 'app')"),
    Worker(&["run-once"], 3),
    Owner("ALTER TABLE nutrition_daily DROP CONSTRAINT refused"),
    Worker(&["requeue", "--dead"], 0),
    Worker(&["run-once"], 0),
    Worker(&["requeue", "--user", "1"], 0),
    Worker(&["run-once"], 0),
    Worker(&["backfill", "--from", "2024-05-01", "--to", "2024-05-03"], 0),
    Worker(&["verify"], 0),
    Owner("UPDATE vitals_daily SET sample_count = 99"),
    // Both tell people, through the outbox.
    Worker(&["verify"], 4),
    Worker(&["verify", "--repair"], 0),
    Worker(&["verify"], 0),
    Worker(&["status", "--sessions"], 0),
    Worker(&["pause", "labs"], 0),
    Worker(&["resume", "labs"], 0),
    Worker(&["freeze", "--before", "2024-05-01", "--even-if-rows-wait"], 0),
    Worker(&["freeze", "--before", "2024-05-01", "--even-if-rows-wait"], 0),
    Worker(&["freeze", "--before", "2024-05-01", "--user", "1", "--even-if-rows-wait"], 0),
    Worker(&["freeze", "--before", "2024-05-01", "--user", "1", "--even-if-rows-wait"], 0),
    Worker(&["freeze", "--lift"], 0),
    Worker(&["freeze", "--lift", "--user", "1"], 0),
    Worker(&["changes"], 0),
    Webhook,
    Page,
];

const ROWS: &str = "
    INSERT INTO user_profiles VALUES (1, 'Europe/Berlin', '{watch}');
    INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
    SELECT 1, metric, value, unit, 'watch', at, at + length
    FROM (VALUES ('heart_rate', 61.3, 'bpm', timestamptz '2024-05-01 10:00Z', interval '0'),
                 ('heart_rate', 'NaN', 'bpm', '2024-05-01 10:05Z', '0'),
                 ('blood_glucose', 101, 'mg/dL', '2024-05-01 10:00Z', '0'),
                 ('blood_pressure_systolic', 121, 'mmHg', '2024-05-01 10:00Z', '0'),
                 ('blood_pressure_diastolic', 81, 'mmHg', '2024-05-01 10:00Z', '0'),
                 ('steps', 100, 'steps', '2024-05-01 10:00Z', '50 minutes'),
                 ('sleep_core', 1, 'min', '2024-05-01 00:00Z', '6 hours'))
             AS v (metric, value, unit, at, length);
    INSERT INTO nutrition_raw (user_id, food_name, meal_type, eaten_at, source, energy_kcal)
    VALUES (1, 'soup', 'lunch', '2024-05-01 12:00Z', 'app', 300);
    INSERT INTO lab_raw (user_id, test_name, value_text, unit, status, collected_at, source)
    SELECT 1, 'ferritin', '30', 'ug/L', 'final', at, 'lab'
    FROM unnest('{2024-05-01 08:00Z, 2024-05-02 08:00Z}'::timestamptz[]) AS at";

const CORRECTIONS: &str = "
    UPDATE vitals_raw SET value = 62 WHERE value = 'NaN';
    DELETE FROM vitals_raw WHERE metric <> 'heart_rate';
    DELETE FROM nutrition_raw;
    DELETE FROM lab_raw WHERE collected_at < '2024-05-02 00:00Z';
    INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
    VALUES (1, 'heart_rate', 'NaN', 'bpm', 'watch', '2024-05-03 10:00Z', '2024-05-03 10:00Z')";

/// Takes the steps in turn, up to the first that does not go as it must, and says why.
pub async fn all_of_it(roles: &Roles) -> Result<(), String> {
    let (owner, app) = (&roles.db.client, roles.app().await);
    let told = Receiver::of_posts(Encryption::None);
    let url = format!("http://127.0.0.1:{}/", told.port);
    for step in WORK {
        let failed = |why| format!("{step:?}: {why}");
        match step {
            Owner(sql) => owner.batch_execute(sql).await.map_err(|why| failed(why.to_string()))?,
            App(sql) => app.batch_execute(sql).await.map_err(|why| failed(why.to_string()))?,
            Worker(arguments, code) => {
                let mut worker = roles.worker();
                worker.args(*arguments).env("WORKER__BATCH__MAX_ATTEMPTS", "1");
                worker.env("WORKER__WEBHOOK__URL", &url);
                goes_well(worker, *code).map_err(failed)?;
            }
            Webhook => by_the_webhook(roles.worker(), &told).await.map_err(failed)?,
            Page => at_the_page(roles.worker()).await.map_err(failed)?,
        }
    }
    Ok(())
}

/// Waits until changed days arrive, or the service says why not.
async fn by_the_webhook(mut worker: Command, told: &Receiver) -> Result<(), String> {
    worker
        .env("WORKER__CHANGES__WEBHOOK_URL", format!("http://127.0.0.1:{}/days", told.port))
        .env("WORKER__CHANGES__WEBHOOK_SECRET", OPERATOR);
    let service = Running::service(worker, &[]);
    let mut trouble = None;
    so("changed days arrive, or the service says why not", || {
        trouble = service.events("changes_not_sent").first().map(ToString::to_string);
        trouble.is_some() || told.posts().iter().any(|(path, _)| path == "/days")
    });
    service.stops();
    trouble.map_or(Ok(()), Err)
}

/// Sets a limit on rows, another one and none, and waits until the service is among those that are alive.
async fn at_the_page(worker: Command) -> Result<(), String> {
    let port = free_port();
    let settings =
        [("WORKER__HTTP__PORT", port.as_str()), ("WORKER__HTTP__OPERATOR_TOKEN", OPERATOR)];
    let service = Running::service(worker, &settings);
    service.logs("database_ready").await;
    let operator = Visitor::signed_in(&port, OPERATOR);
    for rows in ["7", "8", ""] {
        let answer = operator.act(&[("action", "throttle"), ("rows", rows)]);
        if answer.status != 303 {
            return Err(answer.body);
        }
    }
    let mut trouble = None;
    so("the service is seen, or says why not", || {
        let overview = operator.get("/api/overview").json();
        trouble =
            match (service.events("presence_not_recorded").first(), overview["error"].as_str()) {
                (Some(event), _) => Some(event.to_string()),
                (None, error) => error.map(str::to_owned),
            };
        let workers = overview["database"]["workers"].as_array();
        trouble.is_some() || workers.is_some_and(|workers| !workers.is_empty())
    });
    service.stops();
    trouble.map_or(Ok(()), Err)
}

/// Runs the worker to its end, or to the first warning where the test expects none. It would
/// otherwise try again, although a missing right does not come by waiting.
fn goes_well(mut worker: Command, code: i32) -> Result<(), String> {
    let mut child = worker.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let log = BufReader::new(child.stderr.take().unwrap());
    let trouble = |line: &String| {
        !line.starts_with('{') || ["\"WARN\"", "\"ERROR\""].iter().any(|level| line.contains(level))
    };
    // That groups fail, and that alerts fire, is meant.
    let meant = |line: &String| code == 3 || line.contains("\"event\":\"alert_fired\"");
    let warning = log.lines().map(Result::unwrap).find(|line| !meant(line) && trouble(line));
    if warning.is_some() {
        child.kill().unwrap();
    }
    let ended = child.wait().unwrap();
    match warning {
        Some(warning) => Err(warning),
        None if ended.code() == Some(code) => Ok(()),
        None => Err(format!("{ended}")),
    }
}
