-- Three roles, each with the minimum of rights:
--
--   owner   owns the tables and migrates: worker migrate
--   worker  computes: worker run, run-once, status, doctor, requeue, backfill, verify
--   app     writes raw rows and profiles, and reads figures
--
-- A superuser runs this once, in the application's database. The owner migrates, and runs grants.sql
-- after each migration:
--
--   psql -d DATABASE -v schema=dayfold -v owner=dayfold_owner -v worker=dayfold -v app=app -f roles.sql
--   DATABASE_URL=postgresql://dayfold_owner@host/DATABASE worker migrate
--   psql -d DATABASE -U dayfold_owner -v schema=dayfold -v worker=dayfold -v app=app -f grants.sql
--
-- Existing roles and an existing schema are kept as they are; owner may be the role that owns your
-- tables. Set the passwords yourself, in psql: \password dayfold
--
-- The rights pg_monitor and pg_read_all_stats are omitted on purpose. With them the worker could report
-- the session of an old transaction, but an attacker of the worker could read all users' statements.

\set ON_ERROR_STOP on
\if :{?schema}
\else
    \set schema dayfold
\endif
\if :{?owner}
\else
    \set owner dayfold_owner
\endif
\if :{?worker}
\else
    \set worker dayfold
\endif
\if :{?app}
\else
    \set app app
\endif

SELECT format('CREATE ROLE %I LOGIN', name)
FROM unnest(ARRAY[:'owner', :'worker', :'app']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)
\gexec

-- PUBLIC has CONNECT unless it was revoked.
GRANT CONNECT ON DATABASE :"DBNAME" TO :"owner", :"worker", :"app";

CREATE SCHEMA IF NOT EXISTS :"schema" AUTHORIZATION :"owner";
GRANT USAGE, CREATE ON SCHEMA :"schema" TO :"owner";
GRANT USAGE ON SCHEMA :"schema" TO :"worker", :"app";
-- In an existing schema every role may have this right. A role could then create a function or an
-- operator of the same name and more specific types, which would be used instead of the server's.
REVOKE CREATE ON SCHEMA :"schema" FROM PUBLIC;

-- No statement of the worker names a schema.
ALTER ROLE :"owner" IN DATABASE :"DBNAME" SET search_path = :"schema";
ALTER ROLE :"worker" IN DATABASE :"DBNAME" SET search_path = :"schema";
-- The app finds its own tables first, even if a name is the same. An existing search_path stays.
SELECT format('ALTER ROLE %I IN DATABASE %I SET search_path = "$user", public, %I',
              :'app', current_database(), :'schema')
WHERE NOT EXISTS (
    SELECT FROM pg_db_role_setting AS s, unnest(s.setconfig) AS setting
    WHERE s.setrole = (SELECT oid FROM pg_roles WHERE rolname = :'app')
      AND s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
      AND setting LIKE 'search_path=%'
)
\gexec
