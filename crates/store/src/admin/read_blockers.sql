SELECT a.pid, a.application_name, a.state,
       extract(epoch FROM clock_timestamp() - a.xact_start)::float8,
       extract(epoch FROM clock_timestamp() - a.backend_start)::float8
FROM unnest(pg_blocking_pids(:process)) AS blocking (pid)
JOIN pg_stat_activity AS a ON a.pid = blocking.pid
