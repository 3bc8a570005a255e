-- The way back: the tables return, and the views wait in dayfold_app. The app's own worker then starts again; raw rows
-- that came meanwhile are still pending for it. The triggers may stay, so that switch.sql works again at any time.

BEGIN;
SET LOCAL lock_timeout = '2s';
DO $$
DECLARE
    own record;
    here text := current_schema();
BEGIN
    FOR own IN SELECT relname FROM pg_class
               WHERE relnamespace = 'before_dayfold'::regnamespace AND relkind = 'r'
               ORDER BY relname
    LOOP
        EXECUTE format('ALTER VIEW %I.%I SET SCHEMA dayfold_app', here, own.relname);
        EXECUTE format('ALTER TABLE before_dayfold.%I SET SCHEMA %I', own.relname, here);
    END LOOP;
END $$;
DROP SCHEMA before_dayfold;
COMMIT;
