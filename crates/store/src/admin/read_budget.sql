SELECT current_setting('max_connections')::bigint,
       current_setting('superuser_reserved_connections')::bigint
           + coalesce(current_setting('reserved_connections', true), '0')::bigint,
       nullif(role.rolconnlimit, -1)::bigint,
       nullif(db.datconnlimit, -1)::bigint,
       role.rolsuper,
       count(*),
       count(*) FILTER (WHERE s.usesysid = role.oid),
       count(*) FILTER (WHERE s.datid = db.oid),
       count(*) FILTER (WHERE s.usesysid = role.oid AND s.datid = db.oid
                          AND s.application_name = current_setting('application_name'))
FROM pg_roles AS role, pg_database AS db, pg_stat_activity AS s
WHERE role.rolname = current_user AND db.datname = current_database()
  AND s.usesysid IS NOT NULL AND coalesce(s.backend_type, 'client backend') = 'client backend'
GROUP BY role.oid, role.rolconnlimit, role.rolsuper, db.oid, db.datconnlimit
