WITH due AS MATERIALIZED (
    SELECT w.is_only FROM figure_webhook AS w WHERE w.not_before <= now()
    FOR UPDATE SKIP LOCKED
)
UPDATE figure_webhook AS w
SET not_before = now() + make_interval(secs => :lease_seconds), lease_token = :token
FROM due
WHERE w.is_only = due.is_only
RETURNING w.lease_token, w.attempts,
          w.sent_epoch > 0 AND EXISTS (
              SELECT FROM figure_feed AS f
              WHERE (f.forgotten_epoch, f.forgotten_transaction, f.forgotten_number)
                    > (w.sent_epoch, w.sent_transaction, w.sent_number))
