WITH asked AS MATERIALIZED (
    SELECT :only_user AS only_user, :from::timestamptz AS lower,
           :before::timestamptz AS upper
), picked AS MATERIALIZED (
    SELECT q.ctid
    FROM aggregation_queue AS q, asked
    WHERE q.kind = :kind AND q.not_before = 'infinity' AND q.state = 'dead'
      AND q.user_id = coalesce(asked.only_user, q.user_id)
      AND q.ends_at >= coalesce(asked.lower, '-infinity')
      AND q.starts_at <= coalesce(asked.upper, 'infinity')
    LIMIT :step
    FOR UPDATE OF q SKIP LOCKED
)
UPDATE aggregation_queue AS q
SET state = 'pending', attempts = 0, lost_leases = 0, not_before = now(), last_error = NULL
FROM picked
WHERE q.ctid = picked.ctid
RETURNING cardinality(q.raw_ids)
