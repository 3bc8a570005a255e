DROP INDEX lab_daily_by_analyte;

COMMENT ON COLUMN lab_daily.algorithm_version IS NULL;
COMMENT ON COLUMN lab_daily.reference_text IS NULL;
COMMENT ON COLUMN lab_daily.reference_low IS 'From the last result''s range; ranges belong to a result and are never averaged';
COMMENT ON COLUMN lab_daily.unit IS 'As reported; empty where the result has none';

ALTER TABLE lab_daily
    DROP COLUMN delta_percent,
    DROP COLUMN delta;
