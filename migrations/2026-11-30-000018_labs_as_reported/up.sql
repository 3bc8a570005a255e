-- The last result as the laboratory wrote it, beside the figures that are converted from it.
ALTER TABLE lab_daily
    ADD COLUMN reported_value text,
    ADD COLUMN reported_unit text,
    ADD COLUMN reported_range text;
COMMENT ON COLUMN lab_daily.reported_value IS 'The last result as the laboratory wrote it, of 4096 bytes at most; NULL in rows of an algorithm_version before 4';
COMMENT ON COLUMN lab_daily.reported_unit IS 'The unit as the laboratory wrote it for the last result and its range; NULL where it gave none';
COMMENT ON COLUMN lab_daily.reported_range IS 'The last result''s range as the laboratory wrote it, in reported_unit; cut after 4096 bytes; NULL where it gave none';
COMMENT ON COLUMN lab_daily.reference_text IS 'The same text as reported_range';
COMMENT ON COLUMN lab_daily.last_flag IS 'HH, H, A (abnormal in no direction), N, L or LL: the laboratory''s own, else from the range. A result that the laboratory calls anything but normal is never N';
COMMENT ON COLUMN lab_daily.worst_flag IS 'The worst flag of the day: HH and LL before H and L, these before A, A before N; the last of equally bad ones';
COMMENT ON COLUMN lab_daily.result_count IS 'Final, amended and corrected results; of amended and corrected versions the newest, and a result that is sent again is one';
COMMENT ON COLUMN lab_daily.algorithm_version IS '1: units as reported, no deltas; 2: units convert by analyte; 3: exact_count; 4: a result and its range prove each other''s decimal sign, flag A, reported_value. Rows of an older version stay until something of their date changes';

-- Plausible limits of nutrients are part of the catalogue, which users extend.
ALTER TABLE nutrition_daily ADD COLUMN context_fingerprint bigint;
COMMENT ON COLUMN nutrition_daily.context_fingerprint IS 'Digest of the plausible limits of nutrients; NULL in rows of an algorithm_version before 4';
COMMENT ON COLUMN nutrition_raw.meal_type IS 'breakfast, lunch, dinner, snack, other or a synonym; an unknown one counts as other';
COMMENT ON COLUMN lab_raw.value_text IS 'A number with an optional comparator, or text such as positive or 1:160; 4096 bytes at most';
