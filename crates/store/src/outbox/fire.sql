WITH fired AS (
    INSERT INTO alert_conditions AS c (rule, dead_rows) VALUES (:rule, :dead_rows)
    ON CONFLICT (rule) DO UPDATE
    SET fired_at = now(), resolved_at = NULL, dead_rows = excluded.dead_rows
    WHERE c.resolved_at <= now() - make_interval(secs => :seen_ago)
      AND c.fired_at <= now() - make_interval(secs => :cooldown)
    RETURNING rule, fired_at
)
INSERT INTO alert_outbox (channel, key, rule, fires, worker, amount, threshold, happened_at,
                          lasted_seconds)
SELECT of.channel, :key, fired.rule, true, :worker, :amount, :threshold, fired.fired_at,
       :lasted
FROM fired, unnest(:channels) AS of (channel)
