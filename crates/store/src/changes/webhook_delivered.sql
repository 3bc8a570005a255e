UPDATE figure_webhook AS w
SET sent_epoch = split_part(g.cursor, '-', 1)::integer,
    sent_transaction = split_part(g.cursor, '-', 2)::xid8,
    sent_number = split_part(g.cursor, '-', 3)::bigint,
    not_before = now(), lease_token = NULL, attempts = 0, last_error = NULL
FROM (SELECT :cursor::text AS cursor) AS g
WHERE w.lease_token = :token
