UPDATE figure_webhook AS w
SET attempts = w.attempts + (g.error IS NOT NULL)::integer,
    last_error = coalesce(g.error, w.last_error), lease_token = NULL,
    not_before = now() + make_interval(secs => :pause)
FROM (SELECT :error::text AS error) AS g
WHERE w.lease_token = :token
