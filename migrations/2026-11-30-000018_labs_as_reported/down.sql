COMMENT ON COLUMN lab_raw.value_text IS 'A number with an optional comparator, or text such as positive or 1:160';
COMMENT ON COLUMN nutrition_raw.meal_type IS 'breakfast, lunch, dinner, snack or other';
ALTER TABLE nutrition_daily DROP COLUMN context_fingerprint;

COMMENT ON COLUMN lab_daily.algorithm_version IS '1: units as reported, no deltas; 2: units convert by analyte. Rows of version 1 stay until something of their date changes';
COMMENT ON COLUMN lab_daily.result_count IS NULL;
COMMENT ON COLUMN lab_daily.worst_flag IS NULL;
COMMENT ON COLUMN lab_daily.last_flag IS 'HH, H, N, L or LL: the laboratory''s own, else from the range';
COMMENT ON COLUMN lab_daily.reference_text IS 'The last result''s range as the laboratory printed it, in the unit in which it reported the result';

ALTER TABLE lab_daily
    DROP COLUMN reported_range,
    DROP COLUMN reported_unit,
    DROP COLUMN reported_value;
