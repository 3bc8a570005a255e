SELECT (
    SELECT min(q.not_before)
    FROM unnest(ARRAY['vitals', 'nutrition', 'labs']) AS of (kind)
    CROSS JOIN LATERAL (
        SELECT q.not_before FROM aggregation_queue AS q
        WHERE q.kind = of.kind
          AND q.not_before >= (SELECT CASE
                  WHEN :oldest::timestamptz IS NULL THEN '-infinity'
                  ELSE least(:oldest, now() - make_interval(secs => :ago))
              END)
          AND q.not_before <= now()
          AND (q.lease_expires_at BETWEEN now() AND now() + interval '1 hour') IS NOT TRUE
        ORDER BY q.not_before
        LIMIT 1
    ) AS q
    WHERE NOT EXISTS (SELECT FROM paused_kinds WHERE paused_kinds.kind = of.kind)
)
