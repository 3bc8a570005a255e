//! Loading raw rows of one user that may be there already.
//!
//! Rows go as an array for each column into one statement, which inserts those of which no row with the same
//! content is in the raw table. An index finds rows of the same time. So a file that is imported twice changes
//! nothing, and an import that was interrupted continues. There is no temporary table: a distributed database such
//! as Citus does not join one with its own tables.

use std::collections::HashSet;

use aggregation::UserId;
use aggregation::raw::{NewLab, NewVital};
use chrono::{DateTime, Utc};
use tokio_postgres::types::ToSql;

use super::import::{ImportError, Importer, refused};

/// LIMIT keeps the planner from reading the whole raw table for a batch. Citus asks the node of the schema for the
/// unknown rows, and numbers them where the worker is connected; so they are a part of the statement.
const INSERT_VITALS: &str = "INSERT INTO vitals_raw (user_id, metric, value, comparator, unit, source, \
     started_at, ended_at, time_zone, is_daily_total, workout_type)
 WITH unknown AS MATERIALIZED (
 SELECT $1::text::user_key, new.metric, new.value, new.comparator, new.unit, new.source, new.started_at, new.ended_at, \
     new.time_zone, new.is_daily_total, new.workout_type
 FROM unnest($2::text[], $3::float8[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::timestamptz[],
             $9::text[], $10::boolean[], $11::text[])
      AS new (metric, value, comparator, unit, source, started_at, ended_at, time_zone, is_daily_total, workout_type)
 LEFT JOIN LATERAL (
     SELECT true AS is_there FROM vitals_raw AS old
     WHERE old.user_id = $1::text::user_key AND old.metric = new.metric
       AND old.started_at = new.started_at AND old.ended_at = new.ended_at
       AND old.source = new.source AND old.value = new.value AND old.unit = new.unit
       AND old.comparator IS NOT DISTINCT FROM new.comparator
       AND old.time_zone IS NOT DISTINCT FROM new.time_zone
       AND old.is_daily_total = new.is_daily_total
       AND old.workout_type IS NOT DISTINCT FROM new.workout_type
     LIMIT 1
 ) AS known ON true
 WHERE known.is_there IS NULL)
 SELECT * FROM unknown";

const INSERT_LABS: &str = "INSERT INTO lab_raw (user_id, test_name, loinc_code, value_text, unit, \
     reference_range, flag, specimen, status, collected_at, time_zone, source)
 WITH unknown AS MATERIALIZED (
 SELECT $1::text::user_key, new.test_name, new.loinc_code, new.value_text, new.unit, new.reference_range, new.flag, \
     new.specimen, new.status, new.collected_at, new.time_zone, new.source
 FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
             $10::timestamptz[], $11::text[], $12::text[])
      AS new (test_name, loinc_code, value_text, unit, reference_range, flag, specimen, status, collected_at,
              time_zone, source)
 LEFT JOIN LATERAL (
     SELECT true AS is_there FROM lab_raw AS old
     WHERE old.user_id = $1::text::user_key AND old.collected_at = new.collected_at
       AND old.test_name = new.test_name AND old.value_text = new.value_text
       AND old.status = new.status AND old.source = new.source
       AND old.loinc_code IS NOT DISTINCT FROM new.loinc_code
       AND old.unit IS NOT DISTINCT FROM new.unit
       AND old.reference_range IS NOT DISTINCT FROM new.reference_range
       AND old.flag IS NOT DISTINCT FROM new.flag
       AND old.specimen IS NOT DISTINCT FROM new.specimen
       AND old.time_zone IS NOT DISTINCT FROM new.time_zone
     LIMIT 1
 ) AS known ON true
 WHERE known.is_there IS NULL)
 SELECT * FROM unknown";

/// An import looks rows up by their time. Without statistics, a scan may look cheaper to the planner.
const PLAN: &str = "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; \
    SET LOCAL enable_mergejoin = off; SET LOCAL jit = off";

/// Two imports of one user at once would not see each other's rows.
const LOCK: &str =
    "SELECT pg_advisory_xact_lock(hashtextextended('import of user ' || $1::text, 0))";

/// Raw rows of one user that are to be loaded together, each once.
#[derive(Debug, Default)]
pub struct RawRows {
    vitals: Vitals,
    labs: Labs,
    /// The content of the rows.
    seen: HashSet<Vec<u8>>,
    /// Number of rows that were added, also of those added before.
    number: u64,
    bytes: usize,
}

/// The columns of vitals.
#[derive(Debug, Default)]
struct Vitals {
    metric: Vec<String>,
    value: Vec<f64>,
    comparator: Vec<Option<String>>,
    unit: Vec<String>,
    source: Vec<String>,
    started_at: Vec<DateTime<Utc>>,
    ended_at: Vec<DateTime<Utc>>,
    time_zone: Vec<Option<String>>,
    is_daily_total: Vec<bool>,
    workout_type: Vec<Option<String>>,
}

/// The columns of laboratory results.
#[derive(Debug, Default)]
struct Labs {
    test_name: Vec<String>,
    loinc_code: Vec<Option<String>>,
    value_text: Vec<String>,
    unit: Vec<Option<String>>,
    reference_range: Vec<Option<String>>,
    flag: Vec<Option<String>>,
    specimen: Vec<Option<String>>,
    status: Vec<String>,
    collected_at: Vec<DateTime<Utc>>,
    time_zone: Vec<Option<String>>,
    source: Vec<String>,
}

impl RawRows {
    /// Adds a row of vitals. Its texts must have no NUL character, and its times must be datable.
    pub fn add_vital(&mut self, vital: &NewVital<'_>) {
        let texts = [
            Some(vital.metric),
            vital.comparator,
            Some(vital.unit),
            Some(vital.source),
            vital.time_zone,
            vital.workout_type,
        ];
        let numbers = [
            vital.value.to_bits(),
            vital.started_at.0 as u64,
            vital.ended_at.0 as u64,
            vital.is_daily_total.into(),
        ];
        if !self.is_new(b'v', &texts, &numbers) {
            return;
        }
        let of = &mut self.vitals;
        of.metric.push(vital.metric.to_owned());
        of.value.push(vital.value);
        of.comparator.push(vital.comparator.map(str::to_owned));
        of.unit.push(vital.unit.to_owned());
        of.source.push(vital.source.to_owned());
        of.started_at.push(vital.started_at.to_utc());
        of.ended_at.push(vital.ended_at.to_utc());
        of.time_zone.push(vital.time_zone.map(str::to_owned));
        of.is_daily_total.push(vital.is_daily_total);
        of.workout_type.push(vital.workout_type.map(str::to_owned));
    }

    /// Adds a laboratory result. Its texts must have no NUL character, and its time must be datable.
    pub fn add_lab(&mut self, lab: &NewLab<'_>) {
        let texts = [
            Some(lab.test_name),
            lab.loinc_code,
            Some(lab.value_text),
            lab.unit,
            lab.reference_range,
            lab.flag,
            lab.specimen,
            Some(lab.status),
            lab.time_zone,
            Some(lab.source),
        ];
        if !self.is_new(b'l', &texts, &[lab.collected_at.0 as u64]) {
            return;
        }
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let of = &mut self.labs;
        of.test_name.push(lab.test_name.to_owned());
        of.loinc_code.push(owned(lab.loinc_code));
        of.value_text.push(lab.value_text.to_owned());
        of.unit.push(owned(lab.unit));
        of.reference_range.push(owned(lab.reference_range));
        of.flag.push(owned(lab.flag));
        of.specimen.push(owned(lab.specimen));
        of.status.push(lab.status.to_owned());
        of.collected_at.push(lab.collected_at.to_utc());
        of.time_zone.push(owned(lab.time_zone));
        of.source.push(lab.source.to_owned());
    }

    /// Counts a row. Returns whether no equal row was added before.
    fn is_new(&mut self, kind: u8, texts: &[Option<&str>], numbers: &[u64]) -> bool {
        self.number += 1;
        let mut row = vec![kind];
        for text in texts {
            // No text has a NUL character, and only a missing one begins with it.
            row.extend_from_slice(text.map_or(&b"\0"[..], str::as_bytes));
            row.push(0);
        }
        numbers.iter().for_each(|number| row.extend(number.to_be_bytes()));
        let bytes = row.len();
        let is_new = self.seen.insert(row);
        self.bytes += if is_new { 2 * bytes } else { 0 };
        is_new
    }

    /// The number of rows that were added, also of those that are equal to one before.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The size in memory, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Importer {
    /// Loads the rows of a user that are not there yet, in one transaction. Returns their number.
    ///
    /// # Errors
    /// If the database fails or refuses a row; then none is loaded.
    pub async fn load(&mut self, user_id: &UserId, rows: RawRows) -> Result<u64, ImportError> {
        let transaction = self.client.transaction().await.map_err(refused)?;
        transaction.batch_execute(&self.settings).await.map_err(refused)?;
        transaction.batch_execute(PLAN).await.map_err(refused)?;
        let user_id = user_id.to_string();
        transaction.execute(LOCK, &[&user_id]).await.map_err(refused)?;
        let (vitals, labs, mut loaded) = (&rows.vitals, &rows.labs, 0);
        if !vitals.metric.is_empty() {
            let columns: [&(dyn ToSql + Sync); 11] = [
                &user_id,
                &vitals.metric,
                &vitals.value,
                &vitals.comparator,
                &vitals.unit,
                &vitals.source,
                &vitals.started_at,
                &vitals.ended_at,
                &vitals.time_zone,
                &vitals.is_daily_total,
                &vitals.workout_type,
            ];
            loaded += transaction.execute(INSERT_VITALS, &columns).await.map_err(refused)?;
        }
        if !labs.test_name.is_empty() {
            let columns: [&(dyn ToSql + Sync); 12] = [
                &user_id,
                &labs.test_name,
                &labs.loinc_code,
                &labs.value_text,
                &labs.unit,
                &labs.reference_range,
                &labs.flag,
                &labs.specimen,
                &labs.status,
                &labs.collected_at,
                &labs.time_zone,
                &labs.source,
            ];
            loaded += transaction.execute(INSERT_LABS, &columns).await.map_err(refused)?;
        }
        transaction.commit().await.map_err(refused)?;
        Ok(loaded)
    }
}
