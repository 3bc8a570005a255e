-- Step 3: exchange the app's aggregate tables for the views, in one transaction, after the app's own worker was stopped.
-- The tables go to the schema before_dayfold, where back.sql finds them. A statement of a reader that runs meanwhile
-- ends first. If one takes longer than two seconds, nothing is changed: run this again.

BEGIN;
SET LOCAL lock_timeout = '2s';
CREATE SCHEMA before_dayfold;
DO $$
DECLARE
    view record;
    here text := current_schema();
BEGIN
    FOR view IN SELECT relname FROM pg_class
                WHERE relnamespace = 'dayfold_app'::regnamespace AND relkind = 'v' AND relname <> 'lab_days'
                ORDER BY relname
    LOOP
        EXECUTE format('ALTER TABLE %I.%I SET SCHEMA before_dayfold', here, view.relname);
        EXECUTE format('ALTER VIEW dayfold_app.%I SET SCHEMA %I', view.relname, here);
    END LOOP;
END $$;
COMMIT;
