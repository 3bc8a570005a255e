//! Claims a batch, and checks whether one is due.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use aggregation::{Kind, UserId};
use diesel::data_types::PgTimestamp;
use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Nullable, Text, Timestamptz};

use super::scan_window::ScanStart;
use super::{ChangeSet, ChangedRow, Claim, ClaimFrom, Holder};
use crate::error::{ErrorClass, StoreError};
use crate::pool::Store;
use crate::raw_text::RawText;
use crate::sql::user_key::UserKey;
use crate::statement::statement;
use crate::time::from_postgres;

const OLDEST: &str = include_str!("claim.sql");

/// The claim statement with the newest sets first.
static NEWEST: LazyLock<String> =
    LazyLock::new(|| OLDEST.replace("ORDER BY not_before ASC", "ORDER BY not_before DESC"));

macro_rules! claim_statement {
    ($name:ident, $($sql:tt)*) => {
        statement! {
            struct $name<'a> {
                kind: &'a str => Text,
                size: i64 => BigInt,
                token: i64 => BigInt,
                lease_seconds: f64 => Double,
                unit_seconds: f64 => Double,
                most: i64 => BigInt,
                without: Option<UserId> => Nullable<UserKey>,
                oldest: Option<PgTimestamp> => Nullable<Timestamptz>,
                ago: f64 => Double,
            } -> (
                BigInt, UserKey, Timestamptz, Timestamptz, Nullable<Text>, Nullable<Text>, Bool, Integer,
                Array<BigInt>, Nullable<Array<Timestamptz>>, Nullable<Array<Timestamptz>>, Timestamptz, BigInt,
                BigInt, Nullable<Double>, Nullable<Array<BigInt>>,
            )
            $($sql)*
        }
    };
}

claim_statement!(ClaimOldest, OLDEST);
claim_statement!(ClaimNewest, built NEWEST.as_str());

/// A claimed set and its `not_before`. The last four columns concern the whole claim: coalesced raw rows, raw rows
/// that another worker had claimed, seconds since its lease expired, and the token of each such worker.
type ClaimedColumns = (
    i64,
    UserId,
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
    Option<Vec<i64>>,
);

statement! {
    /// One index scan for each kind: the ORDER BY makes the planner choose it with any statistics.
    struct FirstDue {
        oldest: Option<PgTimestamp> => Nullable<Timestamptz>,
        ago: f64 => Double,
    } -> (Nullable<Timestamptz>)
    include_str!("first_due.sql")
}

impl Store {
    /// Whether a change set of any kind is due.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn any_due(&self) -> Result<bool, StoreError> {
        let began = Instant::now();
        let start = self.scan_window(None).start(began);
        let (oldest, ago) = bounds(start);
        let first: Vec<(Option<PgTimestamp>,)> =
            self.load("poll", FirstDue { oldest, ago }).await?;
        let first = first.into_iter().find_map(|(first,)| first);
        self.scan_window(None).record(start, began, Instant::now(), first);
        Ok(first.is_some())
    }

    /// Makes the next claim of each kind scan the whole queue. Returns whether the previous claim of any
    /// kind did not, because a full scan was slow.
    pub fn require_full_scan(&self) -> bool {
        let short = Kind::ALL.map(|kind| self.scan_window(Some(kind)).require_full_scan());
        short.contains(&true)
    }

    /// Marks due sets of `kind` as processing and commits that at once. Together they have at most
    /// `size` raw rows. If they fill one hour of a user, the hour's other sets are claimed as well.
    /// Returns `None` if nothing is due.
    ///
    /// # Errors
    /// If the database fails; then no set is claimed.
    pub async fn claim(
        &self,
        kind: Kind,
        from: ClaimFrom,
        size: u32,
        lease: Duration,
    ) -> Result<Option<Claim>, StoreError> {
        let began = Instant::now();
        let (start, without) = match &from {
            ClaimFrom::Oldest => (self.scan_window(Some(kind)).start(began), None),
            ClaimFrom::Newest => (None, None),
            ClaimFrom::NewestBut(user_id) => (None, Some(user_id.clone())),
        };
        let (oldest, ago) = bounds(start);
        let (unit, most) = recomputed_whole(kind);
        let token = Holder::new_token();
        macro_rules! load {
            ($statement:ident) => {{
                let statement = $statement {
                    kind: kind.name(),
                    size: size.into(),
                    token,
                    lease_seconds: lease.as_secs_f64(),
                    unit_seconds: unit.as_secs_f64(),
                    most,
                    without,
                    oldest,
                    ago,
                };
                self.load("claim", statement).await
            }};
        }
        let claimed: Result<Vec<ClaimedColumns>, StoreError> = match from {
            ClaimFrom::Oldest => load!(ClaimOldest),
            ClaimFrom::Newest | ClaimFrom::NewestBut(_) => load!(ClaimNewest),
        };
        let timed_out = claimed.as_ref().is_err_and(|error| error.class() == ErrorClass::Timeout);
        if from == ClaimFrom::Oldest && (claimed.is_ok() || timed_out) {
            let sets = claimed.as_deref().unwrap_or_default();
            let first = sets.iter().map(|columns| columns.11).min_by_key(|due| due.0);
            self.scan_window(Some(kind)).record(start, began, Instant::now(), first);
        }
        let claimed = claimed?;
        let Some(first) = claimed.first() else { return Ok(None) };
        let (coalesced, rescued, overdue, tokens) = (first.12, first.13, first.14, &first.15);
        let mut former_holders: Vec<Holder> =
            tokens.iter().flatten().map(|token| Holder::of_token(*token)).collect();
        former_holders.dedup();
        Ok(Some(Claim {
            kind,
            token,
            sets: claimed.into_iter().map(change_set).collect(),
            coalesced: coalesced as u32,
            rescued: rescued as u32,
            overdue: Duration::from_secs_f64(overdue.unwrap_or_default().max(0.0)),
            former_holders,
        }))
    }
}

/// The maximum of raw rows in a claim that coalesces the span of its rows. Each claim computes the whole span: with
/// 200 rows a claim, 300,000 rows would be computed 1,500 times, and with this maximum 15 times. The worker keeps
/// about 300 bytes of each claimed row, which forbids more.
const MAX_COALESCED: i64 = 20_000;

/// The span that is always computed from all of its raw rows, and the maximum of raw rows when a claim
/// coalesces the span.
const fn recomputed_whole(kind: Kind) -> (Duration, i64) {
    match kind {
        Kind::Vitals => (Duration::from_secs(3600), MAX_COALESCED),
        Kind::Nutrition | Kind::Labs => (Duration::from_secs(24 * 3600), MAX_COALESCED),
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
    // Rows without times of their own have those of the set. Rows without ends end at their start.
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

/// The start of a scan as parameters of the statements; NULL for a full scan.
fn bounds(start: Option<ScanStart>) -> (Option<PgTimestamp>, f64) {
    (start.map(|start| start.oldest), start.map_or(0.0, |start| start.ago.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_claim_of_the_newest_reads_and_locks_from_the_other_end() {
        assert_eq!(super::NEWEST.matches("ORDER BY not_before DESC").count(), 1);
        assert!(!super::NEWEST.contains("not_before ASC"));
    }
}
