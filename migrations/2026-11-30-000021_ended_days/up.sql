-- A day stops to be partial when it ends, not only when one of its raw rows changes. And rows that are
-- dated in the future are counted.

-- The ends of days to come and of days that a worker has yet to mark. Other rows are not in it.
CREATE INDEX vitals_daily_by_end ON vitals_daily (day_end) WHERE is_partial;
CREATE INDEX sleep_daily_by_end ON sleep_daily (day_end) WHERE is_partial;
CREATE INDEX blood_pressure_daily_by_end ON blood_pressure_daily (day_end) WHERE is_partial;
CREATE INDEX glucose_daily_by_end ON glucose_daily (day_end) WHERE is_partial;
CREATE INDEX nutrition_daily_by_end ON nutrition_daily (day_end) WHERE is_partial;
CREATE INDEX lab_daily_by_end ON lab_daily (day_end) WHERE is_partial;

-- Rows of blood pressure and glucose are rows of vitals_daily, too, and count there.
ALTER TABLE vitals_daily ADD COLUMN future_count integer NOT NULL DEFAULT 0;
ALTER TABLE sleep_daily ADD COLUMN future_count integer NOT NULL DEFAULT 0;
ALTER TABLE nutrition_daily ADD COLUMN future_count integer NOT NULL DEFAULT 0;
ALTER TABLE lab_daily ADD COLUMN future_count integer NOT NULL DEFAULT 0;

-- The difference of two times is immutable, their sum with an interval is not: Citus updates no columns by it.
UPDATE vitals_daily SET future_count = sample_count + censored_count
    WHERE is_partial AND day_start - computed_at > interval '1 day';
UPDATE sleep_daily SET future_count = segment_count
    WHERE is_partial AND day_start - computed_at > interval '1 day';
UPDATE nutrition_daily SET future_count = item_count
    WHERE is_partial AND day_start - computed_at > interval '1 day';
UPDATE lab_daily SET future_count = result_count
    WHERE is_partial AND day_start - computed_at > interval '1 day';

DO $comments$
DECLARE
    kind text;
    p text;
    rows text;
BEGIN
    FOREACH kind IN ARRAY ARRAY['vitals', 'sleep', 'blood_pressure', 'glucose', 'nutrition', 'lab'] LOOP
        EXECUTE format('COMMENT ON COLUMN %s_daily.is_partial IS %L', kind,
            'The day has not ended: raw rows may still come. A worker sets it to false about a minute after day_end; it changes nothing else, nor computed_at');
        FOREACH p IN ARRAY ARRAY['week', 'month'] LOOP
            EXECUTE format('COMMENT ON COLUMN %s_%sly.is_partial IS %L', kind, p, 'One of its days is partial');
        END LOOP;
    END LOOP;
    FOR kind, rows IN VALUES ('vitals', 'Samples (sample_count and censored_count)'), ('sleep', 'Segments'),
                             ('nutrition', 'Items'), ('lab', 'Results') LOOP
        EXECUTE format('COMMENT ON COLUMN %s_daily.future_count IS %L', kind,
            rows || ' of a date in the future: all of them if the day began more than a day after the database''s clock when the row was computed, else 0. A device''s clock is wrong, or the app''s. They count in the figures of their date. 0 again when the day has ended');
    END LOOP;
END
$comments$;
