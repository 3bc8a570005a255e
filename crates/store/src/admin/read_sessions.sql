SELECT split_part(coalesce(nullif(application_name, ''), '(no name)'), '@', 1) AS application,
       coalesce(state, 'hidden'),
       count(*),
       extract(epoch FROM clock_timestamp() - min(xact_start))::float8
FROM pg_stat_activity
WHERE usesysid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend'
  AND pid <> pg_backend_pid()
GROUP BY 1, 2
ORDER BY 1, 2
