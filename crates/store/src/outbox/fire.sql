WITH fired AS (
    INSERT INTO alert_conditions AS c (rule, dead_rows, fired_at) VALUES (:rule, :dead_rows, now())
    ON CONFLICT (rule) DO UPDATE
    SET fired_at = excluded.fired_at, resolved_at = NULL, dead_rows = excluded.dead_rows
    WHERE excluded.fired_at - c.resolved_at >= make_interval(secs => :seen_ago)
      AND excluded.fired_at - c.fired_at >= make_interval(secs => :cooldown)
    RETURNING rule, fired_at
)
INSERT INTO alert_outbox (channel, key, rule, fires, worker, amount, threshold, happened_at,
                          lasted_seconds)
SELECT of.channel, :key, fired.rule, true, :worker, :amount, :threshold, fired.fired_at,
       :lasted
FROM fired, unnest(:channels) AS of (channel)
