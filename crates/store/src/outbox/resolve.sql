WITH resolved AS (
    UPDATE alert_conditions SET resolved_at = now()
    WHERE rule = :rule AND resolved_at IS NULL
      AND fired_at <= now() - make_interval(secs => :seen_ago)
    RETURNING rule, resolved_at, resolved_at - fired_at AS lasted
)
INSERT INTO alert_outbox (channel, key, rule, fires, worker, amount, threshold, happened_at,
                          lasted_seconds)
SELECT of.channel, :key, resolved.rule, false, :worker, :amount, :threshold,
       resolved.resolved_at, extract(epoch FROM resolved.lasted)
FROM resolved, unnest(:channels) AS of (channel)
