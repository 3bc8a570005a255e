WITH first AS MATERIALIZED (
    SELECT epoch, transaction_id, number, changed_at FROM figure_changes
    ORDER BY epoch, transaction_id, number
    LIMIT :most
), gone AS (
    DELETE FROM figure_changes AS c
    USING first AS o
    WHERE c.epoch = o.epoch AND c.transaction_id = o.transaction_id AND c.number = o.number
      AND o.changed_at < now() - make_interval(secs => :keep_seconds)
    RETURNING c.epoch, c.transaction_id, c.number
), last AS (
    SELECT * FROM gone ORDER BY epoch DESC, transaction_id DESC, number DESC LIMIT 1
), noted AS (
    UPDATE figure_feed AS f
    SET forgotten_epoch = l.epoch, forgotten_transaction = l.transaction_id,
        forgotten_number = l.number
    FROM last AS l
    WHERE (f.forgotten_epoch, f.forgotten_transaction, f.forgotten_number)
          < (l.epoch, l.transaction_id, l.number)
)
SELECT count(*) FROM gone
