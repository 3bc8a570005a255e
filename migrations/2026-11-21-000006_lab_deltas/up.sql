-- How a day's last result differs from that of the day before, and units that convert.

ALTER TABLE lab_daily
    ADD COLUMN delta double precision,
    ADD COLUMN delta_percent double precision;
COMMENT ON COLUMN lab_daily.delta IS 'last_value less that of the latest earlier date with a row of this analyte and unit, however long ago; NULL without one, and unless both are numbers without comparator';
COMMENT ON COLUMN lab_daily.delta_percent IS 'delta in percent of the amount of that earlier last_value; NULL where delta is, and where that value is 0';

COMMENT ON COLUMN lab_daily.unit IS 'Of every figure of the row: the canonical unit where the catalogue knows a factor for the analyte, else as reported (so do texts); empty where the result has none';
COMMENT ON COLUMN lab_daily.reference_low IS 'From the last result''s range, converted with the result; ranges belong to a result and are never averaged';
COMMENT ON COLUMN lab_daily.reference_text IS 'The last result''s range as the laboratory printed it, in the unit in which it reported the result';
COMMENT ON COLUMN lab_daily.algorithm_version IS '1: units as reported, no deltas; 2: units convert by analyte. Rows of version 1 stay until something of their date changes';

-- A changed day looks for the rows before and after it, and apps draw the course of an analyte.
CREATE INDEX lab_daily_by_analyte ON lab_daily (user_id, analyte, unit, local_date);
