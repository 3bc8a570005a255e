-- Removes everything of mirror.sql and views.sql, after back.sql. The copies in Dayfold's raw tables stay; delete them
-- by user, or drop Dayfold's schema.

BEGIN;
SET LOCAL lock_timeout = '2s';
DROP SCHEMA IF EXISTS dayfold_app CASCADE;
DO $$
DECLARE
    t record;
BEGIN
    FOR t IN SELECT app_table FROM dayfold_copied LOOP
        EXECUTE format('DROP TRIGGER dayfold_inserted ON %1$I; DROP TRIGGER dayfold_updated ON %1$I;
            DROP TRIGGER dayfold_deleted ON %1$I', t.app_table);
        EXECUTE format('DROP FUNCTION %I(); DROP FUNCTION %I()',
            t.app_table || '_to_dayfold', t.app_table || '_changed_to_dayfold');
    END LOOP;
END $$;
DROP PROCEDURE dayfold_copy(integer, double precision);
DROP TABLE dayfold_copied;
DROP VIEW vitals_for_dayfold, nutrition_for_dayfold, labs_for_dayfold;
DROP TABLE dayfold_metrics;
COMMIT;
