//! The raw rows of the queue's change sets.

/// An item of FROM: a change set's columns for each of its raw rows, with the row's `raw_id`,
/// `row_starts_at` and `row_ends_at`.
macro_rules! queued_rows {
    () => {
        "aggregation_queue AS q
         CROSS JOIN LATERAL (
             SELECT r.raw_id, coalesce(r.starts_at, q.starts_at) AS row_starts_at,
                    CASE WHEN r.starts_at IS NULL THEN q.ends_at ELSE coalesce(r.ends_at, r.starts_at) END
                        AS row_ends_at
             FROM unnest(q.raw_ids, q.row_starts, q.row_ends) AS r (raw_id, starts_at, ends_at)
         ) AS queued_row"
    };
}

pub(crate) use queued_rows;
