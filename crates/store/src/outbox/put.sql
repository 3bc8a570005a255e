INSERT INTO alert_outbox (channel, key, rule, fires, worker, amount, threshold, happened_at,
                          lasted_seconds)
SELECT of.channel, :key, :rule, :fires, :worker, :amount, :threshold,
       now() - make_interval(secs => :ago), :lasted
FROM unnest(:channels) AS of (channel)
