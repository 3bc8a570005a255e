//! Claiming a batch, and whether there is one.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use aggregation::Kind;
use diesel::data_types::PgTimestamp;
use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Nullable, Text, Timestamptz};

use super::{ChangeSet, ChangedRow, Claim, ClaimFrom};
use crate::error::{ErrorClass, StoreError};
use crate::pool::Store;
use crate::raw_text::RawText;
use crate::reach::Since;
use crate::statement::statement;
use crate::time::from_postgres;

const OLDEST: &str = include_str!("claim.sql");

/// The same from the other end of the queue.
static NEWEST: LazyLock<String> =
    LazyLock::new(|| OLDEST.replace("ORDER BY not_before ASC", "ORDER BY not_before DESC"));

macro_rules! claim_statement {
    ($name:ident, $sql:expr) => {
        statement! {
            struct $name<'a> {
                kind: &'a str => Text,
                size: i64 => BigInt,
                token: i64 => BigInt,
                lease_seconds: f64 => Double,
                unit_seconds: f64 => Double,
                most: i64 => BigInt,
                oldest: Option<PgTimestamp> => Nullable<Timestamptz>,
                ago: f64 => Double,
            } -> (
                BigInt, BigInt, Timestamptz, Timestamptz, Nullable<Text>, Nullable<Text>, Bool, Integer,
                Array<BigInt>, Nullable<Array<Timestamptz>>, Nullable<Array<Timestamptz>>, Timestamptz, BigInt,
                BigInt, Nullable<Double>,
            )
            $sql
        }
    };
}

claim_statement!(ClaimOldest, OLDEST);
claim_statement!(ClaimNewest, NEWEST.as_str());

/// A claimed set, and since when it has been due; of the whole claim, the raw rows that were coalesced, those that
/// another worker had claimed, and for how many seconds its lease has run out.
type ClaimedColumns = (
    i64,
    i64,
    PgTimestamp,
    PgTimestamp,
    Option<RawText>,
    Option<RawText>,
    bool,
    i32,
    Vec<i64>,
    Option<Vec<PgTimestamp>>,
    Option<Vec<PgTimestamp>>,
    PgTimestamp,
    i64,
    i64,
    Option<f64>,
);

statement! {
    /// One look into the index for each kind; the order makes it that, with any statistics.
    struct FirstDue {
        oldest: Option<PgTimestamp> => Nullable<Timestamptz>,
        ago: f64 => Double,
    } -> (Nullable<Timestamptz>)
    "SELECT (
         SELECT min(q.not_before)
         FROM unnest(ARRAY['vitals', 'nutrition', 'labs']) AS of (kind)
         CROSS JOIN LATERAL (
             SELECT q.not_before FROM aggregation_queue AS q
             WHERE q.kind = of.kind
               AND q.not_before >= (SELECT CASE
                       WHEN {oldest}::timestamptz IS NULL THEN '-infinity'
                       ELSE least({oldest}, now() - make_interval(secs => {ago}))
                   END)
               AND q.not_before <= now()
               AND (q.state = 'pending'
                    OR (q.state = 'processing'
                        AND (q.lease_expires_at < now()
                             OR q.lease_expires_at > now() + interval '1 hour')))
             ORDER BY q.not_before
             LIMIT 1
         ) AS q
         WHERE NOT EXISTS (SELECT FROM paused_kinds WHERE paused_kinds.kind = of.kind)
     )"
}

impl Store {
    /// Whether a set of any kind is due.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn any_due(&self) -> Result<bool, StoreError> {
        let began = Instant::now();
        let since = self.reach(None).at(began);
        let (oldest, ago) = bounds(since);
        let first: Vec<(Option<PgTimestamp>,)> =
            self.load("poll", FirstDue { oldest, ago }).await?;
        let first = first.into_iter().find_map(|(first,)| first);
        self.reach(None).looked(since, began, Instant::now(), first);
        Ok(first.is_some())
    }

    /// Has the next look for due rows of each kind begin at the beginning of the queue, and says whether
    /// the last one did not, because one that did took long.
    pub fn look_everywhere(&self) -> bool {
        Kind::ALL.into_iter().filter(|kind| self.reach(Some(*kind)).look_everywhere()).count() > 0
    }

    /// Marks due sets of `kind` as processing, committed at once: nothing stays open. Together they have at
    /// most `size` raw rows, unless these fill one hour of a user, whose other sets are then claimed, too.
    /// `None` if nothing is due.
    ///
    /// # Errors
    /// If the database fails; then nothing is claimed.
    pub async fn claim(
        &self,
        kind: Kind,
        from: ClaimFrom,
        size: u32,
        lease: Duration,
    ) -> Result<Option<Claim>, StoreError> {
        let began = Instant::now();
        let since = match from {
            ClaimFrom::Oldest => self.reach(Some(kind)).at(began),
            ClaimFrom::Newest => None,
        };
        let (oldest, ago) = bounds(since);
        let (unit, most) = recomputed_whole(kind);
        // 63 bits by chance: a sequence would give a number twice after a crash of the server.
        let token = fastrand::i64(0..);
        macro_rules! load {
            ($statement:ident) => {{
                let statement = $statement {
                    kind: kind.name(),
                    size: size.into(),
                    token,
                    lease_seconds: lease.as_secs_f64(),
                    unit_seconds: unit.as_secs_f64(),
                    most,
                    oldest,
                    ago,
                };
                self.load("claim", statement).await
            }};
        }
        let claimed: Result<Vec<ClaimedColumns>, StoreError> = match from {
            ClaimFrom::Oldest => load!(ClaimOldest),
            ClaimFrom::Newest => load!(ClaimNewest),
        };
        let timed_out = claimed.as_ref().is_err_and(|error| error.class() == ErrorClass::Timeout);
        if from == ClaimFrom::Oldest && (claimed.is_ok() || timed_out) {
            let sets = claimed.as_deref().unwrap_or_default();
            let first = sets.iter().map(|columns| columns.11).min_by_key(|due| due.0);
            self.reach(Some(kind)).looked(since, began, Instant::now(), first);
        }
        let claimed = claimed?;
        let Some((coalesced, rescued, overdue)) = claimed.first().map(|of| (of.12, of.13, of.14))
        else {
            return Ok(None);
        };
        Ok(Some(Claim {
            kind,
            token,
            sets: claimed.into_iter().map(change_set).collect(),
            coalesced: coalesced as u32,
            rescued: rescued as u32,
            overdue: Duration::from_secs_f64(overdue.unwrap_or_default().max(0.0)),
        }))
    }
}

/// The span that is computed from all its raw rows, whichever of them changed, and how many of them a claim may
/// have when it completes the span: for an hour one reading a second, for a day so many that one with 300,000
/// meals is computed 15 times and not 1,500 times.
const fn recomputed_whole(kind: Kind) -> (Duration, i64) {
    match kind {
        Kind::Vitals => (Duration::from_secs(3600), 3_600),
        Kind::Nutrition | Kind::Labs => (Duration::from_secs(24 * 3600), 20_000),
    }
}

fn change_set(columns: ClaimedColumns) -> ChangeSet {
    let (
        id,
        user_id,
        first,
        last,
        metric,
        time_zone,
        whole_day,
        lost_leases,
        ids,
        starts,
        ends,
        ..,
    ) = columns;
    let starts = starts.unwrap_or_default().into_iter().map(from_postgres);
    let ends = ends.unwrap_or_default().into_iter().map(from_postgres);
    let (mut starts, mut ends) = (starts.peekable(), ends);
    // Without times of their own, all have those of the set; without ends, each ends as it starts.
    let (first, last, is_one_span) =
        (from_postgres(first), from_postgres(last), starts.peek().is_none());
    let rows = ids.into_iter().map(|raw_id| {
        if is_one_span {
            return ChangedRow { raw_id, starts_at: first, ends_at: last };
        }
        let starts_at = starts.next().unwrap_or(first);
        ChangedRow { raw_id, starts_at, ends_at: ends.next().unwrap_or(starts_at) }
    });
    let rows = rows.collect();
    let (metric, time_zone) = (metric.map(String::from), time_zone.map(String::from));
    ChangeSet { id, user_id, starts_at: first, metric, time_zone, whole_day, lost_leases, rows }
}

/// Where a look begins, as the statements have it: in seconds, and nothing for the beginning.
fn bounds(since: Option<Since>) -> (Option<PgTimestamp>, f64) {
    (since.map(|since| since.oldest), since.map_or(0.0, |since| since.ago.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_claim_of_the_newest_reads_and_locks_from_the_other_end() {
        assert_eq!(super::NEWEST.matches("ORDER BY not_before DESC").count(), 1);
        assert!(!super::NEWEST.contains("not_before ASC"));
    }
}
