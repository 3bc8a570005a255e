DROP INDEX vitals_daily_by_end, sleep_daily_by_end, blood_pressure_daily_by_end, glucose_daily_by_end,
    nutrition_daily_by_end, lab_daily_by_end;
ALTER TABLE vitals_daily DROP COLUMN future_count;
ALTER TABLE sleep_daily DROP COLUMN future_count;
ALTER TABLE nutrition_daily DROP COLUMN future_count;
ALTER TABLE lab_daily DROP COLUMN future_count;

DO $comments$
DECLARE
    kind text;
    p text;
BEGIN
    FOREACH kind IN ARRAY ARRAY['vitals', 'sleep', 'blood_pressure', 'glucose', 'nutrition', 'lab'] LOOP
        EXECUTE format('COMMENT ON COLUMN %s_daily.is_partial IS %L', kind,
            'The day had not ended when it was computed');
        FOREACH p IN ARRAY ARRAY['week', 'month'] LOOP
            EXECUTE format('COMMENT ON COLUMN %s_%sly.is_partial IS %L', kind, p,
                CASE kind WHEN 'vitals' THEN 'One of its days had not ended when it was computed' END);
        END LOOP;
    END LOOP;
END
$comments$;
