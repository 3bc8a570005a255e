SELECT 'session', coalesce(nullif(application_name, ''), '(no name)'), pid,
       extract(epoch FROM clock_timestamp() - xact_start)::float8
FROM pg_stat_activity
WHERE backend_type IN ('client backend', 'walsender') AND pid <> pg_backend_pid()
  AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)
  AND (datname = current_database() OR backend_type = 'walsender')
  AND xact_start < clock_timestamp() - make_interval(secs => :seconds)
UNION ALL
SELECT 'prepared transaction', gid, 0,
       extract(epoch FROM clock_timestamp() - prepared)::float8
FROM pg_prepared_xacts
WHERE database = current_database() AND prepared < clock_timestamp() - make_interval(secs => :seconds)
UNION ALL
SELECT 'replication slot', slot_name::text, 0, NULL
FROM pg_replication_slots
WHERE age(xmin) > 1000000
ORDER BY 4 DESC NULLS LAST
