SELECT l.pid, a.application_name, a.state,
       extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, p.prepared))::float8,
       extract(epoch FROM clock_timestamp() - a.backend_start)::float8
FROM pg_locks AS l
LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
LEFT JOIN pg_locks AS own
       ON l.pid IS NULL AND own.pid IS NULL AND own.locktype = 'transactionid'
      AND own.virtualtransaction = l.virtualtransaction
LEFT JOIN pg_prepared_xacts AS p ON p.transaction = own.transactionid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.classid = hashtext('dayfold ' || :kind || ' ' || 'aggregation_queue'::regclass::oid)::oid
  AND l.objid = coalesce(hashint8(:number), hashtext(:text))::oid
  AND l.pid IS DISTINCT FROM pg_backend_pid()
