//! Loading raw rows of one user that may be there already.
//!
//! Rows go by COPY in binary into a temporary table, and from there into the raw table, if no row with
//! the same content is there. An index finds rows of the same time. So a file that is imported twice
//! changes nothing, and an import that was interrupted continues.

use std::collections::HashSet;

use aggregation::raw::{NewLab, NewVital};
use aggregation::{Timestamp, UserId};
use futures_util::SinkExt;
use tokio_postgres::Transaction;

use super::import::{ImportError, Importer, refused};

/// Microseconds from 1970 to 2000, where PostgreSQL's binary times begin.
const EPOCH_US: i64 = 946_684_800_000_000;

/// The signature of COPY's binary format, without flags and extensions.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// The fields of a row of vitals, and of a laboratory result, without the user.
const VITAL_FIELDS: i16 = 9;
const LAB_FIELDS: i16 = 11;

const STAGE_VITALS: &str = "CREATE TEMPORARY TABLE import_vitals (metric text, value double precision, \
    comparator text, unit text, source text, started_at timestamptz, ended_at timestamptz, \
    time_zone text, is_daily_total boolean) ON COMMIT DROP";

const STAGE_LABS: &str = "CREATE TEMPORARY TABLE import_labs (test_name text, loinc_code text, \
    value_text text, unit text, reference_range text, flag text, specimen text, status text, \
    collected_at timestamptz, time_zone text, source text) ON COMMIT DROP";

const COPY_VITALS: &str = "COPY pg_temp.import_vitals FROM STDIN (FORMAT binary)";
const COPY_LABS: &str = "COPY pg_temp.import_labs FROM STDIN (FORMAT binary)";

/// LIMIT keeps the planner from reading the whole raw table for a batch.
const INSERT_VITALS: &str = "INSERT INTO vitals_raw (user_id, metric, value, comparator, unit, source, \
     started_at, ended_at, time_zone, is_daily_total)
 SELECT $1::text::user_key, new.metric, new.value, new.comparator, new.unit, new.source, new.started_at, new.ended_at, \
     new.time_zone, new.is_daily_total
 FROM pg_temp.import_vitals AS new
 LEFT JOIN LATERAL (
     SELECT true AS is_there FROM vitals_raw AS old
     WHERE old.user_id = $1::text::user_key AND old.metric = new.metric
       AND old.started_at = new.started_at AND old.ended_at = new.ended_at
       AND old.source = new.source AND old.value = new.value AND old.unit = new.unit
       AND old.comparator IS NOT DISTINCT FROM new.comparator
       AND old.time_zone IS NOT DISTINCT FROM new.time_zone
       AND old.is_daily_total = new.is_daily_total
     LIMIT 1
 ) AS known ON true
 WHERE known.is_there IS NULL";

const INSERT_LABS: &str = "INSERT INTO lab_raw (user_id, test_name, loinc_code, value_text, unit, \
     reference_range, flag, specimen, status, collected_at, time_zone, source)
 SELECT $1::text::user_key, new.test_name, new.loinc_code, new.value_text, new.unit, new.reference_range, new.flag, \
     new.specimen, new.status, new.collected_at, new.time_zone, new.source
 FROM pg_temp.import_labs AS new
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
 WHERE known.is_there IS NULL";

/// An import looks rows up by their time. Without statistics, a scan may look cheaper to the planner.
const PLAN: &str = "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; \
    SET LOCAL enable_mergejoin = off; SET LOCAL jit = off";

/// Two imports of one user at once would not see each other's rows.
const LOCK: &str =
    "SELECT pg_advisory_xact_lock(hashtextextended('import of user ' || $1::text, 0))";

/// Raw rows of one user that are to be loaded together.
#[derive(Debug)]
pub struct RawRows {
    vitals: CopyRows,
    labs: CopyRows,
}

/// Rows in COPY's binary format, each once.
#[derive(Debug)]
struct CopyRows {
    bytes: Vec<u8>,
    seen: HashSet<Vec<u8>>,
    row: Vec<u8>,
    /// Number of rows that were added, also of those added before.
    number: u64,
}

impl Default for RawRows {
    fn default() -> Self {
        Self { vitals: CopyRows::new(), labs: CopyRows::new() }
    }
}

impl RawRows {
    /// Adds a row of vitals. Its texts must have no NUL character, and its times must be datable.
    pub fn add_vital(&mut self, vital: &NewVital<'_>) {
        let row = self.vitals.begin(VITAL_FIELDS);
        text(row, Some(vital.metric));
        field(row, &vital.value.to_be_bytes());
        text(row, vital.comparator);
        text(row, Some(vital.unit));
        text(row, Some(vital.source));
        time(row, vital.started_at);
        time(row, vital.ended_at);
        text(row, vital.time_zone);
        field(row, &[u8::from(vital.is_daily_total)]);
        self.vitals.end();
    }

    /// Adds a laboratory result. Its texts must have no NUL character, and its time must be datable.
    pub fn add_lab(&mut self, lab: &NewLab<'_>) {
        let row = self.labs.begin(LAB_FIELDS);
        text(row, Some(lab.test_name));
        text(row, lab.loinc_code);
        text(row, Some(lab.value_text));
        for optional in [lab.unit, lab.reference_range, lab.flag, lab.specimen] {
            text(row, optional);
        }
        text(row, Some(lab.status));
        time(row, lab.collected_at);
        text(row, lab.time_zone);
        text(row, Some(lab.source));
        self.labs.end();
    }

    /// The number of rows that were added, also of those that are equal to one before.
    pub fn number(&self) -> u64 {
        self.vitals.number + self.labs.number
    }

    /// The size in memory, about.
    pub fn bytes(&self) -> usize {
        2 * (self.vitals.bytes.len() + self.labs.bytes.len())
    }
}

impl CopyRows {
    fn new() -> Self {
        Self { bytes: SIGNATURE.to_vec(), seen: HashSet::new(), row: Vec::new(), number: 0 }
    }

    fn begin(&mut self, fields: i16) -> &mut Vec<u8> {
        self.row.clear();
        self.row.extend(fields.to_be_bytes());
        &mut self.row
    }

    fn end(&mut self) {
        self.number += 1;
        if !self.seen.contains(&self.row) {
            self.bytes.extend_from_slice(&self.row);
            self.seen.insert(self.row.clone());
        }
    }

    /// The rows with the end of the format.
    fn finish(mut self) -> Vec<u8> {
        self.bytes.extend((-1_i16).to_be_bytes());
        self.bytes
    }
}

fn field(row: &mut Vec<u8>, bytes: &[u8]) {
    // A field is far smaller: its length is checked before.
    row.extend(i32::try_from(bytes.len()).unwrap_or(i32::MAX).to_be_bytes());
    row.extend_from_slice(bytes);
}

fn text(row: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => field(row, text.as_bytes()),
        None => row.extend((-1_i32).to_be_bytes()),
    }
}

fn time(row: &mut Vec<u8>, at: Timestamp) {
    field(row, &at.0.saturating_sub(EPOCH_US).to_be_bytes());
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
        transaction.execute(LOCK, &[&user_id.to_string()]).await.map_err(refused)?;
        let mut loaded = 0;
        for (rows, stage, copy, insert) in [
            (rows.vitals, STAGE_VITALS, COPY_VITALS, INSERT_VITALS),
            (rows.labs, STAGE_LABS, COPY_LABS, INSERT_LABS),
        ] {
            if rows.number > 0 {
                let bytes = rows.finish();
                loaded += stage_and_insert(&transaction, user_id, bytes, [stage, copy, insert])
                    .await
                    .map_err(refused)?;
            }
        }
        transaction.commit().await.map_err(refused)?;
        Ok(loaded)
    }
}

async fn stage_and_insert(
    transaction: &Transaction<'_>,
    user_id: &UserId,
    bytes: Vec<u8>,
    [stage, copy, insert]: [&str; 3],
) -> Result<u64, tokio_postgres::Error> {
    transaction.batch_execute(stage).await?;
    let sink = transaction.copy_in(copy).await?;
    futures_util::pin_mut!(sink);
    sink.send(std::io::Cursor::new(bytes)).await?;
    sink.as_mut().finish().await?;
    transaction.execute(insert, &[&user_id.to_string()]).await
}
