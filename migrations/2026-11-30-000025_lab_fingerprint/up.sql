-- The entry of an analyte decides unit and value of its figures, and users extend the catalogue.
ALTER TABLE lab_daily ADD COLUMN context_fingerprint bigint;
COMMENT ON COLUMN lab_daily.context_fingerprint IS 'Digest of the catalogue''s entry of the analyte and of its spellings of units; NULL in rows that were computed before the column was there';
